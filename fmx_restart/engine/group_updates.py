"""Groups of programs whose configuration changed: each is taken over by its manager as soon as none of its programs runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import changed
from fmx_restart.engine.ports import Bench, Change, GroupChange, Process, ProcessState
from fmx_restart.engine.replacement import ATTEMPTS, Order, Replacement, Stage
from fmx_restart.engine.report import GroupUpdate, Report, UpdateResult

DOWN = {ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FAILED}
STOPPED = "was stopped on purpose, and the manager would start it"


def cost_of(changes: Iterable[GroupChange]) -> str:
	"""What a manager's own update of these groups costs; empty where nothing of them runs."""
	names = [change.group for change in changes if change.change is not Change.ADDED]
	if not names:
		return ""
	return (
		f"That stops {', '.join(names)} at once, with all programs: a job that outlasts their stop time is killed."
		" In the bench whose programs they are, bench safe-restart --wait-workers --update-config waits for it."
	)


class GroupUpdates:
	"""
	Programs of these groups are stopped by their manager, as all others are, and not told to start before the group is updated.
	One of which nothing is left then is no more to be; one that is new is started and verified like any other.
	"""

	def __init__(self, bench: Bench, emit: Callable[[events.Event], None], report: Report) -> None:
		self._bench, self._emit, self._report = bench, emit, report
		self._waiting: dict[str, GroupChange] = {}  # by group
		self._attempts: Counter[str] = Counter()
		self._replacements: list[Replacement] = []  # of programs of these groups
		self._takes: set[Change] = set()  # what is taken over now
		self._added: list[Replacement] = []
		self.failed: list[GroupChange] = []  # those that run by their former configuration

	def begin(self, changes: Iterable[GroupChange]) -> None:
		"""These are to be updated, once they may be. Where hosts are restarted in groups, for each of those."""
		self._waiting = {change.group: change for change in changes}
		self._takes = set()

	def allow(self, *kinds: Change) -> None:
		"""From now on groups with such a change are updated."""
		self._takes.update(kinds)

	@property
	def is_done(self) -> bool:
		"""None waits any more."""
		return not self._waiting

	def awaits(self, process: Process) -> bool:
		"""Whether its group is to be updated before it starts."""
		return any(change.has(process) for change in self._waiting.values())

	def beside(self, process: Process, others: Iterable[Process]) -> list[Process]:
		"""Those of the others that have to be down at the same time, as they are of one group with it."""
		changes = [change for change in self._waiting.values() if change.has(process)]
		return [it for it in others if it.name != process.name and any(change.has(it) for change in changes)]

	def note(self, replacements: Iterable[Replacement]) -> None:
		"""These have begun."""
		self._replacements += [it for it in replacements if self.awaits(it.old)]

	def admitted(self, replacements: Iterable[Replacement]) -> list[Replacement]:
		"""Those whose next order may be given now."""
		return [it for it in replacements if it.order is not Order.START or not self.awaits(it.old)]

	def follow(self, processes: Collection[Process], away: Collection[str]) -> None:
		"""`processes`: as managers list them now. `away`: managers that do not answer."""
		for change in [it for it in self._waiting.values() if it.change in self._takes]:
			members = [process for process in processes if change.has(process)]
			if failed := [it for it in self._of(change) if it.stage is Stage.FAILED]:
				self._give_up(change, f"{failed[0].old.name}: {failed[0].reason}")
			elif change.manager not in away and all(process.state in DOWN for process in members):
				self._update(change, members)

	def take_added(self) -> list[Replacement]:
		"""Programs that are new to their manager, on their way; each is returned once."""
		added, self._added = self._added, []
		return added

	def leave(self, reason: str) -> None:
		"""None is updated any more: those that wait keep their former configuration, as nothing of them was touched."""
		for change in self._waiting.values():
			self._note(change, UpdateResult.LEFT, reason)
		self._waiting = {}

	def give_up(self, reason: str) -> None:
		"""None is updated any more; what was stopped for that is started by the former configuration."""
		for change in list(self._waiting.values()):
			if self._of(change) or change.change in self._takes:
				self._give_up(change, reason)
		self.leave(reason)

	def _of(self, change: GroupChange) -> list[Replacement]:
		return [it for it in self._replacements if change.has(it.old)]

	def _update(self, change: GroupChange, members: list[Process]) -> None:
		names = {it.name for it in change.programs if change.change is not Change.ADDED}
		if down := self._left_alone(change, members):
			self._give_up(change, f"{', '.join(down)} {STOPPED}")
			return
		if not self._attempts[change.group]:
			self._emit(events.GroupUpdating(change))
		try:
			self._bench.processes.update_group(change)
			now = {process.name: process for process in self._bench.processes.list() if change.has(process)}
		except ProcessFault as fault:
			self._attempts[change.group] += 1
			if self._attempts[change.group] == ATTEMPTS:
				self._give_up(change, str(fault))
			return
		del self._waiting[change.group]
		self._settle(change, now)
		new = [it for name, it in now.items() if name in change.starts and name not in names]
		self._begin_new(new)
		gone = tuple(sorted(names - now.keys()))
		self._emit(events.GroupUpdated(change, gone, tuple(process.name for process in new)))
		self._note(change, UpdateResult.UPDATED)

	def _left_alone(self, change: GroupChange, members: Iterable[Process]) -> list[str]:
		"""Names of those that someone has stopped since the plan was made: an update would start them."""
		replaced = {replacement.old.name for replacement in self._of(change)}
		return [it.name for it in members if it.name in change.starts and it.name not in replaced]

	def _settle(self, change: GroupChange, now: Collection[str]) -> None:
		for replacement in self._of(change):
			if replacement.old.name not in now:
				replacement.note_removed()

	def _begin_new(self, processes: Iterable[Process]) -> None:
		for process in processes:
			former = changed(process, pid=None, incarnation="", state=ProcessState.STOPPED)
			replacement = Replacement(former, self._bench, self._emit, waits=True)
			replacement.begin_start()
			self._report.processes.append(replacement.change)
			self._added.append(replacement)

	def _give_up(self, change: GroupChange, reason: str) -> None:
		del self._waiting[change.group]
		self.failed.append(change)
		self._emit(events.GroupNotUpdated(change, reason))
		self._note(change, UpdateResult.FAILED, reason)

	def _note(self, change: GroupChange, result: UpdateResult, reason: str = "") -> None:
		update = next((it for it in self._report.configuration if it.group == change.group), None)
		if update is None:
			update = GroupUpdate(change.group, change.change)
			self._report.configuration.append(update)
		update.result, update.reason = result, reason
