"""Operations that are killed in the middle, and recovered, on a bench in memory."""

from __future__ import annotations

import unittest
from collections.abc import Callable

from fmx_restart.engine.options import Options
from fmx_restart.engine.report import Report
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.actors import Actor, HandedClock, OperationActor, RecoveryActor


class KilledOperations(unittest.TestCase):
	bench: InMemoryBench
	clock: HandedClock

	def crash(self, options: Options, is_there: Callable[[OperationActor], bool]) -> OperationActor:
		"""An operation that is killed as soon as this is so."""
		actor = OperationActor(self.bench, options, "operation-1")
		self.addCleanup(actor.discard)
		self.run_until(actor, lambda: is_there(actor))
		actor.is_killed = True
		return actor

	def run_until(self, actor: Actor, is_there: Callable[[], bool]) -> None:
		while not is_there():
			self.clock.sleep(max(0.0, actor.wakes_at - self.clock.now()))
			actor.step()

	def recover(self, dead: OperationActor) -> Report:
		actor = RecoveryActor(dead)
		self.addCleanup(actor.discard)
		self.run_until(actor, lambda: actor.is_over)
		return dead.facts[-1][1].report

	def kill_and_recover(self, options: Options, steps: int) -> None:
		"""Killed after so many looks at the outside, where it has not ended before, and recovered if it had begun."""
		left = [steps]

		def is_there(actor: OperationActor) -> bool:
			left[0] -= 1
			return left[0] < 0 or actor.is_over

		dead = self.crash(options, is_there)
		if not dead.is_over and dead.facts:
			self.recover(dead)

	def assert_jobs_go_on(self) -> None:
		"""All have run once, and one that comes now too."""
		queue = self.bench.queue
		queue.enqueue("later")
		self.clock.sleep(5)
		self.assertEqual({(task.status, task.runs) for task in queue.tasks.values()}, {("finished", 1)})
