"""
An operation whose process died, finished by another one: whatever it had begun is undone or completed.

What follows from where it died:
- before any process was touched: the fence is lifted, settings are restored;
- while processes were restarted: those that it had stopped are started; those that it had not touched stay as they are;
- once a migration has begun: it is followed to its end, then the programs that were stopped for it are started, and all
  others are replaced;
- while workers were being replaced one by one: those that leave are followed until they are back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import CrashedOperation
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Process, ProcessState
from fmx_restart.engine.replacement import Farewell, Replacement, Stage
from fmx_restart.engine.report import Failure, Report
from fmx_restart.engine.steps.drain import LOOK_EVERY, Draining
from fmx_restart.engine.steps.hand_over import TAKES_EFFECT, have_left
from fmx_restart.engine.steps.kill import DYING, finish_ending, note
from fmx_restart.engine.steps.migrate import end_run
from fmx_restart.engine.steps.restart import STOPPING, pass_on, relays_for, see_down
from fmx_restart.engine.steps.verify import see_up
from fmx_restart.engine.strategies import StrategyStory
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import local_workers, running_ids

UNTIL_GONE = Patience(timeout=math.inf, poll=0.2)


class Recovery(Operation):
	"""Goes by the dead operation's name, and writes on in its journal. Never told to stop: it is the one that undoes."""

	is_recovery = True

	def __init__(self, bench: Bench, remains: CrashedOperation, emit: Callable[[events.Event], None]) -> None:
		super().__init__(bench, remains.options, emit, remains.operation, StrategyStory())
		self.remains, self.phase, self.plan = remains, remains.phase, remains.plan
		self.report.started, self.report.phases = remains.started, list(remains.phases)
		self.settings.adopt(remains.settings.values())

	def run(self) -> Report:
		"""
		Raises QueueUnreachable, BenchBusy or a ProcessFault of the manager when it must be tried again: the journal stays
		open then.
		Any other end is final, also that a process does not come back.
		"""
		self.emit(events.RecoveryStarted(self.id, self.remains.phase, self.bench.host.me()))
		relays: list[Replacement] = []
		if self.remains.has_changed_anything:
			with self.locked():  # another operation may need settings as they are: nothing is touched before
				if not self.remains.needs_new_workers:
					self.settings.restore(is_told=False)
				relays = self._put_right()
				self.settings.restore()
		failed = self._not_up(relays)
		self.report.failure = self._what_happened(failed)
		self._end(Phase.FAILED if failed else Phase.RECOVERED)
		if failed:
			raise ProcessFault(self.report.failure.message, hint=self.report.failure.hint)
		return self.report

	def _not_up(self, relays: list[Replacement]) -> list[str]:
		return [relay.old.name for relay in relays if relay.leg is Stage.FAILED]

	def start_what_is_down(self) -> None:
		"""The part that needs no Redis, for as long as Redis is away: nothing stays stopped, settings are as found."""
		if self.remains.needs_new_workers or (self.bench.others and self.bench.others.at_work()):
			return
		self.settings.restore(is_told=False)
		relays = self._half_way()
		wait_until(lambda: pass_on(self, relays), STOPPING, self.bench.clock)

	def _put_right(self) -> list[Replacement]:
		with self.fenced() if self.remains.may_be_fenced else nullcontext():
			self.insist(self.bench.queue.recall)
			if self.remains.needs_new_workers:
				relays = self._replace_the_rest()
			else:
				relays = self._half_way()
				see_down(self, relays)
			self._finish_ending()
		self._see_back(relays)
		return [*relays, *self._wait_for_leavers(relays)]

	def _replace_the_rest(self) -> list[Replacement]:
		see_migration_end(self)
		draining = Draining(self)
		self.wait(draining.is_done, Patience(self.options.drain_timeout, LOOK_EVERY))
		half_way = self._half_way()
		names = {relay.old.name for relay in half_way}
		rest = [process for process in self._now(self.remains.unfinished()) if process.name not in names]
		relays = [*half_way, *relays_for(self, rest)]
		see_down(self, relays)
		return relays

	def _finish_ending(self) -> None:
		"""Jobs that were being killed: each is failed or back in its queue, unless it goes on because nobody killed it."""
		condemned = self.remains.condemned
		if condemned is None:
			return
		ids = set(condemned.ids)
		self.running |= self.bench.queue.describe(ids)
		self.wait(lambda: ids.isdisjoint(running_ids(self.look())), DYING)
		ended = finish_ending(self.bench, ids, requeue=condemned.requeue, reason=condemned.reason)
		note(self, *ended)

	def _half_way(self) -> list[Replacement]:
		"""Those that had been told to stop and did: whoever still runs as before was not told any more, or leaves later."""
		told = self._now(self._told())
		moved = [p for p in told if not self._runs_as_before(p)]
		old = {process.name: process for process in self._told()}
		return relays_for(self, [old[process.name] for process in moved], Farewell.OTHERS)

	def _told(self) -> list[Process]:
		"""As they were when they were told."""
		planned = {process.name: process for process in (self.plan.restart if self.plan else ())}
		return [
			replace(planned[name], pid=pid, incarnation=self.remains.incarnations.get(name, ""))
			for name, pid in self.remains.stopping.items()
			if name in planned
		]

	def _now(self, processes: list[Process]) -> list[Process]:
		"""Raises ProcessFault where the manager does not answer: then it must be tried again."""
		if not processes:
			return []
		now = {process.name: process for process in self.as_planned(self.bench.processes.list())}
		return [now[process.name] for process in processes if process.name in now]

	def _runs_as_before(self, process: Process) -> bool:
		told = next(it for it in self._told() if it.name == process.name)
		return process.state is ProcessState.RUNNING and process.is_same_as(told)

	def _see_back(self, relays: list[Replacement]) -> None:
		see_up(self, relays)

	def _wait_for_leavers(self, seen_to: list[Replacement]) -> list[Replacement]:
		"""
		Busy workers that were told to leave when their job ends: nobody else would start their successors. One that has left
		since we looked first counts too: first it is asked who leaves, then who is gone.
		"""
		if self.remains.phase is Phase.HANDOVER:
			settled_at = (
				self.bench.clock.now() + 2 * TAKES_EFFECT
			)  # a pill that was just taken shows only then
			self.wait(lambda: self.bench.clock.now() >= settled_at, Patience(4 * TAKES_EFFECT))
		elif not self.remains.stopping:
			return []
		self.wait(lambda: not self._may_be_leaving(), UNTIL_GONE)
		leaving = {worker.pid for worker in local_workers(self.look()) if worker.is_leaving}
		gone = {process.name for process in self._now(self._told()) if not self._runs_as_before(process)}
		gone -= {relay.old.name for relay in seen_to}
		left = [process for process in self._told() if process.local_pid in leaving or process.name in gone]
		relays = relays_for(self, left, Farewell.OTHERS)
		self.wait(lambda: have_left(self, relays), UNTIL_GONE)
		self._see_back(relays)
		return relays

	def _may_be_leaving(self) -> bool:
		"""Where several records claim one process that was told, and one of them leaves: that may be the process."""
		look, told = self.look(), {process.local_pid for process in self._told()}
		claimed = {process.pid for name, process in look.local.running.items() if name in look.local.doubtful}
		return any(worker.is_leaving and worker.pid in claimed & told for worker in look.workers)

	def _what_happened(self, failed: list[str]) -> Failure:
		new = {
			change.name for change in self.report.processes if change.new_pid
		} | self.remains.replaced.keys()
		planned = [process.name for process in (self.plan.restart if self.plan else ())]
		old = [name for name in planned if name not in new and name not in failed]
		parts = [
			f"The process of this operation died in {self.remains.phase.value}; everything that it left was cleaned up."
		]
		if failed:
			parts = [
				f"The process of this operation died in {self.remains.phase.value}; not up: {', '.join(failed)}."
			]
		parts.append(f"Not restarted: {', '.join(old)}." if new and old else "")
		parts.append("Nothing was restarted; the queue keeps running." if planned and not new else "")
		hint = "Type the same command again." if old or failed or not planned else ""
		if self.remains.migrating:
			site, log = self.remains.migrating.site, self.remains.migrating.log
			hint = f"{log} says how the migration of {site} ended. To continue, type: bench safe-restart --migrate --resume"
		return Failure("ProcessDied", " ".join(filter(None, parts)), hint)


