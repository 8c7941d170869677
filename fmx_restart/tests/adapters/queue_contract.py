"""
What every Queue must do for workers; what for jobs stands in queue_jobs_contract.py. Mixed into one test case per
implementation, which brings the queue itself (`queue`) and the bench around it: start_worker, kill_worker, enqueue,
fill, finish, lose, suspend, lift, new_fence, waiting, reason, traces and eventually.
"""

from __future__ import annotations

from fmx_restart.engine.ledger import Place
from fmx_restart.engine.ports import Worker, WorkerState
from fmx_restart.tests.adapters.ghosts import Ghosts


class QueueWaits(Ghosts):
	def wait_for_workers(self, number: int, state: WorkerState = WorkerState.IDLE) -> list[Worker]:
		"""Returns the bench's workers once this many are in that state, and none in another."""

		def found():
			workers = self.queue.look().workers
			return len(workers) == number and all(w.state is state for w in workers) and list(workers)

		try:
			return self.eventually(found, f"{number} workers are {state.value}")
		except AssertionError as error:
			raise AssertionError(f"{error}; what there is: {self.queue.look()}") from error

	def wait_until_running(self, *ids: str) -> None:
		"""rq 2 enters a job into the started registry before its hash says started, rq 1 together."""
		started = dict.fromkeys(ids, "started")
		self.eventually(lambda: self.queue.statuses(ids) == started, f"{ids} have started")
		self.eventually(lambda: {job.id for job in self.queue.look().started} >= set(ids), f"{ids} run")

	def wait_until_finished(self, *ids: str) -> None:
		done = dict.fromkeys(ids, "finished")
		self.eventually(lambda: self.queue.statuses(ids) == done, f"{ids} are finished")


