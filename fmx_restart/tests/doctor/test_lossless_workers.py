"""Which workers lose no job, and what is left of those that were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fmx_restart.adapters.redis_queue.keys import SUSPENDED
from fmx_restart.doctor.checks.lossless_workers import times_to_tell
from fmx_restart.engine.ports import ManagerSettings, ProcessKind, ProgramSettings
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.support import DoctorTestCase
from fmx_restart.worker.claims import Claims, KilledJob
from fmx_restart.worker.grace import VARIABLE
from fmx_restart.worker.owners import mark

NAME = "lossless-workers"
ON = {"fmx_restart_worker": 1}


class TestKinds(DoctorTestCase):
	def start(self, *, is_ours: bool) -> int:
		pid = self.rq.start_worker("short")
		worker = eventually(
			lambda: next((worker for worker in self.view().look.workers if worker.pid == pid), None),
			"it is there",
		)
		if is_ours:
			mark(self.admin, f"rq:worker:{worker.name}")
		return pid

	def test_frappes_own_workers_are_a_note_with_the_command(self):
		self.start(is_ours=False)
		found = self.finding(NAME)
		self.assertEqual((found.severity, found.remedy), ("note", "bench safe-restart setup worker"))

	def test_workers_that_should_be_ours_and_are_not_are_named(self):
		self.ways["config"] = lambda: ON
		self.start(is_ours=True)
		pid = self.start(is_ours=False)
		found = self.finding(NAME)
		self.assertEqual(found.severity, "warning")
		self.assertIn("1 of 2 workers are Frappe's own, though fmx_restart_worker is set", found.text)
		self.assertIn(f"pid {pid}", found.text)

	def test_where_all_are_ours_there_is_nothing_to_say(self):
		self.ways["config"] = lambda: ON
		self.start(is_ours=True)
		self.assert_clean([NAME])


class TestClaimsWithoutOwner(DoctorTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.rq.register("short", name="gone")
		mark(self.admin, "rq:worker:gone")
		self.admin.hset("rq:worker:gone", "fmx_born", "1")  # another process has its pid now
		self.claims = Claims(self.admin, self.rq.id, "gone")
		for id in ("not started", "started"):
			self.rq.enqueue(id)
		self.pop = lambda: self.claims.pop([self.rq.queue("short").key])[:2]

	def test_a_job_that_nobody_takes_care_of_is_named(self):
		_, claim = self.pop()
		self.claims.start(claim, KilledJob(), 90)
		found = self.finding("ownerless-claims")
		self.assertIn(claim.id, found.text)
		self.admin.hset(f"rq:job:{claim.id}", "status", "finished")
		self.assert_clean(["ownerless-claims"])

	def test_one_that_was_not_started_is_a_ghost_too_that_the_fix_puts_back(self):
		_, claim = self.pop()
		self.finding("ownerless-claims")
		self.assertIn(claim.id, self.finding("ghost-jobs").text)

	def test_under_the_fence_nobody_is_to_take_care_of_it(self):
		self.pop()
		self.admin.set(SUSPENDED, "an operation")
		self.assert_clean(["ownerless-claims"])


class TestGrace(DoctorTestCase):
	def configure(self, grace: object, stop_seconds: float | None, pid: int = 0) -> None:
		told = {} if grace is None else {"fmx_restart_worker_grace": grace}
		self.ways["config"] = lambda: {**ON, **told}
		words = ("bench", "worker", "--queue", "long,default")
		program = ProgramSettings("bench:long-worker", "bench", ProcessKind.WORKER, words, pid, stop_seconds)
		manager = InMemoryProcesses(FakeClock())
		manager.settings = lambda: ManagerSettings((program,), frozenset())
		self.ways["processes"] = lambda: manager

	def test_a_worker_that_is_killed_before_its_time_is_told(self):
		self.configure({"long,default": 2000}, 60)
		found = self.finding("worker-grace")
		self.assertEqual(found.severity, "warning")
		self.assertIn("killed after 60 s", found.text)

	def test_a_job_that_may_run_longer_than_the_worker_has_is_a_note(self):
		self.configure(60, 60)
		found = self.finding("worker-grace")
		self.assertEqual(found.severity, "note")
		self.assertIn("its jobs may run for 1500 s", found.text)

	def test_one_that_nobody_tells_and_that_is_killed_before_its_jobs_end_is_told_with_the_command(self):
		self.configure(None, 90)
		found = self.finding("worker-grace")
		self.assertEqual((found.severity, found.remedy), ("warning", "bench safe-restart setup worker"))
		self.assertIn("is killed 90 s after it was told to stop, but its jobs may run for 1500 s", found.text)
		self.configure({"short": 10}, 90)
		self.assertIn("is killed 90 s", self.finding("worker-grace").text)

	def test_one_whose_environment_tells_it_is_told(self):
		process = subprocess.Popen(
			[sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={VARIABLE: "1600"}
		)
		self.addCleanup(process.communicate)
		eventually(lambda: VARIABLE in Path(f"/proc/{process.pid}/environ").read_text(), "it has begun")
		self.configure(None, 90, pid=process.pid)
		self.assertIn("believes that it has 1600 s", self.finding("worker-grace").text)

	def test_the_setup_tells_workers_their_time_where_a_job_may_run_longer(self):
		for told, killed_after, expected in (
			(None, 90, {"long,default": 90}),
			({"short": 10}, 90, {"long,default": 90}),
			(60, 90, {}),
			(None, 1560, {}),
		):
			self.configure(told, killed_after)
			self.assertEqual(times_to_tell(self.view()), expected)

	def test_where_every_job_can_end_there_is_nothing_to_say(self):
		self.configure(1600, 1700)
		self.assert_clean(["worker-grace"])
