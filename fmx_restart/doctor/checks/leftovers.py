"""What is left of processes and operations that died; and the fixes that end and finish them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from fmx_restart.adapters.bench_processes import Orphan, Role
from fmx_restart.adapters.journal import crashed_operation_in, crashed_operation_to_recover
from fmx_restart.adapters.journals import Unfinished, not_ours
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import find_orphans_of, registered_pids
from fmx_restart.doctor.registry import Finding, Severity, Step, check, fix
from fmx_restart.engine.errors import JournalUnreadable, OperationError
from fmx_restart.engine.format import count, size, span
from fmx_restart.engine.identity import Holder
from fmx_restart.engine.ports import Host, HostProcess

FIX = "end-orphans"
#: Those that work on with old code, or keep a new process from starting; the others only take memory.
HARM = {
	Role.WORKER: "takes jobs with the code it was started with",
	Role.WEB: "may answer requests with the code it was started with, and holds the port",
	Role.SCHEDULER: "enqueues scheduled events beside the bench's own scheduler",
}


@check("orphans")
def orphans(view: BenchView) -> Iterator[Finding]:
	"""
	Processes of the bench that lost their parent. One that serves users or jobs with old code is an error; a job's own
	process is not.
	"""
	orphans = find_orphans_of(view)
	registered = registered_pids(view) if orphans else None
	for orphan in orphans:
		is_job = orphan.role is Role.WORKER and registered is not None and orphan.pid not in registered
		severity = Severity.ERROR if orphan.role in HARM and not is_job else Severity.WARNING
		text, remedy = (
			sentence(orphan, is_job=is_job),
			f"kill {orphan.pid}, and if it stays: kill -9 {orphan.pid}",
		)
		yield Finding("orphans", severity, f"pid {orphan.pid}", text, remedy, FIX)


def sentence(orphan: Orphan, *, is_job: bool) -> str:
	"""`is_job`: it looks like a worker, but no worker has that pid."""
	what = "process of a job" if is_job else orphan.role.value
	harm = "runs its job to the end with the code it was started with" if is_job else HARM.get(orphan.role)
	others = f" with {count(orphan.members - 1, 'descendant')}" if orphan.members > 1 else ""
	return (
		f"A {what}{others} has lost its parent, so no process manager stops or restarts it. "
		f"{f'It {harm}. ' if harm else ''}It has run for {span(orphan.age)} and uses {size(orphan.memory)}."
	)


NAME = "unfinished-operation"


@check(NAME)
def check_unfinished_operation(view: BenchView) -> Iterator[Finding]:
	"""Its process died, and what it left is still there: stopped programs, settings, a half migration."""
	holder = holder_of(view)
	for operation in view.unfinished:
		if not operation.is_held(holder):
			yield finding_of(operation)
	if others := not_ours(view.journals):
		yield Finding(NAME, Severity.WARNING, others.operations[-1], others.reason, others.remedy)


def holder_of(view: BenchView) -> Holder | None:
	"""Without Redis a dead operation is still one."""
	with suppress(OperationError):
		return Holder.parse(view.lock_note)
	return None


def finding_of(operation: Unfinished) -> Finding:
	"""An operation whose process died. It is an error if it left something; what another machine must do is said."""
	severity = Severity.ERROR if operation.leaves_something() else Severity.WARNING
	if not operation.is_ours:
		refusal = operation.refusal()
		return Finding(NAME, severity, operation.operation, str(refusal), refusal.hint)
	try:
		crashed_operation_to_recover(operation.journal)
	except JournalUnreadable as error:
		return Finding(NAME, Severity.ERROR, operation.operation, str(error), error.hint)
	return Finding(
		NAME,
		severity,
		operation.operation,
		text_of(operation),
		"bench safe-restart recover, or bench doctor --fix",
		fix=NAME,
	)


def text_of(operation: Unfinished) -> str:
	"""Where the operation died, and what it left."""
	crashed = crashed_operation_in(operation.journal)
	what = "; ".join(crashed.left()) or "it left nothing behind"
	return f"Operation {operation.operation} ({crashed.strategy}) died during {crashed.phase.time}; {what}."


GRACE = 10.0  # seconds between TERM and KILL
POLL = 0.05  # seconds


@fix(FIX)
def end_orphans(view: BenchView) -> Iterator[Step]:
	"""TERM to each orphan with its children, and KILL after some seconds. A job that one runs is lost."""
	for orphan in find_orphans_of(view):
		text = (
			f"End the {orphan.role.value} with pid {orphan.pid} ({size(orphan.memory)}), which lost its parent, and all that "
			f"it has started: TERM, and KILL after {GRACE:g} s. A job that it runs is lost"
		)
		yield Step(text, lambda orphan=orphan: end(view, orphan))


def end(view: BenchView, orphan: Orphan, grace: float = GRACE) -> str:
	"""Only if it still is one, and the same one."""
	table = ProcessTable.take()
	current = {(it.pid, it.identity) for it in find_orphans_of(view, table)}
	if (orphan.pid, orphan.identity) not in current:
		return f"pid {orphan.pid} is no longer an orphan; nothing was done."
	family = view.host.family(orphan.pid)
	for process in family:
		view.host.terminate(process)
	stubborn = wait_for_end(view.host, family, grace)
	view.host.end(stubborn)
	if wait_for_end(view.host, stubborn, grace):
		return f"pid {orphan.pid} does not end even after KILL: the kernel holds it."
	return f"pid {orphan.pid} has ended{', by KILL' if stubborn else ''}."


def wait_for_end(host: Host, family: list[HostProcess], grace: float) -> list[HostProcess]:
	"""Those that are still there when time is up."""
	deadline = time.monotonic() + grace
	while (alive := host.alive(family)) and time.monotonic() < deadline:
		time.sleep(POLL)
	return alive


@fix("unfinished-operation")
def unfinished_operation(view: BenchView) -> Iterator[Step]:
	"""Recover what operations of this machine left; another machine's are left to that."""
	for operation in view.unfinished:
		if operation.is_ours:
			text = f"Recover what operation {operation.operation} left"
			yield Step(text, partial(recover, view, operation.operation))


def recover(view: BenchView, operation: str) -> str:
	"""What came of it, as a sentence. Raises OperationError."""
	report = view.access.recover(operation)
	return f"{operation}: {report.outcome.value}." if report else "Another process has already recovered it."
