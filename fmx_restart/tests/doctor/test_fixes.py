"""--fix, on a real Redis with real workers: jobs are counted before and after."""

from __future__ import annotations

import threading
from contextlib import closing
from unittest.mock import patch

import psutil

from fmx_restart.adapters.redis_queue.keys import FENCE_OWNERS, SUSPENDED, lock_key
from fmx_restart.adapters.redis_queue.leases import RedisFence, RedisLease
from fmx_restart.doctor.registry import FIXES, Step
from fmx_restart.engine.errors import BenchBusy, DrainTimeout
from fmx_restart.engine.ports import Hold
from fmx_restart.engine.steps import drain
from fmx_restart.engine.waiting import Patience
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.support import DoctorTestCase, dead_note
from fmx_restart.tests.doctor.test_operations import journal_in

SHORT = Patience(timeout=1.5, poll=0.01)  # for who never answers
OPERATION = "20261122-120000-beef"


class FixTestCase(DoctorTestCase):
	def steps(self, name: str) -> list[Step]:
		return list(FIXES.all()[name](self.view()))

	def status(self, id: str) -> str:
		return self.admin.hget(f"rq:job:{id}", "status").decode()

	def waiting(self, queue: str = "short") -> list[str]:
		return [id.decode() for id in self.admin.lrange(self.rq.queue(queue).key, 0, -1)]

	def ghost(self, id: str, queue: str = "short") -> str:
		job = self.rq.enqueue(id, queue)
		self.admin.lrem(self.rq.queue(queue).key, 0, job.id)
		return job.id

	def assert_nothing_of_ours_is_left(self) -> None:
		self.assertFalse(self.admin.exists(SUSPENDED, FENCE_OWNERS, lock_key(self.rq.id)))
		self.assertEqual([key for key in self.admin.scan_iter("rq:job:fmx-park-*")], [])


class TestPutBack(FixTestCase):
	def test_a_ghost_runs_once_and_before_the_job_that_came_after_it_and_the_count_is_right(self):
		# Given two workers, one at work, and a ghost
		self.rq.start_worker("short", "default")
		self.rq.enqueue("held", waits=True)
		eventually(lambda: self.status("held") == "started", "one is at work")
		self.ghost("lost")
		self.rq.enqueue("after")
		# When it is put back
		(step,) = self.steps("put-back")
		self.assertIn("lost", step.text)
		self.assertEqual(step.act(), "1 job put back.")
		# Then it waits in front of the other one, once, and everything runs once
		self.assertEqual(self.waiting(), ["lost", "after"])
		self.assert_nothing_of_ours_is_left()
		self.rq.finish("held")
		eventually(
			lambda: {self.status(id) for id in ("held", "lost", "after")} == {"finished"}, "all have run"
		)
		self.assertEqual((self.waiting(), self.admin.zcard(f"rq:finished:{self.rq.id}:short")), ([], 3))
		self.assert_clean(["ghost-jobs", "stranded-jobs"])

	def test_one_in_the_intermediate_list_is_put_back_and_leaves_that(self):
		self.ghost("lost")
		intermediate = self.rq.queue("short").key + ":intermediate"
		self.admin.lpush(intermediate, "lost")
		(step,) = self.steps("put-back")
		step.act()
		self.assertEqual((self.waiting(), self.admin.llen(intermediate)), (["lost"], 0))

	def test_nothing_is_put_back_twice(self):
		self.ghost("lost")
		(step,) = self.steps("put-back")
		step.act()
		self.assertIn("0 jobs put back; 1 job had been put back or removed", step.act())
		self.assertEqual(self.waiting(), ["lost"])

	def test_nothing_is_put_back_while_a_worker_may_still_hold_it(self):
		# Given a worker that was stopped: nobody knows whether it has popped the job
		pid = self.rq.start_worker("short")
		eventually(lambda: self.view().live_workers, "it has registered")
		process = psutil.Process(pid)
		process.suspend()
		self.addCleanup(process.resume)
		self.ghost("lost")
		(step,) = self.steps("put-back")
		# When someone wants it put back
		with patch.object(drain, "PATIENCE", SHORT), self.assertRaises(DrainTimeout) as caught:
			step.act()
		# Then it is not, and the queue is running as before
		self.assertIn(f"pid {pid}", str(caught.exception))
		self.assertEqual(self.waiting(), [])
		self.assert_nothing_of_ours_is_left()

	def test_nothing_is_put_back_while_a_worker_elsewhere_does_not_answer(self):
		worker = self.rq.register("short")
		self.admin.hset(worker.key, mapping={"hostname": "erp-2", "state": "idle"})
		self.ghost("lost")
		(step,) = self.steps("put-back")
		with patch.object(drain, "PATIENCE", SHORT), self.assertRaisesRegex(DrainTimeout, worker.name):
			step.act()
		self.assertEqual(self.waiting(), [])
		self.assert_nothing_of_ours_is_left()

	def test_nothing_is_put_back_while_an_operation_runs(self):
		self.ghost("lost")
		RedisLease(self.admin, lock_key(self.rq.id), OPERATION, seconds=30).hold("anna")
		(step,) = self.steps("put-back")
		with self.assertRaises(BenchBusy):
			step.act()
		self.assertEqual((self.waiting(), self.admin.exists(SUSPENDED)), ([], 0))

	def test_somebody_elses_suspension_stays(self):
		self.ghost("lost")
		self.admin.set(SUSPENDED, "1")
		(step,) = self.steps("put-back")
		step.act()
		self.assertEqual((self.waiting(), self.admin.get(SUSPENDED)), (["lost"], b"1"))

	def test_many_are_asked_for_by_queue(self):
		for number in range(11):
			self.ghost(f"lost-{number}", "long" if number % 2 else "short")
		self.assertEqual(
			[step.text.partition(":")[0][:18] for step in self.steps("put-back")],
			["Put 5 jobs back to", "Put 6 jobs back to"],
		)

	def test_workers_that_take_jobs_all_the_while_lose_none_and_run_none_twice(self):
		"""The race that it is about: ghosts are put back while workers pop."""
		for _ in range(2):
			self.rq.start_worker("short", "default")
		for number in range(3):
			self.ghost(f"lost-{number}")
		names = [f"job-{number}" for number in range(60)]
		arriving = threading.Thread(target=lambda: [self.rq.enqueue(name) for name in names])
		arriving.start()
		self.addCleanup(arriving.join)
		for step in self.steps("put-back"):
			step.act()
		arriving.join()
		key = f"rq:finished:{self.rq.id}:short"
		eventually(lambda: self.admin.zcard(key) == 63, "every job has run")
		ids = [*names, *(f"lost-{number}" for number in range(3))]
		self.assertEqual({self.admin.xlen(f"rq:results:{id}") for id in ids}, {1})  # a result for each run
		self.assert_clean(["ghost-jobs", "stranded-jobs", "abandoned-jobs"])


