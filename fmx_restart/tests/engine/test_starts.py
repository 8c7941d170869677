"""Web boots first, the others as the machine has processors for, and socketio once web answers."""

from __future__ import annotations

import unittest
from unittest.mock import patch

from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events, starts
from fmx_restart.engine.errors import Interrupted, ProcessFault
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import LiveMessages, ProcessKind, ProcessState, WebFault, WebMethod, WebWay
from fmx_restart.engine.replacement import Replacement
from fmx_restart.engine.starts import in_order
from fmx_restart.engine.steps.verify import BOOTS
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.processes import Program
from fmx_restart.tests.engine.support import Run

BOOT = 2.0  # seconds
WORKERS = {f"worker-{number}": ("short", "default") for number in range(4)}
TOGETHER = [Strategy.WAIT_WORKERS, Strategy.FAST, Strategy.NO_WAIT_WORKERS, Strategy.SUSPEND_RQ]


class StartsCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS, boot=BOOT)
		self.clock, self.host, self.processes = self.bench.clock, self.bench.host, self.bench.processes
		self.host.processors = 2
		self.add(Program("schedule", ProcessKind.SCHEDULER, start_takes=BOOT))
		self.add(Program("socketio", ProcessKind.SOCKETIO, start_takes=0.5))
		self.pids = {process.name: process.pid for process in self.processes.list()}
		self.most, self.start = 0, self.processes.start
		self.processes.start = self.count

	def add(self, program: Program) -> None:
		program.pid = 500 + len(self.processes._programs)
		self.host.add(program.pid)
		self.processes._programs[program.name] = program

	def count(self, name: str) -> None:
		self.start(name)
		self.most = max(self.most, len(self.host.booting))

	def starts(self) -> list[str]:
		return [name for order, name in self.processes.orders if order == "start"]

	def assert_all_new(self) -> None:
		for process in self.processes.list():
			self.assertEqual(process.state, ProcessState.RUNNING, process.name)
			self.assertNotEqual(process.pid, self.pids[process.name], process.name)


class TestOrder(StartsCase):
	def test_web_is_first_and_no_more_boot_at_once_than_there_are_processors(self):
		for strategy in TOGETHER:
			with self.subTest(strategy=strategy):
				self.setUp()
				Run(self.bench, Options(strategy)).go()
				self.assert_all_new()
				self.assertEqual(self.starts()[0], "web")
				self.assertEqual(self.most, 2)

	def test_with_room_for_all_nothing_waits(self):
		self.host.processors = 16
		run = Run(self.bench)
		run.go()
		self.assertEqual(self.most, 6)  # but socketio, which has its own moment
		self.assertLess(run.operation.report.seconds, 2 * BOOT + 6)

	def test_the_scheduler_is_down_first_and_starts_after_those_that_people_wait_for(self):
		for name in ("web", *WORKERS):
			self.processes[name].stop_takes = 0.3
		Run(self.bench).go()
		self.assertEqual(self.starts()[:2], ["web", "worker-0"])
		self.assertEqual(self.starts().index("schedule"), 5)

	def test_a_place_is_kept_for_a_moment_only(self):
		self.processes["web"].stop_takes = 6.0  # it ends a long request
		self.host.processors = 1
		Run(self.bench).go()
		self.assert_all_new()
		self.assertLess(self.starts().index("worker-0"), self.starts().index("web"))

	def test_with_more_programs_than_time_for_turns_the_rest_starts_at_once(self):
		# Given turns that are long, in place of many programs
		turns = patch.object(starts, "BOOTS_FOR", 4 * starts.BOOTS_FOR)
		turns.start()
		self.addCleanup(turns.stop)
		many = InMemoryBench({f"worker-{number}": ("short",) for number in range(8)}, boot=60.0)
		many.host.processors = 1
		run, seen, begun = Run(many), [], many.clock.now()

		def note(fact: events.Event) -> None:
			if len({name for order, name in many.processes.orders if order == "start"}) == 9:
				seen.append(many.clock.now() - begun)

		run.operation.listen(note)
		run.go()
		self.assertLess(seen[0], BOOTS.timeout + 10)

	def test_nobody_looks_who_boots_while_nothing_waits(self):
		self.host.processors = 16
		looks: list[int] = []
		self.host.is_runnable = lambda pid: bool(looks.append(pid))
		Run(self.bench, Options(web=False)).go()
		self.assertEqual(looks, [])

	def test_web_never_waits_for_others(self):
		self.processes["web"].stop_takes = 1.0  # the others are down before it, and boot
		run = Run(self.bench)
		run.go()
		web = next(change for change in run.operation.report.processes if change.kind is ProcessKind.WEB)
		self.assertAlmostEqual(web.seconds_down, BOOT, delta=0.2)

	def test_one_that_is_never_idle_keeps_the_others_back_for_a_bounded_time(self):
		self.host.processors = 1
		self.processes["web"].start_takes = 60.0
		run = Run(self.bench)
		run.go()
		self.assert_all_new()
		up = [fact.name for fact in run.of(events.ProcessUp)]
		self.assertLess(up.index("worker-0"), up.index("web"))

	def test_programs_that_differ_by_a_number_take_turns(self):
		port, names = self.bench.port(), ["long-0", "long-1", "short-0", "short-1", "web"]
		kinds = {"web": ProcessKind.WEB}
		listed = [Program(name, kinds.get(name, ProcessKind.WORKER)) for name in names]
		for program in listed:
			self.add(program)
		processes = [process for process in self.processes.list() if process.name in names]
		replacements = [Replacement(process, port, lambda fact: None) for process in processes]
		self.assertEqual(
			[replacement.old.name for replacement in in_order(replacements)],
			["web", "long-0", "short-0", "long-1", "short-1"],
		)


