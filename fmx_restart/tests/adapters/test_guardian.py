"""The guardian as a real process: seen to wait, woken by the end of whoever it guards, noticed when it dies at its start."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import unittest
from contextlib import closing
from pathlib import Path

from fmx_restart.adapters.guardian_process import start_guardian
from fmx_restart.adapters.journal import Journal, crashed_operation_in, is_worked_on
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.report import Report
from fmx_restart.tests.adapters.forked import Forked
from fmx_restart.tests.adapters.nfs_locks import AS_ON_NFS
from fmx_restart.tests.adapters.waiting import eventually

OPERATION = "20261101-120000-0001"


class GuardianTest(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory(prefix="fmx-guardian-")
		self.addCleanup(folder.cleanup)
		bench = Path(folder.name)
		self.sites, self.folder = bench / "sites", bench / "logs" / "fmx_restart"
		for path in (self.sites, bench / "apps"):
			path.mkdir()
		(self.sites / "apps.txt").write_text("frappe\n")
		(self.sites / "common_site_config.json").write_text(
			json.dumps({"redis_queue": "redis://localhost:1"})
		)
		self.path = self.folder / f"{OPERATION}.jsonl"
		self.environ = {"PYTHONPATH": os.pathsep.join(sys.path), "FRAPPE_BENCH_ROOT": str(bench)}

	def hold(self, start: type[subprocess.Popen] = Forked) -> subprocess.Popen:
		"""An operation that has begun and changed nothing, in a process of its own."""
		code = (
			"import sys, time\nfrom pathlib import Path\nfrom fmx_restart.adapters.journal import Journal\n"
			"from fmx_restart.engine import events\n"
			f"journal = Journal(Path(sys.argv[1]), {OPERATION!r})\n"
			f"journal(events.OperationStarted({OPERATION!r}, 'bench', 'fast'))\n"
			"print(1, flush=True)\ntime.sleep(300)"
		)
		words = [sys.executable, "-c", code, str(self.folder)]
		holder = start(words, stdout=subprocess.PIPE, env={**os.environ, **self.environ})
		self.addCleanup(holder.communicate)
		self.addCleanup(holder.kill)
		holder.stdout.readline()
		return holder

	def guard(self) -> subprocess.Popen:
		before = dict(os.environ)
		os.environ.update(self.environ)
		back = os.open(".", os.O_RDONLY)
		os.chdir(self.sites)
		try:
			guardian = start_guardian(OPERATION, self.path, self.folder / "guardian.log")
		finally:
			os.fchdir(back)
			os.close(back)
			os.environ.clear()
			os.environ.update(before)
		self.addCleanup(guardian.wait)
		self.addCleanup(guardian.kill)
		return guardian

	def log(self) -> str:
		return (self.folder / "guardian.log").read_text()


class TestGuardian(GuardianTest):
	def test_it_is_seen_to_wait_and_recovers_as_soon_as_the_process_is_gone(self):
		holder = self.hold()
		guardian = self.guard()
		self.assertIsNone(guardian.poll())
		self.assertFalse(is_closed(self.path))
		holder.kill()
		self.assertEqual(guardian.wait(60), 0, self.log())
		self.assertEqual(crashed_operation_in(self.path).phase, Phase.RECOVERED)

	def test_after_an_operation_that_ended_well_it_imports_nothing(self):
		with closing(Journal(self.folder, OPERATION)) as journal:
			journal(events.OperationStarted(OPERATION, "bench", "fast"))
			journal(events.Ended(Report(OPERATION, "bench", "fast", 0.0, outcome=Phase.DONE)))
		code = (
			"import os, sys\nfrom fmx_restart.guardian import main\n"
			"main(*sys.argv[1:], os.open(os.devnull, os.O_WRONLY))\n"
			"print(*{'redis', 'fmx_restart.recover', 'fmx_restart.engine.events'} & set(sys.modules))"
		)
		done = subprocess.run(
			[sys.executable, "-c", code, OPERATION, str(self.path)],
			cwd=self.sites,
			env={**os.environ, **self.environ},
			capture_output=True,
			text=True,
		)
		self.assertEqual((done.returncode, done.stdout), (0, "\n"), done.stderr)

	def test_it_has_the_journal_open_for_writing_as_locks_on_nfs_want_it(self):
		self.hold()
		guardian = self.guard()
		opened = {link.name: link.readlink() for link in Path(f"/proc/{guardian.pid}/fd").iterdir()}
		(number,) = [number for number, path in opened.items() if path == self.path]
		info = Path(f"/proc/{guardian.pid}/fdinfo/{number}").read_text()
		flags = int(info.split("flags:")[1].split()[0], 8)
		self.assertEqual(flags & os.O_ACCMODE, os.O_RDWR)

	def test_where_flock_is_emulated_it_waits_and_wakes_as_well(self):
		if not hasattr(fcntl, "F_OFD_SETLKW"):
			raise unittest.SkipTest("this Python knows no locks that belong to an open file")
		emulation = self.sites.parent / "emulation"
		emulation.mkdir()
		(emulation / "sitecustomize.py").write_text(AS_ON_NFS)
		self.environ["PYTHONPATH"] = os.pathsep.join([str(emulation), *sys.path])
		holder = self.hold(subprocess.Popen)  # an interpreter of its own reads sitecustomize.py
		self.assertFalse(
			is_worked_on(self.path), "the two kinds of locks do not see each other on a local disk"
		)
		guardian = self.guard()
		self.assertIsNone(guardian.poll(), self.log())
		holder.kill()
		self.assertEqual(guardian.wait(60), 0, self.log())
		self.assertEqual(crashed_operation_in(self.path).phase, Phase.RECOVERED)

	def test_one_that_dies_at_its_start_is_noticed_with_its_last_words(self):
		self.path.mkdir(parents=True)  # it cannot be opened as a file
		with self.assertRaisesRegex(
			WrongEnvironment, "ended as soon as it was started: IsADirectoryError"
		) as raised:
			self.guard()
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertIn("Nothing was changed", str(raised.exception))
		self.assertIn("guardian.log", raised.exception.hint)

	def test_a_second_one_is_noticed_by_its_own_last_words(self):
		self.folder.mkdir(parents=True)
		(self.folder / "guardian.log").write_text("an older error\n")
		with self.assertRaisesRegex(WrongEnvironment, "FileNotFoundError"):
			self.guard()

	def test_a_disk_that_is_full_keeps_nobody_from_starting_it(self):
		with closing(Journal(self.folder, OPERATION)) as journal:
			journal(events.OperationStarted(OPERATION, "bench", "fast"))
			(self.folder / "guardian.log").symlink_to("/dev/full")
			self.assertIsNone(self.guard().poll())

	def test_one_that_was_started_for_a_dead_operation_recovers_it_at_once(self):
		with closing(Journal(self.folder, OPERATION)) as journal:
			journal(events.OperationStarted(OPERATION, "bench", "fast"))
		guardian = self.guard()
		self.assertEqual(guardian.wait(60), 0, self.log())
		eventually(lambda: is_closed(self.path), "it has an end")
