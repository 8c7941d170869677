"""Workers made wrong on a real Redis, with real processes."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta, timezone

from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.engine import events
from fmx_restart.engine.phases import doing
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.support import DoctorTestCase, dead_note
from fmx_restart.tests.doctor.test_operations import journal_in

OPERATION = "20261122-120000-beef"
ALL = ("short", "default", "long")
CHECKS = ("no-workers", "unserved-queues", "stale-workers", "silent-workers", "old-code")


class TestWorkers(DoctorTestCase):
	def start(self, *queues: str) -> int:
		"""A worker that waits for a job."""
		pid = self.rq.start_worker(*queues)
		eventually(lambda: self.state_of(pid) == "idle", "the worker waits for jobs")
		return pid

	def state_of(self, pid: int) -> str | None:
		return next((w.state.value for w in self.view().look.workers if w.pid == pid), None)

	def app(self, changed: datetime) -> None:
		"""An app whose only module that counts was changed then; tests and node_modules do not count."""
		(self.path / "sites" / "apps.txt").write_text("shop\n")
		for name in ("shop/shop/api.py", "shop/shop/tests/test_api.py", "shop/shop/node_modules/x/x.py"):
			file = self.path / "apps" / name
			file.parent.mkdir(parents=True, exist_ok=True)
			file.touch()
		os.utime(self.path / "apps/shop/shop/api.py", (changed.timestamp(), changed.timestamp()))

	def test_a_healthy_bench_is_clean(self):
		self.app(datetime.now() - timedelta(days=1))
		self.start(*ALL)
		self.assert_clean(CHECKS)

	def test_a_bench_without_workers_is_told_once(self):
		self.rq.enqueue("one")
		self.assertIn("1 job wait", self.finding("no-workers").text)
		self.assert_clean([name for name in CHECKS if name != "no-workers"])

	def test_workers_that_an_operation_stopped_are_a_note_that_names_it(self):
		for phase in ("Migrate", "Restart"):
			self.hold(phase, os.getpid())
			found = self.finding("no-workers")
			self.assertEqual(found.severity, "note", phase)
			self.assertIn(f"{OPERATION} by anna", found.text)
			self.assertIn(f", {doing(phase)} (pid", found.text)
			self.assertTrue(self.examine("no-workers").is_healthy)

	def test_workers_that_no_living_operation_stopped_are_an_error(self):
		self.hold("Drain", os.getpid())  # it has stopped nothing yet
		self.assertEqual(self.finding("no-workers").severity, "error")
		self.hold("Migrate")  # it died, and its lock lasts for the rest of its lease
		self.assertEqual(self.finding("no-workers").severity, "error")
		self.admin.set(lock_key(self.rq.id), "anything else")
		self.assertEqual(self.finding("no-workers").severity, "error")

	def test_workers_that_a_dead_operation_stopped_are_not_to_be_started_by_hand(self):
		"""Its migration may still be under way: workers that start now would run jobs on a changing schema."""
		stopped = events.ProcessStopping("bench-workers:long", ProcessKind.WORKER, 4242)
		journal_in(self.path, self.rq.id, stopped).close()
		found = self.finding("no-workers")
		self.assertEqual((found.severity, found.remedy), ("error", "bench safe-restart recover"))
		self.assertIn(OPERATION, found.text)

	def hold(self, phase: str, pid: int | None = None) -> None:
		"""The bench, by an operation in that phase; without a pid its process is gone."""
		note = dead_note(OPERATION, pid=pid, phase=phase)
		self.admin.set(lock_key(self.rq.id), f"{OPERATION} {note}")

	def test_a_queue_that_nobody_listens_to_is_an_error_only_while_a_job_waits_in_it(self):
		self.ways["config"] = lambda: {"workers": {"mail": {}}}
		self.start(*ALL)
		self.assertEqual(
			(self.finding("unserved-queues").severity, self.finding("unserved-queues").subject),
			("warning", "mail"),
		)
		self.rq.enqueue("one", "mail")
		self.assertEqual(self.finding("unserved-queues").severity, "error")

	def test_an_empty_queue_that_is_no_more_configured_is_nobodys_business(self):
		self.start(*ALL)
		self.rq.enqueue("one", "old").delete()
		self.assert_clean(["unserved-queues"])

	def test_a_worker_that_was_killed_is_stale_and_another_one_is_not(self):
		pid = self.start(*ALL)
		other = self.start(*ALL)
		self.rq.kill_worker(pid)
		found = self.finding("stale-workers")
		self.assertIn(f"pid {pid}", found.text)
		self.assertNotIn(f"pid {other}", found.text)

	def test_a_worker_elsewhere_is_judged_by_its_heartbeat(self):
		worker = self.rq.register(*ALL)
		self.admin.hset(worker.key, mapping={"hostname": "erp-2", "state": "idle"})
		self.beat(worker.key, timedelta(minutes=9))
		self.assert_clean(["stale-workers"])  # RQ lets the record of a worker expire that does not beat
		self.admin.persist(worker.key)
		self.assertIn("erp-2", self.finding("stale-workers").text)

	def test_a_worker_of_another_bench_counts_for_nothing(self):
		self.start(*ALL)
		worker = self.rq.register("short")
		self.admin.hset(worker.key, mapping={"queues": "home-ben-bench:short", "hostname": "erp-2"})
		self.beat(worker.key, timedelta(hours=1))
		self.assert_clean(CHECKS)
		self.assertEqual(len(self.examine().details["workers"]), 1)

	def test_a_process_that_is_stopped_is_told_at_once(self):
		pid = self.start(*ALL)
		self.assert_clean(["silent-workers"])
		os.kill(pid, signal.SIGSTOP)
		eventually(lambda: self.findings("silent-workers"), "the kernel says that it is stopped")
		self.assertEqual(self.finding("silent-workers").remedy, f"kill -CONT {pid}")

	def test_a_process_that_is_there_and_has_not_beaten_in_time_hangs(self):
		pid = self.start(*ALL)
		(worker,) = self.view().look.workers
		self.beat(f"rq:worker:{worker.name}", timedelta(minutes=8))
		# A heartbeat that looks old because a clock was set is none: Redis remembers for how long it is good
		self.assert_clean(["silent-workers"])
		self.admin.expire(f"rq:worker:{worker.name}", 30)
		self.assertIn(f"--pid {pid}", self.finding("silent-workers").remedy)

	def test_a_worker_that_was_started_long_before_the_code_changed_has_old_code(self):
		self.app(datetime.now())
		self.start(*ALL)
		self.assert_clean(["old-code"])  # it may have been starting just then
		(worker,) = self.view().look.workers
		born = datetime.now(timezone.utc) - timedelta(minutes=5)
		self.admin.hset(f"rq:worker:{worker.name}", "birth", f"{born:%Y-%m-%dT%H:%M:%S.%fZ}")
		found = self.finding("old-code")
		self.assertEqual((found.subject, found.severity), ("shop", "warning"))
		self.assertIn("shop/api.py", found.text)

	def beat(self, key: str, ago: timedelta) -> None:
		"""Its last heartbeat is that old."""
		at = datetime.now(timezone.utc) - ago
		self.admin.hset(key, "last_heartbeat", f"{at:%Y-%m-%dT%H:%M:%S.%fZ}")
