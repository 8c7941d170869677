"""
An operation whose process died, finished by another one: whatever it had begun is undone or completed.

What follows from where it died:
- before any process was touched: the fence is lifted, settings are restored;
- while processes were restarted: those that it had stopped are started; those that it had not touched stay as they are,
  and old web workers serve until new ones answer;
- once a migration has begun: it is followed to its end, then the programs that were stopped for it are started, and all
  others are replaced;
- while workers were being replaced one by one: those that leave, or reload in place, are followed until they are back; one that
  was asked to reload and has not seen that is asked no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from contextlib import nullcontext, suppress
from dataclasses import replace

from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import CrashedOperation
from fmx_restart.engine.errors import OperationError, ProcessFault
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Change, GroupChange, Hold, Process, ProcessKind, ProcessState
from fmx_restart.engine.reload import ANSWERS_WITHIN, Reload, stand_in
from fmx_restart.engine.replacement import UP, Replacement, Stage, StopMethod
from fmx_restart.engine.report import Failure, Report
from fmx_restart.engine.steps.drain import LOOK_EVERY, Draining
from fmx_restart.engine.steps.follow import STOPPING, advance, begin_replacements, follow
from fmx_restart.engine.steps.hand_over import have_left
from fmx_restart.engine.steps.kill import DYING, finish_ending, note_killed
from fmx_restart.engine.steps.linger import REPAIR, tell_old_web
from fmx_restart.engine.steps.migrate import end_run
from fmx_restart.engine.steps.reload import reload_of
from fmx_restart.engine.steps.restart import wait_until_down
from fmx_restart.engine.steps.rolling import TAKES_EFFECT
from fmx_restart.engine.steps.verify import wait_until_up
from fmx_restart.engine.strategies import StrategyStory
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import is_of, live_workers, running_ids

UNTIL_GONE = Patience(timeout=math.inf, poll=0.2)
SEEN_WITHIN = 2.0  # seconds until the record of a worker tells that it has seen a request to reload
ADDED = Patience(timeout=5.0, poll=1.0)
START = (
	"Start what is down through its process manager: a restart leaves it stopped. To see what is down, type: bench"
	" safe-restart managers"
)
UNTIL_BACK = Patience(timeout=2 * ANSWERS_WITHIN, poll=0.2)


class Recovery(Operation):
	"""Has the dead operation's id, and continues its journal. It cannot be cancelled: it is what undoes."""

	is_recovery = True

	def __init__(self, bench: Bench, crashed: CrashedOperation, emit: Callable[[events.Event], None]) -> None:
		super().__init__(bench, crashed.options, emit, crashed.operation, StrategyStory())
		self.crashed, self.phase, self.plan = crashed, crashed.phase, crashed.plan
		self.report.started, self.report.phases = crashed.started, list(crashed.phases)
		self.settings.adopt(crashed.settings.values())
		self._missing: list[str] = []  # programs of groups that their manager does not take back
		self.starts.let_all()  # whoever was stopped has been down for long enough

	def run(self) -> Report:
		"""
		Raises QueueUnreachable, BenchBusy or a ProcessFault of the manager when it must be tried again: the journal stays
		open then. Any other end is final, also that a process does not come back.
		"""
		self.emit(events.RecoveryStarted(self.id, self.crashed.phase, self.bench.host.me()))
		replacements: list[Replacement] = []
		if self.crashed.has_changed_anything:
			with self.locked():  # another operation may need settings as they are: nothing is touched before
				if not self.crashed.needs_new_workers:
					self.settings.restore(raises=False)
				if self.plan:
					self.bench.web.withdraw_orders()
				replacements = self._clean_up()
				self.settings.restore()
		else:
			self._free_bench()
		failed = self._names_of_failed(replacements)
		self.report.failure = self._what_happened(failed)
		self._end(Phase.FAILED if failed else Phase.RECOVERED)
		if failed:
			raise ProcessFault(self.report.failure.message, hint=self.report.failure.hint)
		return self.report

	def _free_bench(self) -> None:
		"""
		Nothing was changed, and nothing has to be waited for: only the lock of the dead operation may stand, and would refuse
		the next one for up to half a minute. Whoever recovers knows that it is dead. Another one's lock stays.
		"""
		with suppress(OperationError):  # then it ends by itself
			if self.bench.lock.hold(self.note()) is not Hold.FOREIGN:
				self.bench.lock.release()

	def _names_of_failed(self, replacements: list[Replacement]) -> list[str]:
		failed = [replacement.old.name for replacement in replacements if replacement.stage is Stage.FAILED]
		return [*failed, *self._missing]

	def start_what_is_down(self) -> None:
		"""The part that needs no Redis, for as long as Redis is away: start what was stopped, and put settings back."""
		if self.crashed.needs_new_workers or self.bench.others.at_work():
			return
		self.settings.restore(raises=False)
		self._add_groups()
		replacements = self._replace_stopped()
		wait_until(lambda: advance(self, replacements), STOPPING, self.bench.clock)

	def _clean_up(self) -> list[Replacement]:
		with self.fenced() if self.crashed.may_be_fenced else nullcontext():
			self.insist(self.bench.queue.recall)
			self._add_groups()
			if self.crashed.needs_new_workers:
				replacements = self._replace_all_old()
			else:
				replacements = self._replace_stopped()
				wait_until_down(self, replacements)
			self._finish_ending()
		wait_until_up(self, replacements)
		self._tell_old_web(replacements)
		return [*replacements, *self._wait_for_leavers(replacements), *self._see_reloads()]

	def _add_groups(self) -> None:
		"""
		A manager takes a group over in one step; where that failed in the middle it has the group no more. Then it gets it, so
		that what was stopped can be started. One that it refuses keeps nothing else down. Raises ProcessFault: try again then.
		"""
		self._missing = []
		for change in list(self.crashed.updating.values()):
			is_there = any(change.has(process) for process in self.bench.processes.list())
			if change.change is not Change.CHANGED or is_there:
				continue
			if fault := self._fault_of_adding(change):
				names = [process.name for process in change.programs if process.name in self.crashed.stopping]
				for name in names:
					self.emit(events.ProcessFailed(name, str(fault), ""))
				self._missing += names

	def _fault_of_adding(self, change: GroupChange) -> ProcessFault | None:
		"""None where its manager has the group now."""
		faults: list[ProcessFault] = []

		def is_added() -> bool:
			try:
				self.bench.processes.update_group(change)
			except ProcessFault as fault:
				faults.append(fault)
				return False
			self.emit(events.GroupUpdated(change))
			return True

		return None if wait_until(is_added, ADDED, self.bench.clock) else faults[-1]

	def _tell_old_web(self, replacements: list[Replacement]) -> None:
		"""Of web programs whose new code does not answer while old workers serve."""
		if self.bench.web.lingering():
			for replacement in replacements:
				if replacement.old.kind is ProcessKind.WEB and replacement.stage is Stage.FAILED:
					tell_old_web(self, replacement, since=self.crashed.stopped_at[replacement.old.name])

	def _replace_all_old(self) -> list[Replacement]:
		see_migration_end(self)
		# the fence is lifted when the last old worker is gone: no job need be waited for then
		if self.crashed.may_be_fenced:
			self.wait(Draining(self).is_done, Patience(self.options.drain_timeout, LOOK_EVERY))
		stopped = self._replace_stopped()
		names = {replacement.old.name for replacement in stopped}
		rest = [process for process in self._current(self.crashed.unfinished()) if process.name not in names]
		replacements = [*stopped, *begin_replacements(self, rest)]
		wait_until_down(self, replacements)
		return replacements

	def _finish_ending(self) -> None:
		"""Fail or put back the jobs that were being killed, but for those that still run because nobody killed them."""
		jobs_to_kill = self.crashed.jobs_to_kill
		if jobs_to_kill is None:
			return
		ids = set(jobs_to_kill.ids)
		self.running |= self.bench.queue.describe(ids)
		self.wait(lambda: ids.isdisjoint(running_ids(self.look())), DYING)
		ended = finish_ending(self.bench, ids, requeue=jobs_to_kill.requeue, reason=jobs_to_kill.reason)
		note_killed(self, *ended)

	def _replace_stopped(self) -> list[Replacement]:
		"""Replace those that were ordered to stop and did. One that still runs as before got no order, or leaves later."""
		current = self._current(self._ordered_to_stop())
		changed = [p for p in current if not self._runs_as_before(p)]
		old = {process.name: process for process in self._ordered_to_stop()}
		return begin_replacements(self, [old[process.name] for process in changed], StopMethod.OTHERS)

	def _ordered_to_stop(self) -> list[Process]:
		"""Programs of the plan that were ordered to stop, as they were then."""
		planned = {process.name: process for process in (self.plan.replaced if self.plan else ())}
		return [
			replace(planned[name], pid=pid, incarnation=self.crashed.incarnations.get(name, ""))
			for name, pid in self.crashed.stopping.items()
			if name in planned
		]

	def _current(self, processes: list[Process]) -> list[Process]:
		"""The same programs as they are now. Raises ProcessFault where the manager does not answer: try again then."""
		if not processes:
			return []
		current = {process.name: process for process in self.as_planned(self.bench.processes.list())}
		return [current[process.name] for process in processes if process.name in current]

	def _runs_as_before(self, process: Process) -> bool:
		former = next(program for program in self._ordered_to_stop() if program.name == process.name)
		return process.state in UP and process.is_same_as(former)

	def _wait_for_leavers(self, handled: list[Replacement]) -> list[Replacement]:
		"""
		Busy workers that were ordered to leave when their job ends: nobody else would start their successors. One that has
		left since our first look counts too: who leaves is asked first, then who is gone.
		"""
		if self.crashed.phase is Phase.HANDOVER:
			# a pill that was just taken shows only then
			settled_at = self.bench.clock.now() + 2 * TAKES_EFFECT
			self.wait(lambda: self.bench.clock.now() >= settled_at, Patience(4 * TAKES_EFFECT))
		elif not self.crashed.stopping:
			return []
		self.wait(lambda: not self._may_be_leaving(), UNTIL_GONE)
		look = self.look()
		leaving = [worker for worker in live_workers(look) if worker.is_leaving]
		gone = {
			process.name
			for process in self._current(self._ordered_to_stop())
			if not self._runs_as_before(process)
		}
		gone -= {replacement.old.name for replacement in handled}
		left = [
			process
			for process in self._ordered_to_stop()
			if process.name in gone or any(is_of(process, worker, look) for worker in leaving)
		]
		replacements = begin_replacements(self, left, StopMethod.OTHERS)
		self.wait(lambda: have_left(self, replacements), UNTIL_GONE)
		wait_until_up(self, replacements)
		return replacements

	def _see_reloads(self) -> list[Reload]:
		"""
		Workers and pools that were asked to reload, and had not answered. One that has begun is followed until it is back; another
		one stays as it is. Returns the former. A pool whose former workers end their jobs goes on by itself.
		"""
		if not self.crashed.asked:
			return []
		planned = {process.name: process for process in (self.plan.replaced if self.plan else ())}
		reloads = [
			reload_of(planned.get(name) or stand_in(one, one.pid, None), one, self.bench, self.emit)
			for name, one in self.crashed.asked.items()
		]
		self.insist(lambda: self.bench.queue.withdraw_reloads([it.worker for it in reloads]))
		for reload in reloads:
			reload.adopt()
		settled_at = self.bench.clock.now() + SEEN_WITHIN

		def are_back() -> bool:
			follow(self, reloads)
			look = self.look()
			for reload in reloads:
				reload.see(look)
			return self.bench.clock.now() >= settled_at and not any(it.may_have_begun(look) for it in reloads)

		self.wait(are_back, UNTIL_BACK)
		# one that refused goes on as it was
		begun = [it for it in reloads if it.change.new_pid or (it.is_settled and not it.is_registered)]
		self.report.processes += [reload.change for reload in begun]
		return begun

	def _may_be_leaving(self) -> bool:
		"""Whether a worker leaves that may be one of these processes: where several records claim one, any may be the right one."""
		look, pids = self.look(), {process.local_pid for process in self._ordered_to_stop()}
		claimed = {process.pid for name, process in look.local.running.items() if name in look.local.doubtful}
		return any(worker.is_leaving and worker.pid in claimed & pids for worker in look.workers)

	def _what_happened(self, failed: list[str]) -> Failure:
		new = {
			change.name for change in self.report.processes if change.new_pid
		} | self.crashed.replaced.keys()
		planned = [process.name for process in (self.plan.replaced if self.plan else ())]
		old = [name for name in planned if name not in new and name not in failed]
		parts = [
			f"The process of this operation died during {self.crashed.phase.time}; everything that it left was cleaned up."
		]
		if failed:
			parts = [
				f"The process of this operation died during {self.crashed.phase.time}; not up: {', '.join(failed)}."
			]
		old_web = failed and self.bench.web.lingering()
		parts.append("Old web workers go on serving; no request fails." if old_web else "")
		parts.append(f"Not restarted: {', '.join(old)}." if new and old else "")
		parts.append(self.undone if planned and not new else "")
		hint = "Type the same command again." if old or failed or not planned else ""
		hint = REPAIR if old_web else hint
		if self.crashed.migrating:
			site, log = self.crashed.migrating.site, self.crashed.migrating.log
			hint = f"{log} says how the migration of {site} ended. To continue, type: bench safe-restart --migrate --resume"
		return Failure("ProcessDied", " ".join(filter(None, parts)), hint)