class TestStaleFence(FixTestCase):
	def fence(self, operation: str, bench: str = "") -> RedisFence:
		return RedisFence(self.admin, f"fmx_restart:{bench or self.rq.id}:{operation}", seconds=30)

	def test_it_is_lifted(self):
		self.fence(OPERATION).hold(dead_note(OPERATION))
		(step,) = self.steps("stale-fence")
		self.assertEqual(step.act(), "The queue is running.")
		self.assertFalse(self.admin.exists(SUSPENDED))

	def test_one_that_an_operation_has_taken_over_meanwhile_stays(self):
		self.fence(OPERATION).hold(dead_note(OPERATION))
		(step,) = self.steps("stale-fence")
		RedisLease(self.admin, lock_key(self.rq.id), "20261122-120001-cafe", seconds=30).hold()
		stem = f"fmx_restart:{self.rq.id}:"
		RedisFence(self.admin, f"{stem}20261122-120001-cafe", seconds=30, replaces=stem).hold()
		self.assertEqual(step.act(), "It is already gone.")
		self.assertTrue(self.admin.exists(SUSPENDED))

	def test_one_whose_operation_came_back_meanwhile_stays(self):
		self.fence(OPERATION).hold(dead_note(OPERATION))
		(step,) = self.steps("stale-fence")
		RedisLease(self.admin, lock_key(self.rq.id), OPERATION, seconds=30).hold()
		self.assertEqual(step.act(), "It is already gone.")
		self.assertTrue(self.admin.exists(SUSPENDED))

	def test_the_fence_of_another_bench_stays_and_its_time_too(self):
		self.fence(OPERATION).hold(dead_note(OPERATION))
		neighbour = self.fence(OPERATION, bench="home-ben-bench")
		neighbour.hold("ben")
		(step,) = self.steps("stale-fence")
		self.assertIn("still suspended by others", step.act())
		self.assertIs(neighbour.hold("ben"), Hold.KEPT)

	def test_behind_somebody_elses_suspension_it_goes_and_that_stays(self):
		self.fence(OPERATION).hold(dead_note(OPERATION))
		self.admin.set(SUSPENDED, "1")
		(step,) = self.steps("stale-fence")
		self.assertIn("still suspended by others", step.act())
		self.assertEqual((self.admin.get(SUSPENDED), self.steps("stale-fence")), (b"1", []))

	def test_there_is_no_step_for_somebody_elses(self):
		self.admin.set(SUSPENDED, "1")
		self.assertEqual(self.steps("stale-fence"), [])


class TestUnfinishedOperation(FixTestCase):
	def test_it_is_handed_to_the_recovery(self):
		journal_in(self.path, self.rq.id).close()
		asked = []
		self.ways["recover"] = asked.append
		(step,) = self.steps("unfinished-operation")
		self.assertEqual(step.act(), "Another process has already recovered it.")
		self.assertEqual(asked, [OPERATION])

	def test_one_that_runs_is_left_alone(self):
		with closing(journal_in(self.path, self.rq.id)):
			self.assertEqual(self.steps("unfinished-operation"), [])