def see_migration_end(recovery: Recovery) -> None:
	"""It goes on without its operation. Its own time-out still holds, counted by the kernel since it began."""
	left_over = recovery.remains.migrating
	if left_over is None:
		return
	run = recovery.bench.migrations.adopt(left_over.log)
	if not run.is_gone():
		recovery.emit(events.MigrationAdopted(left_over.site, left_over.log))
	left = max(0.0, left_over.timeout - run.age())
	if not recovery.wait(run.is_gone, Patience(left, 0.1)):
		end_run(recovery, run)


class TakeOver(Recovery):
	"""Its bench's lock must not replace that of the dead operation: one that still renews it is not dead."""

	def __init__(self, bench: Bench, remains: CrashedOperation, emit: Callable[[events.Event], None]) -> None:
		super().__init__(bench, remains.without_programs(), emit)
		self.found = remains

	def run(self) -> Report:
		"""
		Raises BenchBusy where the operation still holds the bench, QueueUnreachable where that cannot be known: nothing
		was changed then. A ProcessFault names what has to be looked at on the other machine.
		"""
		with self.locked():
			self.emit(events.TakenOver(self.id, self.found.host, self.bench.host.name))
			return super().run()

	def start_what_is_down(self) -> None:
		"""Nothing of this machine is."""

	def _not_up(self, relays: list[Replacement]) -> list[str]:
		return list(self.found.stopping)

	def _what_happened(self, failed: list[str]) -> Failure:
		host, this = self.found.host, self.bench.host.name
		parts = [
			f"The process of this operation died in {self.found.phase.value} on {host}; {this} took it over."
		]
		parts.append("Settings of sites are restored; the queue keeps running.")
		parts.append(f"Not looked at, and perhaps down on {host}: {', '.join(failed)}." if failed else "")
		hints = [f"Start them on {host}, e.g. type there: bench safe-restart."] if failed else []
		if migrating := self.found.migrating:
			parts.append(f"The migration of {migrating.site} may have been broken off.")
			hints.append(f"Look at {migrating.log}. To continue, type: bench safe-restart --migrate --resume")
		return Failure("ProcessDied", " ".join(filter(None, parts)), " ".join(hints))
