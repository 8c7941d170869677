"""An operation that dies before it changed anything leaves its lock, and nothing else."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import BenchBusy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Hold, ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run


class TestDeadEarly(unittest.TestCase):
	def setUp(self) -> None:
		self.bench = InMemoryBench({"short": ("short",)})

	def dead_in_preflight(self) -> Run:
		"""It was killed when it had taken the lock."""
		dead = Run(self.bench)
		dead.operation.emit(dead.operation._beginning())
		self.assertIs(dead.operation.bench.lock.hold(dead.operation.note()), Hold.TAKEN)
		return dead

	def test_the_next_one_begins_as_soon_as_it_is_recovered(self):
		dead = self.dead_in_preflight()
		with self.assertRaises(BenchBusy):
			Run(self.bench, id="20991231-000000-0001").go()
		began = self.bench.clock.now()
		self.assertEqual(dead.recovery(self.bench).run().outcome, Phase.RECOVERED)
		self.assertEqual(self.bench.clock.now(), began)
		self.assertEqual(Run(self.bench, id="20991231-000000-0002").go().outcome, Phase.DONE)

	def test_the_lock_of_another_one_that_began_meanwhile_stays(self):
		# Given one that began when the dead one's lock had ended by itself
		dead = self.dead_in_preflight()
		self.bench.clock.sleep(dead.operation.bench.lock.seconds + 1)
		other = Run(self.bench, id="20991231-000000-0001").operation
		self.assertIs(other.bench.lock.hold(other.note()), Hold.TAKEN)
		self.assertEqual(dead.recovery(self.bench).run().outcome, Phase.RECOVERED)
		self.assertIs(other.bench.lock.hold(other.note()), Hold.KEPT)

	def test_it_is_recovered_also_while_redis_is_away(self):
		dead = self.dead_in_preflight()
		self.bench.queue.is_away = True
		self.bench.lock_slot.server.is_away = True
		self.assertEqual(dead.recovery(self.bench).run().outcome, Phase.RECOVERED)

	def test_a_program_that_got_no_order_and_is_still_starting_is_left_alone(self):
		# Given a program that was just started when an operation began, and that operation was killed right before its order
		dead = Run(self.bench)
		self.bench.processes["web"].state = ProcessState.STARTING

		def die(fact: events.Event) -> None:
			if isinstance(fact, events.ProcessStopping) and fact.name == "web":
				dead.operation.has_lost_lock = True  # it does nothing any more
				raise SystemExit

		dead.operation.listen(die)
		with self.assertRaises(SystemExit):
			dead.go()
		pid = self.bench.processes["web"].pid
		began = self.bench.clock.now()
		self.assertEqual(dead.recovery(self.bench).run().outcome, Phase.RECOVERED)
		self.assertEqual(self.bench.processes["web"].pid, pid)
		self.assertLess(self.bench.clock.now() - began, 60)