class TestBesideJobs(StartsCase):
	"""Where the queue runs on, a processor is left to the workers: Frappe gives them less of a busy one than any that boots."""

	def go(self, options: Options) -> Run:
		run = Run(self.bench, options)
		run.go()
		return run

	def times(self, run: Run, kind: type) -> dict[str, int]:
		return {fact.name: place for place, fact in enumerate(run.facts) if isinstance(fact, kind)}

	def test_one_boots_after_the_other(self):
		for options in (Options(Strategy.ROLLING), Options(workers=False)):
			with self.subTest(strategy=options.strategy):
				self.setUp()
				self.go(options)
				self.assertEqual(self.most, 1)
				self.assertEqual(next(name for name in self.starts() if name in ("web", "socketio")), "web")

	def test_the_scheduler_runs_on_until_web_answers(self):
		run = self.go(Options(Strategy.ROLLING))
		self.assert_all_new()
		self.assertLess(
			self.times(run, events.ProcessUp)["web"], self.times(run, events.ProcessStopping)["schedule"]
		)

	def test_socketio_is_away_for_no_longer_than_its_own_boot(self):
		run = self.go(Options(Strategy.ROLLING))
		[up] = [fact for fact in run.of(events.ProcessUp) if fact.name == "socketio"]
		self.assertLess(up.seconds, BOOT / 2)

	def test_all_but_one_processor_are_used(self):
		self.host.processors = 3
		self.go(Options(Strategy.ROLLING))
		self.assertEqual(self.most, 2)

	def test_nothing_else_boots_beside_the_other_new_workers_of_web(self):
		for strategy, least in ((Strategy.ROLLING, 7.0), (Strategy.WAIT_WORKERS, 0.0)):
			with self.subTest(strategy=strategy):
				self.setUp()
				waited = self.scheduler_waits(strategy, others_take=7.0)
				self.assertGreaterEqual(waited, least)
				self.assertLess(waited, least + 1.0)

	def scheduler_waits(self, strategy: Strategy, *, others_take: float) -> float:
		"""Seconds from the answer of the first new web worker until the scheduler is told to stop."""
		self.bench.web.web_way, self.bench.web.others_take = WebWay(WebMethod.LINGER), others_take
		run, times = Run(self.bench, Options(strategy)), {}

		def note(fact: events.Event) -> None:
			if isinstance(fact, events.NewWebAnswers) or getattr(fact, "name", "") == "schedule":
				times.setdefault(type(fact), self.clock.now())

		run.operation.listen(note)
		run.go()
		return times[events.ProcessStopping] - times[events.NewWebAnswers]

	def test_new_workers_of_web_that_never_come_hold_nothing_up_for_long(self):
		self.bench.web.web_way, self.bench.web.others_take = WebWay(WebMethod.LINGER), 60.0
		run = self.go(Options(Strategy.ROLLING))
		self.assert_all_new()
		self.assertLess(run.operation.report.seconds, 150)


