"""
The folder of one bench on two machines: what this one does about an operation that died on the other. The commands are
real, and so are Redis, the journal and the site's file; only the machine in the journal's first line is made up.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from fmx_restart.adapters.journal import Journal, crashed_operation_in
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.adapters.machine import this_machine
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.engine import events
from fmx_restart.engine.emitter import FORMAT
from fmx_restart.engine.identity import Holder, Machine
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind, Setting
from fmx_restart.tests.adapters.forked import run_forked
from fmx_restart.tests.adapters.redis_server import RedisTestCase

OPERATION = "20261101-120000-0001"
SITE = "one.localhost"
OTHER = Machine("a.example", "another-id", "another-boot", 1.0)
KEY = "maintenance_mode"
CLOSED = events.SettingChanged(Setting(SITE, KEY), Setting(SITE, KEY, 1, True))
DOWN = events.ProcessStopping("bench-web:web", ProcessKind.WEB, 4242)


class TestOtherMachine(RedisTestCase):
	has_port = True

	def setUp(self):
		super().setUp()
		folder = tempfile.TemporaryDirectory(prefix="fmx-machines-")
		self.addCleanup(folder.cleanup)
		self.bench = Path(folder.name)
		self.config = self.bench / "sites" / SITE / "site_config.json"
		for name in (f"sites/{SITE}/locks", "apps", "config", "logs/fmx_restart"):
			(self.bench / name).mkdir(parents=True)
		self.config.write_text(json.dumps({KEY: 1}))
		(self.bench / "sites" / "apps.txt").write_text("frappe\n")
		common = {"redis_queue": f"redis://127.0.0.1:{self.server.port}", "bench_id": "shared"}
		(self.bench / "sites" / "common_site_config.json").write_text(json.dumps(common))
		self.path = self.bench / "logs" / "fmx_restart" / f"{OPERATION}.jsonl"

	def die(
		self, *facts: events.Event, machine: Machine | None = OTHER, host: str = "", number: int = FORMAT
	) -> bytes:
		"""What the journal holds of an operation whose process is gone."""
		started = events.OperationStarted(
			OPERATION, "shared", "wait-workers", host or machine.name, machine=machine, format=number
		)
		with closing(Journal(self.path.parent, OPERATION)) as journal:
			for fact in (started, *facts):
				journal(fact)
		return self.path.read_bytes()

	def command(self, *options: str) -> subprocess.CompletedProcess:
		environ = {
			**os.environ,
			"PYTHONPATH": os.pathsep.join(sys.path),
			"FRAPPE_BENCH_ROOT": str(self.bench),
		}
		words = [sys.executable, "-m", "fmx_restart", "safe-restart", *options]
		return run_forked(words, cwd=self.bench / "sites", env=environ, timeout=120)

	def assert_refused(self, done: subprocess.CompletedProcess, code: int, *texts: str) -> None:
		self.assertEqual(done.returncode, code, done.stdout + done.stderr)
		for text in texts:
			self.assertIn(text, done.stderr)
		self.assertNotIn("Traceback", done.stderr)

	def assert_untouched(self, journal: bytes) -> None:
		self.assertEqual(self.path.read_bytes(), journal)
		self.assertEqual(json.loads(self.config.read_text()), {KEY: 1})

	def hold_lock(self, *, is_recovery: bool = False) -> None:
		note = Holder(OPERATION, "ada", OTHER.name, 1, "Restart", since=1.0, is_recovery=is_recovery).note()
		self.admin.set(lock_key("shared"), f"{OPERATION} {note}", ex=30)

	def test_it_is_not_recovered_here_and_the_answer_says_what_to_type_where(self):
		journal = self.die(events.PhaseEntered(Phase.RESTART), CLOSED, DOWN)
		done = self.command("recover")
		self.assert_refused(
			done,
			7,
			"ran on a.example and died there during the restart of the processes",
			"stopped: bench-web:web; maintenance_mode of one.localhost changed",
			"On a.example, type: bench safe-restart recover",
			"bench safe-restart recover --take-over",
		)
		self.assert_untouched(journal)

	def test_equal_host_names_do_not_make_it_this_machines(self):
		journal = self.die(CLOSED, machine=Machine(this_machine().name, "another-id", "another-boot", 1.0))
		self.assert_refused(self.command("recover"), 7, "Only that machine can see its programs")
		self.assert_untouched(journal)

	def test_a_new_operation_does_not_begin_where_it_left_something_that_stays(self):
		journal = self.die(events.PhaseEntered(Phase.RESTART), CLOSED, DOWN)
		self.assert_refused(self.command("--wait-workers", "--yes"), 7, "On a.example, type")
		self.assert_untouched(journal)
		self.assertEqual([path.name for path in self.path.parent.glob("*.jsonl")], [self.path.name])

	def test_where_it_left_nothing_that_stays_a_new_one_goes_on_and_names_it(self):
		journal = self.die(events.PhaseEntered(Phase.DRAIN))
		done = self.command("--wait-workers", "--yes")
		self.assertIn(f"operation {OPERATION} died on a.example and left nothing behind", done.stdout)
		self.assertIn("supervisor", done.stderr)  # this bench has none: as far as it can get
		self.assert_untouched(journal)

	def test_one_that_still_holds_the_bench_lives_whatever_its_journal_looks_like_from_here(self):
		journal = self.die(events.PhaseEntered(Phase.RESTART), DOWN)
		self.hold_lock()
		done = self.command("recover")
		self.assertEqual((done.returncode, done.stdout.count("Nothing to recover")), (0, 1), done.stderr)
		self.assert_untouched(journal)
		status = self.command("status")
		self.assertNotIn("was not recovered", status.stdout)
		self.assert_untouched(journal)

	def test_taking_over_opens_the_sites_and_names_the_programs_that_nobody_looked_at(self):
		self.die(events.PhaseEntered(Phase.RESTART), CLOSED, DOWN)
		done = self.command("recover", "--take-over")
		self.assert_refused(done, 4, "Not examined, and perhaps down on a.example: bench-web:web")
		self.assertEqual(json.loads(self.config.read_text()), {})
		self.assertTrue(is_closed(self.path))
		self.assertEqual(crashed_operation_in(self.path).phase, Phase.FAILED)
		self.assertFalse(self.admin.exists(lock_key("shared"), "rq:suspended"))

	def test_one_that_holds_the_bench_or_its_journal_is_not_taken_over(self):
		journal = self.die(CLOSED)
		with self.path.open("rb+") as file:
			fcntl.flock(file, fcntl.LOCK_EX)
			done = self.command("recover", "--take-over")
			self.assertIn("Nothing to recover: no operation of this bench has died", done.stdout)
		self.assert_untouched(journal)
		self.hold_lock()
		done = self.command("recover", "--take-over")
		self.assert_refused(
			done, 75, f"{OPERATION} by ada", "If a.example is gone, its lock ends within 30 s."
		)
		self.assertNotIn("Nothing to recover", done.stdout)
		self.assert_untouched(journal)

	def test_nothing_is_taken_over_by_the_way(self):
		journal = self.die(CLOSED)
		self.assertEqual(self.command("--take-over", "--yes").returncode, 2)
		self.assert_untouched(journal)

	def test_its_own_is_recovered_as_ever(self):
		self.die(events.PhaseEntered(Phase.DRAIN), CLOSED, machine=this_machine())
		done = self.command("recover")
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
		self.assertEqual(json.loads(self.config.read_text()), {})
		self.assertEqual(crashed_operation_in(self.path).phase, Phase.RECOVERED)

	def test_while_another_process_recovers_it_there_is_something_to_wait_for(self):
		# Given an operation that died, whose journal another process has open
		journal = self.die(CLOSED, machine=this_machine())
		self.hold_lock(is_recovery=True)
		with self.path.open("rb+") as file:
			fcntl.flock(file, fcntl.LOCK_EX)
			# Then nobody is told that none has died
			done = self.command("recover")
		self.assert_refused(
			done, 75, "Another process is already recovering it", OPERATION, "safe-restart attach"
		)
		self.assertNotIn("Nothing to recover", done.stdout)
		self.assert_untouched(journal)

	def test_of_an_older_version_the_host_name_decides(self):
		self.die(CLOSED, machine=None, host=this_machine().name, number=0)
		self.assertEqual(self.command("recover").returncode, 0)
		self.path.unlink()
		journal = self.die(CLOSED, machine=None, host="a.example", number=0)
		self.config.write_text(json.dumps({KEY: 1}))
		self.assert_refused(self.command("recover"), 7, "On a.example")
		self.assert_untouched(journal)

	def test_a_journal_that_is_not_understood_stops_recovery_and_the_next_operation(self):
		self.die(CLOSED, DOWN, machine=this_machine())
		with self.path.open("a") as journal:
			journal.write('{"event": "PhaseEntered", "time": 1.0, "phase": "Migrating"}\n')
		before = self.path.read_bytes()
		for options in (["recover"], ["--wait-workers", "--yes"]):
			with self.subTest(options):
				self.assert_refused(
					self.command(*options),
					7,
					f"Line 4 of {self.path} is not understood",
					"Nothing was changed",
				)
				self.assert_untouched(before)
