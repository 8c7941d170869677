"""What keeps a web program from lingering is found out, and is told with what to type."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.web.gunicorn_configuration import LINES, Change, carry_out, plan_installation
from fmx_restart.adapters.web.linger import Hooks
from fmx_restart.adapters.web.ways import NOT_SET_UP, READS_WITHIN, free_for, memory_of, too_little_memory
from fmx_restart.engine.ports import HostProcess, WebMethod, WebWay
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.web.files import FORMAT, Files, Record, start_time, write_record

PAUSES = "import signal; signal.pause()"


class TestWays(unittest.TestCase):
	def setUp(self):
		self.bench = make_bench(short_folder(self))
		self.sites = self.bench / "sites"

	def start(self, *words: str, folder: Path | None = None, **environment: str) -> list[HostProcess]:
		"""A process with these words, which listens nowhere."""
		process = subprocess.Popen(
			[sys.executable, "-c", PAUSES, *words],
			cwd=folder or self.sites,
			env={**os.environ, **environment},
		)
		self.addCleanup(process.wait)
		self.addCleanup(process.kill)
		# Popen returns in the middle of exec: the kernel shows words and environment a moment later
		environ = Path(f"/proc/{process.pid}/environ")
		eventually(environ.read_bytes, "it has its environment")
		return ThisHost(str(self.bench)).family(process.pid)

	def way(self, family: list[HostProcess]) -> WebWay:
		return Hooks(self.sites).way(family)

	def set_up(self, seconds_ago: float = 0.0) -> None:
		if (planned := plan_installation(self.sites)).change is not Change.NONE:
			carry_out(planned)
		at = time.time() - seconds_ago
		os.utime(self.sites / "gunicorn.conf.py", (at, at))

	def note(self, family: list[HostProcess], **record: object) -> None:
		pid = family[0].pid
		files = Files(str(self.sites), "0" * 12)
		os.close(write_record(files, Record(pid, start_time(pid) or 0, 2, **record)))

	def test_without_the_lines_the_command_that_adds_them_is_told(self):
		way = self.way(self.start("gunicorn", "-b", ":1"))
		self.assertIs(way.method, WebMethod.PLAIN)
		self.assertIn("bench safe-restart setup web", way.remedy)

	def test_one_that_has_read_its_configuration_tells_by_its_age_whether_the_lines_were_there(self):
		worker = (
			"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
		)
		process = subprocess.Popen([sys.executable, "-c", worker, "gunicorn"], cwd=self.sites)
		self.addCleanup(process.wait)
		self.addCleanup(lambda: ThisHost("/").end(ThisHost("/").family(process.pid)))
		time.sleep(READS_WITHIN + 0.5)  # it is younger until then
		family = ThisHost(str(self.bench)).family(process.pid)
		self.set_up()
		before = self.way(family)
		self.assertIn("started before", before.reason)
		self.assertIn("fail no request", before.remedy)
		self.set_up(seconds_ago=3600)
		failed = self.way(family)
		self.assertIn("or they failed", failed.reason)
		self.assertIn("bench doctor", failed.remedy)

	def test_one_that_has_just_started_may_come_to_it(self):
		self.set_up(seconds_ago=3600)
		self.assertTrue(self.way(self.start("gunicorn")).is_coming)

	def test_a_file_that_it_reads_instead_is_named(self):
		for words, variables in (
			(("-c", "other.py"), {}),
			(("--config=other.py",), {}),
			((), {"GUNICORN_CMD_ARGS": "-c other.py"}),
		):
			way = self.way(self.start("gunicorn", *words, **variables))
			self.assertIn("other.py", way.reason)
			self.assertIn("to that file", way.remedy)

	def test_its_own_file_by_another_name_is_the_same(self):
		for name in ("gunicorn.conf.py", "./gunicorn.conf.py", f"file:{self.sites}/gunicorn.conf.py"):
			self.assertIs(self.way(self.start("gunicorn", "-c", name)), NOT_SET_UP, name)

	def test_another_folder_is_named(self):
		self.assertIn(str(self.bench), self.way(self.start("gunicorn", folder=self.bench)).reason)

	def test_nothing_is_to_be_typed_for_what_is_no_gunicorn(self):
		self.assertEqual(self.way(self.start("bench", "serve")), WebWay(reason="it is no gunicorn"))

	def test_what_its_main_process_says_itself_is_told(self):
		self.set_up()
		family = self.start("gunicorn")
		self.note(family, refusal="its worker class is gevent, not sync or gthread")
		self.assertIn("gevent", self.way(family).reason)

	def test_hooks_of_another_version_are_not_trusted_with_an_order(self):
		self.set_up()
		family = self.start("gunicorn")
		self.note(family, format=FORMAT + 1)
		way = self.way(family)
		self.assertFalse(way.is_lingering)
		self.assertIn("another version", way.reason)
		self.note(family)
		self.assertTrue(self.way(family).is_lingering)

	def test_where_the_lines_were_removed_old_workers_would_keep_the_next_web_from_listening(self):
		self.set_up()
		family = self.start("gunicorn")
		self.note(family)
		(self.sites / "gunicorn.conf.py").unlink()
		way = self.way(family)
		self.assertIn("were removed", way.reason)
		self.assertIn("bench safe-restart setup web", way.remedy)
		other = self.sites / "other.py"
		other.write_text(LINES)
		self.note(family, configuration=str(other))
		self.assertTrue(self.way(family).is_lingering)

	def test_old_and_new_processes_must_fit_into_memory(self):
		family = self.start("gunicorn")
		needed = eventually(lambda: (it := memory_of(family[0].pid)) > 3_000_000 and it, "it has started")
		self.assertIsNone(too_little_memory(family, 100 * needed))
		self.assertIn("do not fit into memory", too_little_memory(family * 3, needed).reason)
		self.assertGreater(free_for(family[0]), 0)