class TestNothingStaysDown(StartsCase):
	def held_back(self, run: Run) -> list[str]:
		return [replacement.old.name for replacement in run.operation.starts.held_back]

	def test_when_anything_goes_wrong_all_are_started(self):
		for error in (RuntimeError("a fault of ours"), KeyboardInterrupt()):
			with self.subTest(error=type(error).__name__):
				self.setUp()
				run = Run(self.bench)
				seen: list[list[str]] = []
				ask = self.processes.list

				def fail(run=run, seen=seen, ask=ask, error=error):
					waiting = self.held_back(run)
					if waiting and not seen:
						seen.append(waiting)
						raise error
					return ask()

				self.processes.list = fail
				with self.assertRaises(type(error)):
					run.go()
				self.processes.list = ask
				self.assertTrue(seen)
				self.clock.sleep(10)
				down = [p.name for p in ask() if p.state is not ProcessState.RUNNING]
				self.assertEqual(down, [])

	def test_the_queue_runs_again_while_starts_still_wait(self):
		run = Run(self.bench)
		waiting: list[str] = []
		run.when(Phase.LIFT, lambda: waiting.extend(self.held_back(run)))
		run.go()
		self.assertTrue(waiting)
		self.assertEqual([p.name for p in self.processes.list() if p.state is not ProcessState.RUNNING], [])

	def test_a_recovery_starts_those_that_still_waited(self):
		run = Run(self.bench)

		def die(fact: events.Event) -> None:
			if self.held_back(run):
				run.operation.has_lost_lock = True  # it does nothing any more, as one that was killed
				raise SystemExit

		run.operation.listen(die)
		with self.assertRaises(SystemExit):
			run.go()
		self.assertTrue(self.held_back(run))
		run.recovery(self.bench).run()
		self.clock.sleep(10)
		self.assertEqual([p.name for p in self.processes.list() if p.state is not ProcessState.RUNNING], [])

	def test_a_recovery_without_redis_starts_them_too(self):
		run = Run(self.bench)

		def die(fact: events.Event) -> None:
			if isinstance(fact, events.ProcessDown):
				run.operation.has_lost_lock = True
				raise SystemExit

		run.operation.listen(die)
		with self.assertRaises(SystemExit):
			run.go()
		self.bench.queue.is_away = True
		run.recovery(self.bench).start_what_is_down()
		self.clock.sleep(10)
		self.assertEqual([p.name for p in self.processes.list() if p.state is not ProcessState.RUNNING], [])

	def test_one_that_still_waits_when_the_operation_is_left_is_started(self):
		for number, seconds in enumerate((5, 5, 30)):
			self.bench.queue.enqueue(f"job-{number}", queue="short", seconds=seconds)
		self.clock.sleep(1)
		run = Run(self.bench, Options(Strategy.NO_WAIT_WORKERS))
		self.host.processors = 1

		def leave(fact: events.Event) -> None:
			if isinstance(fact, events.ProcessDown) and run.operation.phase is Phase.HANDOVER:
				run.operation.stop_requested.set()

		run.operation.listen(leave)
		with self.assertRaises(Interrupted):
			run.go()
		self.assertTrue(self.held_back(run))
		self.clock.sleep(10)
		self.assertEqual([p.name for p in self.processes.list() if p.state is not ProcessState.RUNNING], [])

	def test_web_that_answers_while_it_serves_without_a_pause_keeps_nobody_back(self):
		self.host.processors = 1
		self.bench.web.web_way = WebWay(WebMethod.LINGER)
		run = Run(self.bench)
		is_runnable = self.host.is_runnable
		self.host.is_runnable = lambda pid: pid == self.processes["web"].pid or is_runnable(pid)
		run.go()
		first = next(fact for fact in run.of(events.ProcessUp) if fact.kind is ProcessKind.WORKER)
		self.assertLess(first.seconds, BOOT + 1.0)