class QueueContract(QueueWaits):
	def test_an_empty_bench_has_nothing_to_show(self):
		look = self.queue.look()
		self.assertEqual((look.workers, look.started, look.suspension), ((), (), None))
		self.assertEqual(look.other_benches, {})

	def test_an_idle_worker_is_seen_with_its_pid_and_its_queues_in_order(self):
		# Given a worker
		pid = self.start_worker("long", "default", "short")
		# When we look
		[worker] = self.wait_for_workers(1)
		# Then we know who it is, and since when
		self.assertEqual((worker.pid, worker.queues), (pid, ("long", "default", "short")))
		self.assertIsNone(worker.job_id)
		now = self.queue.look().time
		self.assertAlmostEqual(worker.born, now, delta=30)
		self.assertAlmostEqual(worker.heartbeat, now, delta=30)

	def test_a_busy_worker_and_the_job_it_runs_are_seen(self):
		# Given a worker, and a job that waits
		self.start_worker("short", "default")
		[idle] = self.wait_for_workers(1)
		self.enqueue("job-1", "default", waits=True)
		# When it runs
		[busy] = self.wait_for_workers(1, WorkerState.BUSY)
		self.wait_until_running("job-1")
		# Then worker and job name each other
		self.eventually(lambda: self.queue.look().workers[0].job_id == "job-1", "the worker names its job")
		[started] = self.queue.look().started
		self.assertEqual((started.id, started.worker), ("job-1", idle.name))
		self.assertGreater(started.expires, self.queue.look().time)
		self.assertEqual(busy.pid, idle.pid)
		self.finish("job-1")
		self.wait_until_finished("job-1")

	def test_waiting_jobs_are_counted_by_queue(self):
		for id, queue in (("a", "short"), ("b", "short"), ("c", "long")):
			self.enqueue(id, queue)
		self.assertEqual(self.queue.look().depths, {"short": 2, "long": 1})

	def test_a_queue_that_a_worker_listens_to_has_a_depth_even_if_it_was_never_used(self):
		self.start_worker("short", "default")
		self.wait_for_workers(1)
		self.assertEqual(self.queue.look().depths, {"short": 0, "default": 0})

	def test_the_suspension_is_seen_with_its_value(self):
		self.suspend("someone")
		self.assertEqual(self.queue.look().suspension, "someone")

	# a Redis that loses its data

	def test_workers_that_redis_forgot_are_still_known_by_what_they_were_and_what_they_write_since(self):
		# Given an idle worker and a busy one, seen once
		self.start_worker("short")
		self.wait_for_workers(1)
		self.start_worker("email")
		self.wait_for_workers(2)
		self.enqueue("job-1", "email", waits=True)
		self.wait_until_running("job-1")
		self.eventually(lambda: "job-1" in {w.job_id for w in self.queue.look().workers}, "it is named")
		before = {worker.pid: worker for worker in self.queue.look().workers}
		# When Redis loses all it had
		self.forget()
		# Then both are as they were, and it is told that nothing backs it
		after = {worker.pid: worker for worker in self.queue.look().workers}
		self.assertEqual(after.keys(), before.keys())
		for pid, worker in after.items():
			self.assertEqual((worker.state, worker.job_id), (before[pid].state, before[pid].job_id))
			self.assertEqual((worker.queues, worker.is_recorded), (before[pid].queues, False))
		# And the idle one can be woken and is seen to come to rest
		self.suspend("us")
		self.queue.wake(self.idle())
		at_rest = {(WorkerState.SUSPENDED, None), (WorkerState.BUSY, "job-1")}
		self.eventually(
			lambda: {(w.state, w.job_id) for w in self.queue.look().workers} == at_rest, "it is suspended"
		)

	def test_a_worker_that_took_its_leave_is_not_held_to_be_forgotten(self):
		pid = self.start_worker("short")
		self.wait_for_workers(1)
		self.stop_worker(pid)
		self.eventually(lambda: not self.queue.look().workers, "it is gone")

	# wake-ups

	def test_under_a_fence_every_idle_worker_is_woken_and_suspended_and_no_wake_up_remains(self):
		# Given idle workers on shared queues and on a queue of their own, and a busy one
		self.start_worker("email")
		[busy] = self.wait_for_workers(1)
		self.enqueue("job-1", "email", waits=True)
		self.wait_until_running("job-1")
		for queues in (("short", "default"), ("long", "default", "short"), ("mail",)):
			self.start_worker(*queues)
		self.eventually(lambda: len(self.idle()) == 3, "three workers are idle")
		# When the queue is suspended and they are woken
		self.suspend("us")

		def are_parked() -> bool:
			if idle := self.idle():
				self.queue.wake(idle)
			states = [worker.state for worker in self.queue.look().workers if worker.name != busy.name]
			return states == [WorkerState.SUSPENDED] * 3

		self.eventually(are_parked, "three workers are suspended")
		self.queue.recall()
		# Then nothing tells of the wake-ups, and the busy worker was left in peace
		self.assertEqual(self.traces(), set())
		self.assertEqual({job.id for job in self.queue.look().started}, {"job-1"})
		self.finish("job-1")
		self.wait_for_workers(4, WorkerState.SUSPENDED)

	def idle(self) -> list[Worker]:
		return [worker for worker in self.queue.look().workers if worker.state is WorkerState.IDLE]

	def test_without_a_fence_a_wake_up_is_harmless(self):
		# Given an idle worker that is woken though nobody suspended the queue
		self.start_worker("short", "default")
		self.queue.wake(self.wait_for_workers(1))
		# Then it goes back to its queue, nothing remains, and it runs the next job
		self.eventually(lambda: self.traces() == set(), "the wake-up is gone")
		self.wait_for_workers(1)
		self.assertEqual(self.queue.recall(), 0)
		self.enqueue("job-1", "default")
		self.wait_until_finished("job-1")

	def test_a_wake_up_that_nobody_takes_is_called_back_and_the_jobs_behind_it_stay(self):
		# Given a suspended worker, waiting jobs, and a wake-up for it all the same
		self.suspend("us")
		self.start_worker("short", "default")
		workers = self.wait_for_workers(1, WorkerState.SUSPENDED)
		self.enqueue("a", "short")
		self.enqueue("b", "short")
		self.queue.wake(workers)
		# Then it is no job of the bench
		self.assertEqual(self.queue.inventory().places.as_dict(), {"a": Place.WAITING, "b": Place.WAITING})
		self.assertEqual(self.unlisted(["a", "b"]), {})
		self.assertNotEqual(self.traces(), set())
		# And it can be called back, once
		self.assertEqual((self.queue.recall(), self.queue.recall()), (1, 0))
		self.assertEqual(self.traces(), set())
		self.assertEqual(self.queue.look().depths["short"], 2)

	# pills

	def test_a_pill_makes_a_worker_that_is_named_leave_and_no_other(self):
		# Given two workers on different queues
		self.start_worker("short")
		[leaves] = self.wait_for_workers(1)
		self.start_worker("long")
		[stays] = [worker for worker in self.wait_for_workers(2) if worker.name != leaves.name]
		# When each gets a pill that names one of them
		pills = [self.queue.ask_to_leave(queue, [leaves.name]) for queue in ("short", "long")]
		# Then that one is gone, the other one goes on, and no pill remains
		self.eventually(lambda: set(self.queue.statuses(pills).values()) == {None}, "both were taken")
		[worker] = self.wait_for_workers(1)
		self.assertEqual(worker.name, stays.name)
		self.eventually(lambda: self.traces() == set(), "nothing tells of the pills")
		self.enqueue("job-1", "long")
		self.wait_until_finished("job-1")

	def test_one_that_its_manager_tells_to_end_is_at_work_with_its_pill_until_then(self):
		self.start_worker("short")
		[worker] = self.wait_for_workers(1)
		pill = self.queue.ask_to_leave("short", [worker.name], [worker.name])
		self.eventually(lambda: self.queue.takers([pill]) == {pill: worker.name}, "it is at work with it")
		# Then it takes no job while others take theirs
		self.start_worker("long")
		self.enqueue("job-1", "short")
		self.enqueue("job-2", "long")
		self.wait_until_finished("job-2")
		self.assertEqual(self.queue.takers([pill]), {pill: worker.name})
		[now] = [one for one in self.queue.look().workers if one.name == worker.name]
		self.assertEqual((now.state, now.is_leaving), (WorkerState.BUSY, False))
		# And when it is told, it is gone soon
		self.stop_worker(worker.pid)
		self.wait_for_workers(1)
		self.assertEqual((self.waiting("short"), self.queue.takers([pill])), (["job-1"], {}))
		self.eventually(lambda: pill not in self.traces(), "nothing tells of the pill")

	def test_a_pill_that_nobody_takes_waits_first_and_is_called_back(self):
		self.enqueue("job-1", "short")
		pill = self.queue.ask_to_leave("short", ["gone"])
		self.assertEqual(self.waiting("short"), [pill, "job-1"])
		self.assertEqual(self.queue.statuses([pill]), {pill: "queued"})
		self.assertEqual(self.queue.inventory().places.as_dict(), {"job-1": Place.WAITING})
		self.assertEqual(self.queue.recall(), 1)
		self.assertEqual(self.queue.statuses([pill]), {pill: None})
