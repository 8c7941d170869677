"""What every Queue must do for jobs: tell of them, find the lost ones, and put them back."""

from __future__ import annotations

from fmx_restart.engine.ledger import Place
from fmx_restart.tests.adapters.queue_contract import QueueWaits

LONG = 9000  # jobs


class QueueJobsContract(QueueWaits):
	def test_how_long_jobs_usually_take_is_known_from_those_that_finished(self):
		# Given a job that finished, and one that waits
		self.start_worker("short")
		self.enqueue("job-1", method="app.tasks.quick")
		self.wait_until_finished("job-1")
		self.enqueue("job-2", "long", method="app.tasks.new")
		# Then only what is known is told
		durations = self.queue.usual_durations(["app.tasks.quick", "app.tasks.new"])
		self.assertEqual(durations.keys(), {"app.tasks.quick"})
		self.assertLess(durations["app.tasks.quick"], 30)

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
		self.assertEqual(self.queue.inventory().places.as_dict(), expected)
		statuses = self.queue.statuses(["ran", "runs", "waits", "gone"])
		self.assertEqual(statuses, {"ran": "finished", "runs": "started", "waits": "queued", "gone": None})

	# ghosts

	def test_a_job_that_says_queued_and_stands_in_no_list_is_found(self):
		# Given three jobs, one of which was popped by a worker that died
		for id in ("a", "ghost", "b"):
			self.enqueue(id)
		self.lose("ghost")
		# Then it is in no inventory, and found among the unlisted
		self.assertEqual(set(self.queue.inventory().places.as_dict()), {"a", "b"})
		[(id, since)] = self.unlisted({"a", "b"}).items()
		self.assertEqual(id, "ghost")
		self.assertAlmostEqual(since, self.queue.look().time, delta=30)

	def test_ghosts_are_put_back_to_the_front_in_their_order_and_only_once(self):
		# Given two ghosts among waiting jobs
		for id in ("first", "second", "third"):
			self.enqueue(id)
		self.lose("first")
		self.lose("second")
		# When they are put back twice
		once = self.put_back(["first", "second"])
		again = self.put_back(["first", "second"])
		# Then they stand before the others, once
		self.assertEqual((sorted(once), again), (["first", "second"], []))
		self.assertEqual(self.waiting("short"), ["first", "second", "third"])

	def test_a_ghost_that_was_put_back_runs(self):
		self.enqueue("ghost")
		self.lose("ghost")
		self.put_back(["ghost"])
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
		self.assertEqual(self.put_back(["ran", "runs", "waits", "gone"]), [])
		self.assertEqual(self.waiting("short"), ["waits"])

	def test_in_a_long_queue_ghosts_go_to_the_front_and_what_waits_there_stays_where_it_is(self):
		# Given ghosts of a queue that is too long to be searched at once, and jobs at its front, in its middle and at its end
		self.enqueue("front")
		self.fill("short", LONG // 2, "a")
		self.enqueue("middle")
		self.fill("short", LONG // 2, "b")
		self.enqueue("end")
		before = list(self.waiting("short"))
		for id in ("first", "second"):
			self.enqueue(id)
			self.lose(id)
		# When all of them are put back, twice
		ids = ["front", "first", "middle", "second", "end"]
		once, again = self.put_back(ids), self.put_back(ids)
		# Then only the ghosts are
		self.assertEqual((sorted(once), again), (["first", "second"], []))
		self.assertEqual(self.waiting("short"), ["first", "second", *before])

	def lose_two(self) -> list[str]:
		for id in ("first", "second", "third"):
			self.enqueue(id)
		self.lose("first")
		self.lose("second")
		return ["first", "second"]

	def test_without_a_fence_of_ours_nothing_is_put_back(self):
		# Given ghosts, and a fence that was never held, that is released, or that someone lifted
		ghosts, fence = self.lose_two(), self.new_fence()

		def held_and_lifted() -> None:
			fence.hold()
			self.lift()

		for act in (lambda: None, fence.hold, fence.release, held_and_lifted):
			with self.subTest(act=act):
				act()
				outcome = self.queue.put_back(ghosts, fence)
				if act == fence.hold:
					self.assertEqual((sorted(outcome.pushed), outcome.refused), (ghosts, []))
					self.lose("first")
					self.lose("second")
				else:
					self.assertEqual((outcome.pushed, sorted(outcome.refused)), ([], ghosts))
					self.assertEqual(self.waiting("short"), ["third"])

	def test_under_somebody_elses_suspension_alone_nothing_is_put_back(self):
		ghosts = self.lose_two()
		self.suspend("1")
		self.assertEqual(self.queue.put_back(ghosts, self.new_fence()).pushed, [])

	def test_where_somebody_else_suspended_the_queue_too_ghosts_are_put_back(self):
		ghosts = self.lose_two()
		self.suspend("1")
		self.assertEqual(sorted(self.put_back(ghosts)), ghosts)

	def test_a_fence_that_lapses_between_two_ghosts_keeps_the_rest_where_it_is(self):
		for renews in (False, True):
			with self.subTest(renews=renews):
				self.put_back_while_someone_lifts_the_fence(renews)
				self.forget()

	def put_back_while_someone_lifts_the_fence(self, renews: bool) -> None:
		"""After the first ghost; it may stand again before the second."""
		ghosts, fence, calls = self.lose_two(), self.new_fence(), []
		fence.hold()

		def lift_when_one_is_back() -> None:
			if len(self.waiting("short")) == 2 and not calls:
				calls.append(self.lift())
				if renews:
					fence.hold()

		outcome = self.queue.put_back(ghosts, fence, lift_when_one_is_back)
		self.assertEqual((outcome.pushed, outcome.refused), (["second"], ["first"]))
		self.assertEqual(self.waiting("short"), ["second", "third"])

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
		self.assertEqual(self.queue.inventory().places.as_dict(), {"job-1": Place.FAILED})
		self.assertEqual(self.queue.look().started, ())
		self.assertEqual(self.reason("job-1"), "killed by operation-1")

	def test_killed_jobs_go_to_the_front_of_their_queue_in_their_order_and_only_once(self):
		# Given two killed jobs, and one that waits
		self.kill_while_it_runs("first", "second")
		self.queue.fail(["first", "second"], "killed")
		self.enqueue("third")
		# When they are requeued twice
		once = self.queue.requeue(["first", "second"], "killed")
		again = self.queue.requeue(["first", "second"], "killed")
		# Then they stand before the other one, once
		self.assertEqual((once, again), (["first", "second"], ["first", "second"]))
		self.assertEqual(self.waiting("short"), ["first", "second", "third"])
		self.assertEqual(set(self.queue.inventory().places.as_dict().values()), {Place.WAITING})

	def test_a_requeued_job_runs_as_it_was_enqueued(self):
		# Given a killed job that is back in its queue
		self.kill_while_it_runs("job-1")
		self.queue.fail(["job-1"], "killed")
		self.queue.requeue(["job-1"], "killed")
		before = self.queue.describe(["job-1"])["job-1"]
		self.assertEqual((before.site, before.method), ("one.localhost", "app.tasks.work"))
		# Then the next worker runs it to its end
		self.start_worker("short", "default")
		self.wait_until_running("job-1")
		self.finish("job-1")
		self.wait_until_finished("job-1")

	def test_a_requeued_job_is_not_touched_again_whatever_became_of_it(self):
		# Given a killed job that was put back, and that its next worker was killed with as well
		self.kill_while_it_runs("job-1")
		self.queue.fail(["job-1"], "killed once")
		self.queue.requeue(["job-1"], "killed once")
		pid = self.start_worker("short", "default")
		self.wait_until_running("job-1")
		# When someone repeats what was done after the first time
		self.queue.fail(["job-1"], "killed once")
		self.queue.requeue(["job-1"], "killed once")
		# Then it still runs, and waits nowhere
		self.assertEqual(self.queue.statuses(["job-1"]), {"job-1": "started"})
		self.assertEqual(self.waiting("short"), [])
		self.kill_worker(pid)
		self.queue.fail(["job-1"], "killed twice")
		self.assertEqual(self.queue.requeue(["job-1"], "killed once"), [])
		self.assertEqual(self.queue.requeue(["job-1"], "killed twice"), ["job-1"])

	def test_a_job_that_failed_for_another_reason_is_not_requeued(self):
		self.kill_while_it_runs("job-1")
		self.queue.fail(["job-1"], "killed by someone else")
		self.assertEqual(self.queue.requeue(["job-1"], "killed by operation-1"), [])
		self.assertEqual(self.waiting("short"), [])

	def test_only_failed_jobs_are_requeued(self):
		self.start_worker("short", "default")
		self.enqueue("runs", waits=True)
		self.wait_until_running("runs")
		self.enqueue("waits")
		self.assertEqual(self.queue.requeue(["runs", "waits", "gone"], "killed"), [])
		self.assertEqual(self.waiting("short"), ["waits"])