class TestSocketio(StartsCase):
	def events_of(self, run: Run, name: str) -> list[type]:
		return [type(fact) for fact in run.facts if getattr(fact, "name", None) == name]

	def index(self, run: Run, kind: type, name: str) -> int:
		return next(i for i, fact in enumerate(run.facts) if isinstance(fact, kind) and fact.name == name)

	def test_it_runs_on_until_web_is_back(self):
		for strategy in Strategy:
			with self.subTest(strategy=strategy):
				self.setUp()
				run = Run(self.bench, Options(strategy))
				run.go()
				self.assert_all_new()
				web_up, stopped = (
					self.index(run, events.ProcessUp, "web"),
					self.index(run, events.ProcessStopping, "socketio"),
				)
				self.assertLess(web_up, stopped)

	def test_it_runs_on_until_web_answers_however_long_that_takes(self):
		"""A browser that socketio refuses, because web does not say who it is, does not come back by itself."""
		answers_at: list[float] = []
		answer = self.bench.web.fault

		def fault(family: list) -> WebFault | None:
			answers_at[:] = answers_at or [self.clock.now() + 20.0]
			return (
				answer(family) if self.clock.now() > answers_at[0] else WebFault("connection refused", "web")
			)

		self.bench.web.fault = fault
		stopped = self.stopped_at()
		self.assertGreater(stopped, answers_at[0])
		self.assertLess(stopped, answers_at[0] + 0.5)
		self.assert_all_new()

	def test_a_web_that_never_answers_is_not_waited_for_without_end(self):
		self.bench.web.fault = lambda family: WebFault("connection refused", "web")
		with self.assertRaises(ProcessFault):
			self.stopped_at()
		self.assertNotEqual(self.processes["socketio"].pid, self.pids["socketio"])

	def stopped_at(self) -> float:
		"""When socketio is told to stop."""
		stopped_at: list[float] = []
		run = Run(self.bench)

		def note(fact: events.Event) -> None:
			if isinstance(fact, events.ProcessStopping) and fact.kind is ProcessKind.SOCKETIO:
				stopped_at.append(self.clock.now())

		run.operation.listen(note)
		run.go()
		return stopped_at[0]

	def test_it_does_not_wait_for_those_of_web_that_boot_after_the_first_answer(self):
		is_runnable, up_at = self.host.is_runnable, []
		self.host.is_runnable = lambda pid: pid == self.processes["web"].pid or is_runnable(pid)
		answer = self.bench.web.fault
		self.bench.web.fault = lambda family: up_at.append(self.clock.now()) or answer(family)
		self.assertLess(self.stopped_at(), up_at[0] + 0.5)
		self.assertEqual(self.bench.notices.told, [("pause", True), ("back", True)])

	def test_it_has_proved_itself_once_it_hears_what_is_published(self):
		def seconds(hears_after: float) -> float:
			self.setUp()
			self.bench.realtime.hears_after = hears_after
			return Run(self.bench).go().seconds

		self.assertLess(seconds(1.0) + 0.5, seconds(float("inf")))  # then the scheduler is the last

	def test_it_is_replaced_where_web_has_failed(self):
		self.processes["web"].crashes_at_start = True
		run = Run(self.bench)
		with self.assertRaises(ProcessFault):
			run.go()
		self.assertNotEqual(self.processes["socketio"].pid, self.pids["socketio"])

	def test_it_waits_for_nothing_where_web_stays_as_it_is(self):
		self.processes.end("web")
		with self.assertRaises(ProcessFault):  # it does not answer, but that is nobody's doing here
			Run(self.bench).go()
		self.assertNotEqual(self.processes["socketio"].pid, self.pids["socketio"])
		self.assertLess(
			[name for order, name in self.processes.orders if order == "stop"].index("socketio"), 6
		)

	def test_what_is_published_meanwhile_is_waited_for_and_told(self):
		self.bench.realtime.takes = 5.0
		self.bench.realtime.outcome = LiveMessages(sent=2, dropped=1)
		stopped_at: list[float] = []

		def note(fact: events.Event) -> None:
			if isinstance(fact, events.ProcessStopping) and fact.kind is ProcessKind.SOCKETIO:
				stopped_at.append(self.bench.realtime.kept_at)

		run = Run(self.bench)
		run.operation.listen(note)
		run.go()
		self.assertIsNotNone(stopped_at[0])  # kept from before its stop on
		self.assertFalse(self.bench.realtime.is_open)
		(told,) = run.of(events.LiveMessagesSent)
		self.assertIn("2 live messages", sentence(told))
		self.assertIn("1 more were lost", sentence(told))
		self.assertEqual(run.of(events.LiveMessagesNotKept), [])

	def test_who_hears_them_is_looked_at_from_its_stop_on(self):
		self.bench.realtime.takes = 60.0
		stopped_at = self.stopped_at()
		pauses = zip([stopped_at, *self.bench.realtime.looks], self.bench.realtime.looks, strict=False)
		self.assertLess(max(later - earlier for earlier, later in pauses), 0.2)

	def test_why_they_are_lost_is_told_once(self):
		self.bench.realtime.outcome = LiveMessages(refusal="Redis refuses it")
		run = Run(self.bench)
		run.go()
		(told,) = run.of(events.LiveMessagesNotKept)
		self.assertIn("is lost, because Redis refuses it", sentence(told))

	def test_nothing_is_kept_where_socketio_is_not_restarted(self):
		Run(self.bench, Options(web=False)).go()
		self.assertIsNone(self.bench.realtime.kept_at)

	def test_nothing_is_kept_any_more_after_a_failure(self):
		run = Run(self.bench)
		self.bench.realtime.is_settled = lambda: 1 / 0
		with self.assertRaises(ZeroDivisionError):
			run.go()
		self.assertFalse(self.bench.realtime.is_open)


if __name__ == "__main__":
	unittest.main()
