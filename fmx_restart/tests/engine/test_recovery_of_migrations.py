"""A migration whose operation is killed when the sites are migrated, and the queue runs again."""

from __future__ import annotations

from fmx_restart.engine import events
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.processes import Program
from fmx_restart.tests.engine.actors import HandedClock, OperationActor
from fmx_restart.tests.engine.killed import KilledOperations

WORKERS = {"short-worker": ("short",), "long-worker": ("long", "short")}
MIGRATE = Options(Strategy.WAIT_WORKERS, migration=MigrationOptions(), sites=("one.localhost",))


class TestKilledWhenTheQueueRunsAgain(KilledOperations):
	def setUp(self):
		self.clock = HandedClock()
		self.bench = InMemoryBench(WORKERS, clock=self.clock)
		self.processes = self.bench.processes
		self.processes._programs["socketio"] = Program("socketio", ProcessKind.SOCKETIO, pid=501)
		self.bench.host.add(501)

	def has_new_workers(self, actor: OperationActor) -> bool:
		up = {fact.name for fact in actor.of(events.ProcessUp)}
		return actor.crashed.phase is Phase.VERIFY and up >= WORKERS.keys()

	def test_what_was_not_replaced_is_and_no_job_of_a_new_worker_is_waited_for(self):
		dead = self.crash(MIGRATE, self.has_new_workers)
		self.assertNotIn("socketio", dead.crashed.replaced)
		jobs = [self.bench.queue.enqueue(f"job-{number}", queue="short", seconds=250) for number in range(4)]
		began = self.clock.now()
		report = self.recover(dead)
		self.assertLess(self.clock.now() - began, 30)
		self.assertEqual((report.outcome, self.processes["socketio"].pid != 501), (Phase.RECOVERED, True))
		# And nothing disturbed them
		self.assertEqual(dead.of(events.StillRunning), [])
		self.clock.sleep(600)
		self.assertEqual([(job.status, job.runs) for job in jobs], [("finished", 1)] * 4)