def see_migration_end(recovery: Recovery) -> None:
	"""Wait for a migration that runs on without its operation. Its own time limit still holds, counted since it began."""
	migration = recovery.crashed.migrating
	if migration is None:
		return
	run = recovery.bench.migrations.adopt(migration.log)
	if not run.is_gone():
		recovery.emit(events.MigrationAdopted(migration.site, migration.log))
	left = max(0.0, migration.timeout - run.age())
	if not recovery.wait(run.is_gone, Patience(left, 0.1)):
		end_run(recovery, run)


class TakeOver(Recovery):
	"""The recovery of an operation of another machine. It must not take that operation's lock: one that renews it lives."""

	def __init__(self, bench: Bench, crashed: CrashedOperation, emit: Callable[[events.Event], None]) -> None:
		super().__init__(bench, crashed.without_programs(), emit)
		self.original = crashed

	def run(self) -> Report:
		"""
		Raises BenchBusy where the operation still holds the bench, QueueUnreachable where that cannot be known: nothing
		was changed then. A ProcessFault names what has to be looked at on the other machine.
		"""
		with self.locked():
			self.emit(events.TakenOver(self.id, self.original.host, self.bench.host.name))
			return super().run()

	def start_what_is_down(self) -> None:
		"""Its own programs are not seen from here, and others can wait until Redis answers."""

	def _replace_stopped(self) -> list[Replacement]:
		"""
		Of what it stopped on other hosts than its own: what is still down there, and whose manager answers here. Nothing after
		a migration that may have been broken off.
		"""
		if self.original.migration_begun:
			return []
		incarnations, down = (
			self.original.incarnations,
			self._seen_elsewhere(frozenset({ProcessState.STOPPED})),
		)
		old = [
			replace(down[name], pid=pid, incarnation=incarnations.get(name, ""))
			for name, pid in self.original.stopping.items()
			if name in down
		]
		return begin_replacements(self, old, StopMethod.OTHERS)

	def _seen_elsewhere(self, states: Collection[ProcessState]) -> dict[str, Process]:
		"""Programs of other hosts than its own that a manager shows in one of these states now, by name."""
		elsewhere, this = self._elsewhere(), self.bench.host.name
		return {
			process.name: process
			for process in self.bench.processes.survey().processes
			if process.state in states and elsewhere.get(process.name) == (process.host or this)
		}

	def _elsewhere(self) -> dict[str, str]:
		"""Program → host: those that it reached through a manager of another machine. Names of its own may mean others here."""
		planned = self.original.plan.replaced if self.original.plan else ()
		return {process.name: process.host for process in planned if process.host}

	def _free_bench(self) -> None:
		"""It holds the lock itself, to its end."""

	def _names_of_failed(self, replacements: list[Replacement]) -> list[str]:
		failed = {replacement.old.name for replacement in replacements if replacement.stage is Stage.FAILED}
		up = self._seen_elsewhere(UP).keys() - failed
		return [name for name in self.original.stopping if name not in up]

	def _what_happened(self, failed: list[str]) -> Failure:
		host, this = self.original.host, self.bench.host.name
		parts = [
			f"The process of this operation died during {self.original.phase.time} on {host}; {this} took it over."
		]
		parts.append(f"Settings of sites are restored; the queue {self.queue_goes_on}.")
		started = [change.name for change in self.report.processes if change.name not in failed]
		parts.append(f"Started: {', '.join(started)}." if started else "")
		parts.append(f"Not examined, and perhaps down on {self._by_host(failed)}." if failed else "")
		hints = [START] if failed else []
		if migrating := self.original.migrating:
			parts.append(f"The migration of {migrating.site} may have been interrupted.")
			hints.append(f"Look at {migrating.log}. To continue, type: bench safe-restart --migrate --resume")
		return Failure("ProcessDied", " ".join(filter(None, parts)), " ".join(hints))

	def _by_host(self, names: list[str]) -> str:
		"""The operation may have stopped programs of several hosts, one of which this may be."""
		elsewhere = self._elsewhere()
		hosts: dict[str, list[str]] = {}
		for name in names:
			hosts.setdefault(elsewhere.get(name, self.original.host), []).append(name)
		return "; on ".join(f"{host}: {', '.join(names)}" for host, names in hosts.items())
