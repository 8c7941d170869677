"""The process manager and the code once more, just before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Code, CodeFault, HostProcess
from fmx_restart.engine.waiting import Patience, wait_until

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

MANAGER_ANSWERS = Patience(timeout=10.0, poll=0.5)
#: the check runs beside us; one that takes longer is waited for before the restart
FIRST_PART = Patience(timeout=1.0, poll=0.005)
CODE_ANSWERS = Patience(timeout=20.0, poll=0.02)
STALE = 5.0  # seconds after which the code may have been changed, as a deploy does while a drain waits


def first_look(bench: Bench, options: Options) -> tuple[CodeFault, ...]:
	"""What is known about the code within a moment. Changes nothing."""
	try:
		bench.code.start_check(is_awaited=options.migration is not None)
	except OSError:
		return ()  # the last look reports it
	wait_until(lambda: has_answered(bench.code), FIRST_PART, bench.clock)
	return tuple(bench.code.faults() or ())


def last_look(operation: Operation) -> None:
	"""The manager and the code once more, before anything is touched. Raises WrongEnvironment."""
	check_manager(operation)
	check_code(operation)


def check_manager(operation: Operation) -> None:
	"""Raises WrongEnvironment where the process manager does not answer: its programs could be stopped, but not started again."""
	if not operation.plan.restart:
		return  # all that is to be done is done without it
	faults: list[ProcessFault] = []

	def answers() -> bool:
		fault = next(iter(away_now(operation)), None)
		if fault:
			if not faults:
				operation.emit(events.ManagerAway(str(fault)))
			faults.append(fault)
		return fault is None

	if not operation.wait(answers, MANAGER_ANSWERS):
		raise manager_is_gone(operation, faults[-1])


def away_now(operation: Operation) -> list[ProcessFault]:
	"""Of managers that do not answer: of all, or where hosts come in groups of those whose turn it is."""
	away = operation.bench.processes.survey().away
	needed = {process.manager for process in operation.plan.restart}
	return [fault for name, fault in away.items() if operation.hosts is None or name in needed]


def manager_is_gone(operation: Operation, fault: ProcessFault) -> WrongEnvironment:
	"""The error for it: what lives on without its manager, and what to type."""
	away = operation.bench.processes.survey().away
	programs = [p for p in operation.plan.restart if p.local_pid and p.manager in away]
	noted = [HostProcess(p.pid, p.incarnation) for p in programs]
	pids = " ".join(str(process.pid) for process in operation.bench.host.alive(noted))
	hint = "Start it again, then type the same command."
	if pids:
		hint = (
			"If it was killed, its programs keep running without it, and a new one would start each of them a second time: end them first"
			f" (kill {pids}; a worker finishes its job), then start it, then type the same command."
		)
	return WrongEnvironment(f"{fault}. {unchanged(operation)}", hint=hint)


def check_code(operation: Operation) -> None:
	"""Check the code again where the first check is some time ago. Raises WrongEnvironment where it cannot be loaded."""
	code, clock = operation.bench.code, operation.bench.clock
	migrates = operation.options.migration is not None
	try:
		is_unknown = code.is_checked() and code.faults() is None
		if is_unknown or clock.now() - operation.code_seen_at > STALE:
			code.start_check(is_awaited=migrates)
		is_enough = code.is_checked if migrates else lambda: has_answered(code)
		operation.wait(is_enough, CODE_ANSWERS)
		if code.faults() is None:
			operation.emit(events.CodeNotChecked("the process that tried to load it gave no answer"))
		judge_code(operation, code.faults() or ())
	except OSError as error:
		operation.emit(events.CodeNotChecked(str(error)))
	finally:
		code.end_check()


def has_answered(code: Code) -> bool:
	"""Whether the first part of the check is done, or the check has ended."""
	return code.faults() is not None or code.is_checked()


def judge_code(operation: Operation, faults: Iterable[CodeFault]) -> None:
	"""Emit each fault once. Raises WrongEnvironment unless the options ignore such faults."""
	new = [fault for fault in faults if fault not in operation.code_faults]
	operation.code_faults += new
	for fault in new:
		operation.emit(events.CodeBroken(fault))
	if operation.code_faults and not operation.options.ignore_code_faults:
		names = "; ".join(f"{fault.module}: {fault.error}" for fault in operation.code_faults)
		raise WrongEnvironment(
			f"Web and workers could not load the code as it is now. {names}. {unchanged(operation)}",
			hint="Fix it and type the same command again, or restart anyway with --force.",
		)


def unchanged(operation: Operation) -> str:
	"""What was not changed, as an error's last sentence says it."""
	if operation.phase is Phase.PREFLIGHT:
		return "Nothing was changed."
	return operation.undone
