"""
Random histories of a bench, each reproducible by its number. Jobs arrive, finish and vanish, workers
are killed, the fence lapses, at any instant; whatever happens, the promises hold.
"""

from __future__ import annotations

import random
import unittest
from itertools import chain

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.workers import WAKE
from fmx_restart.tests.engine.support import Run
from fmx_restart.tests.repetitions import repetitions

HISTORIES = repetitions("random histories", 30, long=1000)
QUEUES = ("short", "default", "long")
SPAN = 16.0  # seconds in which things happen; a restart takes about 3 when no job runs


class History:
	"""What will happen is settled beforehand; the operation then runs into it."""

	def __init__(self, number: int) -> None:
		self.dice = random.Random(number)
		workers = {f"worker-{n}": self.some_queues() for n in range(self.dice.randint(1, 4))}
		self.bench = InMemoryBench({**workers, "all": QUEUES})
		self.clock, self.queue = self.bench.clock, self.bench.queue
		self.killed: set[str] = set()  # jobs whose worker was killed
		self.vanished: dict[str, float] = {}  # jobs that a dying worker popped, and when
		self.lapses: list[float] = []
		self.marks: dict[object, float] = {}  # phases, and kinds of facts → when
		self.touched_before_drained: list = []  # orders, and jobs that ran
		self.script(workers)

	def script(self, workers: dict) -> None:
		for n in range(self.dice.randint(0, 60)):
			self.sometime(lambda n=n: self.arrive(f"job-{n}"))
		for _ in range(self.dice.choice((0, 2, 5, 10))):
			self.sometime(self.vanish)
		for _ in range(self.dice.choice((0, 0, 1, 2))):
			self.sometime(self.lapse)
		for name in self.dice.sample(sorted(workers), self.dice.choice((0, 0, 1))):
			self.sometime(lambda name=name: self.kill(name))

	def run(self) -> Run:
		"""Starts the operation somewhere in the middle. Returns when all that was scripted is long over."""
		self.clock.sleep(self.dice.uniform(0, SPAN / 2))
		timeout = self.dice.choice((300, 300, 300, 1))
		run = Run(self.bench, Options(drain_timeout=timeout))
		run.operation.listen(self.mark)
		try:
			run.go()
		except OperationError:
			self.marks["failed"] = self.clock.now()
		self.left_behind = [self.bench.port().fence.holder(), self.bench.port().lock.holder()]
		self.left_behind += [id for id in chain(*self.queue.lists.values()) if id.startswith(WAKE)]
		self.clock.sleep(200)
		return run

	def mark(self, event: events.Event) -> None:
		self.marks[event.phase if isinstance(event, events.PhaseEntered) else type(event)] = self.clock.now()
		if isinstance(event, events.Drained):
			running = [worker.task for worker in self.queue.workers.values() if worker.task]
			self.touched_before_drained = [*self.bench.processes.orders, *running]

	# what happens

	def sometime(self, action) -> None:
		self.clock.at(self.dice.uniform(0, SPAN), action)

	def some_queues(self) -> tuple[str, ...]:
		return tuple(self.dice.sample(QUEUES, self.dice.randint(1, len(QUEUES))))

	def arrive(self, id: str) -> None:
		"""Now and then the fence lapses at the very end of a job, when the drain is about to be content."""
		seconds = self.dice.choice((0, 0.05, 0.5, self.dice.uniform(0, 8)))
		self.queue.enqueue(id, queue=self.dice.choice(QUEUES), seconds=seconds)
		if self.dice.random() < 0.1:
			self.clock.after(max(0.0, seconds - 0.02), self.lapse)

	def vanish(self) -> None:
		"""A worker pops a job and dies before it says so."""
		if waiting := [id for id in chain(*self.queue.lists.values()) if not id.startswith(WAKE)]:
			id = self.dice.choice(waiting)
			self.queue.lose(id)
			self.vanished[id] = self.clock.now()

	def lapse(self) -> None:
		if self.queue.suspension.value is not None:
			self.queue.suspension.value = None
			self.lapses.append(self.clock.now())

	def kill(self, name: str) -> None:
		"""SIGKILL to a worker that is up: its job stays started for ever."""
		for worker in list(self.queue.workers.values()):
			if worker.name.startswith(f"{name}@") and not worker.is_dead:
				self.killed |= {worker.task.id} if worker.task else set()
				self.queue.kill_worker(worker.name)
				self.bench.processes.end(name, ProcessState.FAILED, "killed")

	# what it left

	def happened_between(self, moments: list[float], first: object, last: object) -> list[float]:
		"""Nothing if the operation never came to `last`."""
		if first not in self.marks or last not in self.marks:
			return []
		return [moment for moment in moments if self.marks[first] < moment <= self.marks[last]]

	@property
	def ours_to_save(self) -> set[str]:
		"""Jobs that vanished while the ledger was open."""
		when = self.happened_between(list(self.vanished.values()), Phase.FENCE, Phase.LIFT)
		return {id for id, moment in self.vanished.items() if moment in when}


