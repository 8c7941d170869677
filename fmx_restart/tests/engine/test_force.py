from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, Interrupted, ProcessFault
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Likeness, ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
FAST = Options(Strategy.FAST, drain_timeout=30, on_timeout=OnTimeout.KILL)
SUSPEND = Options(Strategy.SUSPEND_RQ, on_timeout=OnTimeout.KILL, force_kill_timeout=30)


class TestForce(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def endless(self):
		return self.bench.queue.enqueue("endless", queue="short", seconds=1e9)

	def test_a_job_that_ends_within_the_grace_is_left_in_peace(self):
		task = self.bench.queue.enqueue("quick", queue="short", seconds=20)
		report = Run(self.bench, FAST).go()
		self.assertEqual((task.status, report.interrupted), ("finished", []))

	def test_a_job_that_outlasts_the_grace_is_killed_with_its_process_named_and_failed_with_the_reason(self):
		# Given an endless job
		task = self.endless()
		run = Run(self.bench, FAST)
		# When the bench is restarted the fast way
		report = run.go()
		# Then its process is gone, and everybody can read why
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual([job.id for job in report.interrupted], ["endless"])
		self.assertEqual(len(self.bench.host.killed), 1)
		self.assertEqual(task.status, "failed")
		self.assertIn("operation-1 gave it 30 s", task.reason)
		self.assertEqual(len(run.of(events.JobsInterrupted)), 1)

	def test_with_requeue_it_waits_at_the_front_of_its_queue_again_once(self):
		# Given an endless job, and another one behind it
		task = self.endless()
		self.bench.clock.at(1, lambda: self.bench.queue.enqueue("behind", queue="short"))
		task_runs_before = task.runs
		# When the bench is restarted and killed jobs are to go back
		options = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE)
		report = Run(self.bench, options).go()
		# Then the ledger has it as put back, and it was started exactly once more
		self.assertEqual((report.requeued, report.account.requeued), (["endless"], 1))
		self.assertTrue(report.account.is_balanced)
		self.assertEqual(task.runs, task_runs_before + 1)

	def test_a_killed_job_that_another_worker_has_started_again_is_left_alone(self):
		# Given a job that RQ itself tries again: the fence lapses when it is killed, and a new worker elsewhere starts it
		task, end = self.endless(), self.bench.host.end
		run = Run(self.bench, Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE))

		def end_and_try_again(victims) -> None:
			end(victims)
			if task.runs == 1:
				self.bench.queue.suspension.value, task.status = None, "queued"
				self.bench.queue.lists["short"].insert(0, task.id)
				self.bench.queue.add_worker("new", 7, ["short"], host="host-2")

		self.bench.host.end = end_and_try_again
		# When the time is over, then it is neither failed beside its worker nor put back to run a third time
		with self.assertRaises(DrainTimeout):
			run.go()
		self.assertEqual((task.status, task.runs, task.worker), ("started", 2, "new"))
		self.assertEqual((run.operation.report.requeued, run.of(events.JobsInterrupted)), ([], []))

	def test_an_orphan_whose_time_is_over_is_ended_too(self):
		self.bench.host.add(99, is_horse=True)
		report = Run(self.bench, FAST).go()
		self.assertEqual((report.outcome, self.bench.host.killed), (Phase.DONE, [99]))

	def test_a_drain_that_gives_up_because_of_an_orphan_names_it(self):
		self.bench.host.add(99, is_horse=True)
		with self.assertRaisesRegex(DrainTimeout, "pid 99, a job process without its worker"):
			Run(self.bench, Options(drain_timeout=5)).go()

	def test_the_job_of_an_orphan_is_named_and_put_back_too(self):
		# Given a worker that was killed, and its horse that goes on with the job
		task = self.endless()
		worker = self.bench.queue.workers[task.worker]
		self.bench.queue.kill_worker(worker.name)
		self.bench.processes.end("short", ProcessState.FAILED)
		self.bench.host.add(99, is_horse=True)
		# When its time is over
		options = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE)
		report = Run(self.bench, options).go()
		# Then it does not vanish
		self.assertEqual((self.bench.host.killed, report.requeued), ([99], ["endless"]))
		self.assertEqual([job.id for job in report.interrupted], ["endless"])

	def test_a_job_of_another_machine_is_neither_failed_nor_put_back_and_nothing_is_killed_in_vain(self):
		# Given endless jobs, here and on another machine
		here = self.endless()
		self.bench.queue.add_worker("far", 7, ["far"], host="host-2")
		far = self.bench.queue.enqueue("far-away", queue="far", seconds=1e9)
		self.bench.clock.at(4, lambda: self.bench.queue._beat(self.bench.queue.workers["far"]))
		options = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE)
		# When the time is over
		with self.assertRaisesRegex(DrainTimeout, "Nothing was restarted"):
			Run(self.bench, options).go()
		# Then both go on
		self.assertEqual((here.status, far.status, far.runs), ("started", "started", 1))
		self.assertEqual(self.bench.host.killed, [])

	def test_a_job_whose_worker_is_alone_in_a_container_is_killed_with_that_which_is_started_again(self):
		# Given an endless job in a container of its own
		there = self.bench.add_host("c1", {"long": ("far",)})
		there["long"].is_alone = True
		there["long"].on_stop = self.kill_workers_of_c1
		far = self.bench.queue.enqueue("far-away", queue="far", seconds=1e9)
		# When the time is over
		run = Run(self.bench, Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE))
		report = run.go()
		# Then its container is killed and started, and the job runs again in the new one
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual((report.requeued, report.account.lost), (["far-away"], []))
		self.assertEqual((far.status, far.runs), ("started", 2))
		self.assertEqual(there.orders[:2], [("kill", "long"), ("start", "long")])

	def test_where_its_container_cannot_be_killed_nothing_is_written_down(self):
		there = self.bench.add_host("c1", {"long": ("far",)})
		there["long"].is_alone = True
		there.kill = lambda names: dict.fromkeys(names, ProcessFault("it would not"))
		far = self.bench.queue.enqueue("far-away", queue="far", seconds=1e9)
		with self.assertRaises(DrainTimeout):
			Run(self.bench, FAST).go()
		self.assertEqual((far.status, far.runs), ("started", 1))

	def test_a_stop_while_jobs_are_killed_comes_when_their_end_is_written_down_and_their_container_is_up_again(
		self,
	):
		for kind in (events.JobsCondemned, events.ProcessStopping):
			with self.subTest(kind):
				self.setUp()
				there = self.bench.add_host("c1", {"long": ("far",)})
				there["long"].is_alone = True
				there["long"].on_stop = self.kill_workers_of_c1
				here = self.endless()
				far = self.bench.queue.enqueue("far-away", queue="far", seconds=1e9)
				run = Run(self.bench, FAST)
				run.when(kind, run.operation.stop_requested.set)
				with self.assertRaises(Interrupted):
					run.go()
				self.bench.clock.sleep(5)
				self.assertEqual({it.name: it.state for it in there.list()}, {"long": ProcessState.RUNNING})
				self.assertEqual((here.status, far.status), ("failed", "failed"))
				interrupted = {job.id for job in run.operation.report.interrupted}
				self.assertEqual(interrupted, {"endless", "far-away"})

	def test_a_container_that_ends_late_is_not_left_down_where_another_one_does_not_end(self):
		late, never = (self.bench.add_host(name, {"long": (name,)}) for name in ("c1", "c2"))
		for there in (late, never):
			there["long"].is_alone = True
			self.bench.queue.enqueue(there._host.name, queue=there._host.name, seconds=1e9)
		kill = late.kill
		late.kill = lambda names: self.bench.clock.after(12, lambda: kill(names)) or {}
		never.kill = lambda names: {}
		run = Run(self.bench, FAST)
		with self.assertRaises(DrainTimeout):
			run.go()
		self.bench.clock.sleep(20)
		self.assertEqual([it.state for it in late.list()], [ProcessState.RUNNING])

	def test_a_container_that_was_killed_and_is_not_started_at_first_is_tried_again_and_never_left_in_silence(
		self,
	):
		for refusals in (1, 1_000):
			with self.subTest(refusals):
				self.setUp()
				there = self.bench.add_host("c1", {"long": ("far",)})
				there["long"].is_alone = True
				there["long"].on_stop = self.kill_workers_of_c1
				self.bench.queue.enqueue("far-away", queue="far", seconds=1e9)
				start, left = there.start, [refusals]
				there.start = lambda name, start=start, left=left: self.refuse(left) or start(name)
				run = Run(self.bench, FAST)
				if refusals == 1:
					self.assertEqual(run.go().outcome, Phase.DONE)
					self.assertEqual([it.state for it in there.list()], [ProcessState.RUNNING])
				else:
					with self.assertRaisesRegex(ProcessFault, "it would not"):
						run.go()

	def test_where_nothing_is_restarted_a_killed_container_that_cannot_be_started_is_named(self):
		there = self.bench.add_host("c1", {"long": ("far",)})
		there["long"].is_alone = True
		there["long"].on_stop = self.kill_workers_of_c1
		self.bench.queue.enqueue("far-away", queue="far", seconds=1e9)
		there.start = lambda name: self.refuse([1_000])
		run = Run(self.bench, FAST)
		run.when(events.JobsCondemned, run.operation.stop_requested.set)
		with self.assertRaisesRegex(ProcessFault, "not known to have been started again: c1/long") as raised:
			run.go()
		self.assertIn("it was killed with its job", run.of(events.ProcessFailed)[0].reason)
		# Then nobody reads that all is as it was
		self.assertIn("1 job was killed. No longer running: c1/long.", str(raised.exception))
		report = run.operation.report
		self.assertEqual((report.outcome, report.failure.type), (Phase.FAILED, "ProcessFault"))

	def test_one_that_gives_up_after_it_killed_a_container_names_it_in_place_of_nothing(self):
		for on_timeout, end in ((OnTimeout.KILL, "."), (OnTimeout.REQUEUE, " and is back in its queue.")):
			with self.subTest(on_timeout):
				self.setUp()
				there = self.bench.add_host("c1", {"long": ("far",)})
				there["long"].is_alone = True
				there["long"].on_stop = self.kill_workers_of_c1
				self.bench.queue.enqueue("far-away", queue="far", seconds=1e9)
				run = Run(self.bench, Options(Strategy.FAST, drain_timeout=5, on_timeout=on_timeout))
				run.when(events.JobsInterrupted, run.operation.stop_requested.set)
				with self.assertRaises(Interrupted) as raised:
					run.go()
				text, report = str(raised.exception), run.operation.report
				self.assertIn(f"1 job was killed{end}", text)
				self.assertIn("Restarted meanwhile: c1/long. Nothing else was restarted", text)
				self.assertEqual((report.outcome, report.restarted), (Phase.ABORTED, ["c1/long"]))

	def test_one_that_gives_up_after_it_killed_a_job_says_so(self):
		self.endless()
		run = Run(self.bench, FAST)
		run.when(events.JobsInterrupted, run.operation.stop_requested.set)
		with self.assertRaisesRegex(Interrupted, "1 job was killed. Nothing was restarted"):
			run.go()
		self.assertEqual(run.operation.report.restarted, [])

	def test_one_that_gives_up_names_what_others_restarted_or_stopped_while_it_waited(self):
		self.endless()
		run = Run(self.bench, Options(drain_timeout=30))

		def restart_web() -> None:
			self.bench.processes.stop("web")
			self.bench.clock.after(2, lambda: self.bench.processes.start("web"))
			self.bench.processes.stop("long")

		self.bench.clock.at(10, restart_web)
		with self.assertRaises(DrainTimeout) as raised:
			run.go()
		text = str(raised.exception)
		self.assertIn("No longer running: long. Restarted meanwhile: web. Nothing else was restarted", text)
		self.assertEqual(run.operation.report.restarted, ["web"])

	def refuse(self, left: list[int]) -> None:
		left[0] -= 1
		if left[0] >= 0:
			raise ProcessFault("it would not")

	def kill_workers_of_c1(self) -> None:
		for name, worker in list(self.bench.queue.workers.items()):
			if name.startswith("c1/") and not worker.is_dead:
				self.bench.queue.kill_worker(name)

	def test_a_process_that_only_has_the_pid_of_a_dead_worker_is_neither_waited_for_nor_signalled(self):
		# Given the record of a worker that was killed at work, and another process with its pid
		task = self.endless()
		worker = self.bench.queue.workers[task.worker]
		self.bench.queue.kill_worker(worker.name)
		self.bench.processes.end("short", ProcessState.FAILED)
		self.bench.host.add(worker.pid, likeness=Likeness.NONE)
		# When the bench is restarted, then nobody takes it for the worker
		report = Run(self.bench, FAST).go()
		self.assertEqual((report.outcome, report.waited_for), (Phase.DONE, []))
		self.assertEqual((self.bench.host.killed, len(self.bench.host.family(worker.pid))), ([], 1))

	def test_when_the_queue_comes_near_its_limit_the_drain_gives_up_early(self):
		# Given an endless job, and a queue that fills up
		self.endless()
		for number in range(90):
			self.bench.clock.at(10, lambda number=number: self.bench.queue.enqueue(f"job-{number}"))
		run = Run(self.bench, Options(drain_timeout=300, queue_limit=100))
		# When the bench waits for it
		with self.assertRaisesRegex(DrainTimeout, "after 10 s.*90 jobs wait in default, at 100") as raised:
			run.go()
		self.assertNotIn("timeout", raised.exception.hint)
		# Then it does not wait until frappe.enqueue begins to raise
		self.assertLess(run.operation.report.seconds, 20)
		self.assertEqual(run.of(events.QueueNearLimit), [events.QueueNearLimit("default", 90, 100)])


class TestSuspendRq(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def test_nothing_waits_for_a_running_job_but_its_own_worker(self):
		# Given a job of 20 seconds
		task = self.bench.queue.enqueue("running", queue="short", seconds=20)
		run = Run(self.bench, SUSPEND)
		# When the bench is restarted under a suspended queue
		report = run.go()
		# Then everything else was told to stop at once, and the job finished
		downs = {fact.name: fact.seconds for fact in run.of(events.ProcessDown)}
		self.assertLess(downs["web"], 1)
		self.assertGreater(downs["short"], 15)
		self.assertEqual((task.status, task.runs, report.account.finished), ("finished", 1, 1))

	def test_a_job_that_takes_longer_than_the_force_kill_timeout_is_killed_and_named(self):
		self.bench.queue.enqueue("endless", queue="short", seconds=1e9)
		report = Run(self.bench, SUSPEND).go()
		self.assertEqual([job.id for job in report.interrupted], ["endless"])
		self.assertEqual(report.outcome, Phase.DONE)
