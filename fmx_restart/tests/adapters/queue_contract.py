"""
What every Queue must do. Mixed into one test case per implementation, which brings the queue itself (`queue`)
and the bench around it: start_worker, kill_worker, enqueue, finish, lose, suspend, waiting, reason, traces and
eventually.
"""

from __future__ import annotations

from fmx_restart.engine.ports import Place, Worker, WorkerState


class QueueContract:
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

	# a look

	def test_an_empty_bench_has_nothing_to_show(self):
		look = self.queue.look()
		self.assertEqual((look.workers, look.started, look.suspension), ((), (), None))
		self.assertEqual(look.other_workers, 0)

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
		self.suspend("somebody")
		self.assertEqual(self.queue.look().suspension, "somebody")

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
		self.assertEqual(self.queue.inventory().places, {"a": Place.WAITING, "b": Place.WAITING})
		self.assertEqual(self.queue.unlisted(["a", "b"]), {})
		self.assertNotEqual(self.traces(), set())
		# And it can be called back, once
		self.assertEqual((self.queue.recall(), self.queue.recall()), (1, 0))
		self.assertEqual(self.traces(), set())
		self.assertEqual(self.queue.look().depths["short"], 2)

	# jobs

	def test_a_job_is_described_by_site_and_method(self):
		self.enqueue("job-1", "long", site="two.localhost", method="app.tasks.report", timeout=1500)
		[job] = self.queue.describe(["job-1", "gone"]).values()
		self.assertEqual((job.id, job.site, job.method), ("job-1", "two.localhost", "app.tasks.report"))
		self.assertEqual((job.queue, job.started, job.timeout), ("long", None, 1500))

	def test_a_running_job_is_described_with_the_moment_it_started(self):
		self.start_worker("short", "default")
		self.enqueue("job-1", waits=True)
		self.wait_until_running("job-1")
		self.eventually(lambda: self.queue.describe(["job-1"])["job-1"].started, "it has started")
		self.assertAlmostEqual(
			self.queue.describe(["job-1"])["job-1"].started, self.queue.look().time, delta=30
		)

	def test_the_inventory_and_the_statuses_tell_where_each_job_stands(self):
		# Given a job that ran, one that runs, and one that waits
		self.start_worker("short", "default")
		self.enqueue("ran")
		self.wait_until_finished("ran")
		self.enqueue("runs", waits=True)
		self.wait_until_running("runs")
		self.enqueue("waits")
		# Then each stands in one place
		expected = {"ran": Place.FINISHED, "runs": Place.RUNNING, "waits": Place.WAITING}
		self.assertEqual(self.queue.inventory().places, expected)
		statuses = self.queue.statuses(["ran", "runs", "waits", "gone"])
		self.assertEqual(statuses, {"ran": "finished", "runs": "started", "waits": "queued", "gone": None})

	# ghosts

	def test_a_job_that_says_queued_and_stands_in_no_list_is_found(self):
		# Given three jobs, one of which was popped by a worker that died
		for id in ("a", "ghost", "b"):
			self.enqueue(id)
		self.lose("ghost")
		# Then it is in no inventory, and found among the unlisted
		self.assertEqual(set(self.queue.inventory().places), {"a", "b"})
		[(id, since)] = self.queue.unlisted({"a", "b"}).items()
		self.assertEqual(id, "ghost")
		self.assertAlmostEqual(since, self.queue.look().time, delta=30)

	def test_ghosts_are_put_back_to_the_front_in_their_order_and_only_once(self):
		# Given two ghosts among waiting jobs
		for id in ("first", "second", "third"):
			self.enqueue(id)
		self.lose("first")
		self.lose("second")
		# When they are put back twice
		once = self.queue.put_back(["first", "second"])
		again = self.queue.put_back(["first", "second"])
		# Then they stand before the others, once
		self.assertEqual((sorted(once), again), (["first", "second"], []))
		self.assertEqual(self.waiting("short"), ["first", "second", "third"])

	def test_a_ghost_that_was_put_back_runs(self):
		self.enqueue("ghost")
		self.lose("ghost")
		self.queue.put_back(["ghost"])
		self.start_worker("short", "default")
		self.wait_until_finished("ghost")

	def test_only_ghosts_are_put_back(self):
		# Given a job that ran, one that runs, one that waits, and an id of nobody
		self.start_worker("short", "default")
		self.enqueue("ran")
		self.wait_until_finished("ran")
		self.enqueue("runs", waits=True)
		self.wait_until_running("runs")
		self.enqueue("waits")
		# Then none of them is put back
		self.assertEqual(self.queue.put_back(["ran", "runs", "waits", "gone"]), [])
		self.assertEqual(self.waiting("short"), ["waits"])

	# jobs that were killed on purpose

	def kill_while_it_runs(self, *ids: str) -> None:
		"""Each with its worker, so that nobody is left to record it."""
		for id in ids:
			pid = self.start_worker("short", "default")
			self.enqueue(id, waits=True)
			self.wait_until_running(id)
			self.kill_worker(pid)

	def test_a_killed_job_is_failed_and_says_why(self):
		self.kill_while_it_runs("job-1")
		self.queue.fail(["job-1", "gone"], "killed by operation-1")
		self.assertEqual(self.queue.statuses(["job-1"]), {"job-1": "failed"})
		self.assertEqual(self.queue.inventory().places, {"job-1": Place.FAILED})
		self.assertEqual(self.queue.look().started, ())
		self.assertEqual(self.reason("job-1"), "killed by operation-1")

	def test_killed_jobs_go_to_the_front_of_their_queue_in_their_order_and_only_once(self):
		# Given two killed jobs, and one that waits
		self.kill_while_it_runs("first", "second")
		self.queue.fail(["first", "second"], "killed")
		self.enqueue("third")
		# When they are requeued twice
		once = self.queue.requeue(["first", "second"])
		again = self.queue.requeue(["first", "second"])
		# Then they stand before the other one, once
		self.assertEqual((once, again), (["first", "second"], []))
		self.assertEqual(self.waiting("short"), ["first", "second", "third"])
		self.assertEqual(set(self.queue.inventory().places.values()), {Place.WAITING})

	def test_a_requeued_job_runs_as_it_was_enqueued(self):
		# Given a killed job that is back in its queue
		self.kill_while_it_runs("job-1")
		self.queue.fail(["job-1"], "killed")
		self.queue.requeue(["job-1"])
		before = self.queue.describe(["job-1"])["job-1"]
		self.assertEqual((before.site, before.method), ("one.localhost", "app.tasks.work"))
		# Then the next worker runs it to its end
		self.start_worker("short", "default")
		self.wait_until_running("job-1")
		self.finish("job-1")
		self.wait_until_finished("job-1")

	def test_only_failed_jobs_are_requeued(self):
		self.start_worker("short", "default")
		self.enqueue("runs", waits=True)
		self.wait_until_running("runs")
		self.enqueue("waits")
		self.assertEqual(self.queue.requeue(["runs", "waits", "gone"]), [])
		self.assertEqual(self.waiting("short"), ["waits"])