class TestHistories(unittest.TestCase):
	@classmethod
	def setUpClass(cls) -> None:
		cls.histories = [History(number) for number in range(HISTORIES)]
		cls.runs = [history.run() for history in cls.histories]

	@classmethod
	def tearDownClass(cls) -> None:
		del cls.histories, cls.runs

	def test_whatever_happens_the_promises_hold(self):
		for number, (history, run) in enumerate(zip(self.histories, self.runs, strict=True)):
			with self.subTest(history=number):
				self.check_jobs(history)
				self.check_account(run)
				self.check_order(history, run)
				self.assertEqual(history.left_behind, [None, None])

	def check_jobs(self, history: History) -> None:
		"""Each ran once, but for those that were popped and dropped outside of our watch."""
		lost = history.vanished.keys() - history.ours_to_save
		for task in history.queue.tasks.values():
			self.assertEqual(task.runs, 0 if task.id in lost else 1, task)
			if task.id not in lost | history.killed:
				self.assertEqual(task.status, "finished", task)

	def check_account(self, run: Run) -> None:
		account = run.operation.report.account
		if account:
			self.assertTrue(account.is_balanced, account)
			self.assertEqual(account.lost, [])

	def check_order(self, history: History, run: Run) -> None:
		"""No process is touched before the bench is drained, and no job starts before the fence is lifted."""
		self.assertEqual(history.touched_before_drained, [])
		if events.Drained not in history.marks:
			self.assertEqual(history.bench.processes.orders, [])
			self.assertIs(run.operation.report.outcome, Phase.ABORTED)
		if not history.happened_between(history.lapses, events.Drained, Phase.LIFT):
			epoch = history.clock.epoch
			starts = [task.started - epoch for task in history.queue.tasks.values() if task.started]
			self.assertEqual(history.happened_between(starts, events.Drained, Phase.LIFT), [])

	def test_the_histories_are_eventful(self):
		"""Every kind of thing happened at every kind of moment."""
		histories, runs = self.histories, self.runs
		outcomes = [run.operation.report.outcome for run in runs]
		self.assertGreater(outcomes.count(Phase.DONE), HISTORIES / 2)
		self.assertGreater(outcomes.count(Phase.ABORTED), HISTORIES / 20)
		self.assertGreater(sum(bool(history.ours_to_save) for history in histories), HISTORIES / 10)
		self.assertGreater(sum(bool(history.killed) for history in histories), HISTORIES / 40)
		self.assertGreater(sum(bool(run.of(events.FenceLapsed)) for run in runs), HISTORIES / 20)
		self.assertGreater(sum(bool(run.of(events.JobsPutBack)) for run in runs), HISTORIES / 10)


if __name__ == "__main__":
	unittest.main()
