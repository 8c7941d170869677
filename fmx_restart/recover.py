"""Operations of this bench whose process died: find them, and finish or undo what they left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from contextlib import closing

from fmx_restart.adapters.guardian_process import start_guardian
from fmx_restart.adapters.journal import Journal, crashed_operation_to_recover
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.adapters.journals import Unfinished, left_by, not_ours, unfinished
from fmx_restart.current_bench import journal_folder
from fmx_restart.engine import events
from fmx_restart.engine.emitter import Emitter, Listener
from fmx_restart.engine.errors import (
	BenchBusy,
	JournalUnreadable,
	OperationError,
	OtherMachine,
	QueueUnreachable,
)
from fmx_restart.engine.recovery import Recovery, TakeOver
from fmx_restart.engine.report import Report
from fmx_restart.wiring import lock_holder, this_bench

TRIES_FOR = 600.0  # seconds that the guardian tries, e.g. while Redis is away; then others take over
AGAIN_AFTER = 5.0  # seconds


def unfinished_operations() -> list[Unfinished]:
	"""Operations of this bench that have no end and that nobody works on, the oldest first; those of other machines too."""
	return unfinished(journal_folder())


def own_unfinished_operations() -> list[str]:
	"""Ids of those that ran on this machine."""
	return [operation.operation for operation in unfinished_operations() if operation.is_ours]


def recover_unfinished_operations(
	listener: Listener, *, is_wanted: bool = False, takes_over: bool = False
) -> int:
	"""
	Recover every operation of this bench whose process died. Unless a person typed just that (`is_wanted`), a process that
	does not come back must not keep the next operation from beginning: the last fact of the recovered one has named it.
	Operations of other machines come last: `takes_over` is for those whose machine is gone for good. Raises OtherMachine
	where one of them left something that stays; the next operation would end as if all were well otherwise. Returns how
	many had died.
	"""
	if others := not_ours(journal_folder()):
		listener(events.JournalsNotOurs(others.operations, others.reason, others.remedy))
	operations = unfinished_operations()
	ours = [operation for operation in operations if operation.is_ours]
	for operation in ours:
		try:
			recover(operation.operation, [listener])
		except OperationError:
			if is_wanted or not is_closed(operation.journal):
				raise
	elsewhere = died_on_another_machine(operations)
	for operation in elsewhere:
		if takes_over:
			take_over(operation, [listener])
		elif is_wanted or operation.leaves_something():
			raise operation.refusal()
		else:
			listener(events.LeftElsewhere(operation.operation, operation.host))
	return len(ours) + len(elsewhere)


def died_on_another_machine(operations: Iterable[Unfinished]) -> list[Unfinished]:
	"""Not those that still hold the bench: they live, and whoever begins something meets their lock."""
	elsewhere = [operation for operation in operations if not operation.is_ours]
	if not elsewhere:
		return []
	holder = lock_holder()
	return [operation for operation in elsewhere if not operation.is_held(holder)]


def recover(operation: str, listeners: Iterable[Listener] = ()) -> Report | None:
	"""
	Recover what this operation left; waits while its process, or anybody else, works on it. None when there is nothing
	to do. Raises OtherMachine or JournalUnreadable where nothing may be done here, another OperationError when it must be
	tried again, or when a process did not come back.
	"""
	journal = journal_folder() / f"{operation}.jsonl"
	dead = left_by(journal) if journal.exists() else None
	if dead is None or is_closed(journal):
		return None
	if not dead.is_ours:
		raise dead.refusal()
	with closing(Journal(journal.parent, operation)) as held:
		if is_closed(journal):
			return None
		crashed = crashed_operation_to_recover(journal)
		emit = Emitter(held, listeners)
		try:
			recovery = Recovery(this_bench(operation, recovers=True), crashed, emit)
			return run(recovery)
		except OperationError as error:
			if not is_closed(journal):
				emit(events.RecoveryFailed(str(error)))
			raise


def take_over(operation: Unfinished, listeners: Iterable[Listener] = ()) -> Report | None:
	"""
	See to what an operation left whose machine is gone for good. Raises BenchBusy where it lives, or someone works on it.
	"""
	try:
		journal = Journal(operation.journal.parent, operation.operation, waits=False)
	except BlockingIOError as error:
		raise BenchBusy(
			f"Operation {operation.operation} of {operation.host} is already being recovered. Nothing was changed.",
			hint="Watch it: bench safe-restart attach",
		) from error
	with closing(journal):
		if is_closed(operation.journal):
			return None
		crashed = crashed_operation_to_recover(operation.journal)
		bench = this_bench(operation.operation, recovers=True, takes_over=True)
		return TakeOver(bench, crashed, Emitter(journal, listeners)).run()


def run(recovery: Recovery) -> Report:
	"""Recover. Where Redis does not answer, what is down is started before QueueUnreachable is raised."""
	try:
		return recovery.run()
	except QueueUnreachable:
		recovery.start_what_is_down()
		raise


def recover_patiently(operation: str) -> None:
	"""For the guardian: again and again, until it is done or others must see to it."""
	until = time.monotonic() + TRIES_FOR
	while True:
		try:
			recover(operation)
			return
		except (OtherMachine, JournalUnreadable):
			raise  # another try would find the same
		except BenchBusy:
			until = time.monotonic() + TRIES_FOR  # whoever has the bench will end
		except OperationError:
			if is_closed(journal_folder() / f"{operation}.jsonl") or time.monotonic() > until:
				return
		time.sleep(AGAIN_AFTER)


def launch_guardian(operation: str) -> subprocess.Popen:
	"""
	A small process that waits until nobody works on the operation any more, and then recovers what is left. Started for one
	that lives it is a guardian, for one that died it is the recovery. Raises WrongEnvironment; nothing was changed then.
	"""
	folder = journal_folder()
	return start_guardian(operation, folder / f"{operation}.jsonl", folder / "guardian.log")


def recover_unfinished() -> None:
	"""Launches a process for it: a job must not restart the workers that it runs in."""
	for operation in own_unfinished_operations():
		launch_guardian(operation)
