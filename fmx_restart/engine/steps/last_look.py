"""
The last look before the first act that cannot be undone: is the manager there that is to start everything again, and
could web and workers load the code that is on the disk? If not, nothing is touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Code, CodeFault, HostProcess
from fmx_restart.engine.waiting import Patience, wait_until

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

MANAGER_ANSWERS = Patience(timeout=10.0, poll=0.5)
FIRST_PART = Patience(
	timeout=1.0, poll=0.005
)  # it runs beside us; who is slower is waited for before the restart
CODE_ANSWERS = Patience(timeout=20.0, poll=0.02)
STALE = 5.0  # seconds after which the code may have been changed, as a deploy does while a drain waits


def first_look(bench: Bench) -> tuple[CodeFault, ...]:
	"""What is known about the code within a moment. Changes nothing."""
	if bench.code is None:
		return ()
	try:
		bench.code.start_check()
	except OSError:
		return ()  # the last look tells it
	wait_until(lambda: has_answered(bench.code), FIRST_PART, bench.clock)
	return tuple(bench.code.faults() or ())


def last_look(operation: Operation) -> None:
	"""Raises WrongEnvironment while all can still be left as it was."""
	see_manager(operation)
	see_code(operation)


def see_manager(operation: Operation) -> None:
	"""Its programs live on when it dies; told to stop they could be, started again they could not."""
	faults: list[ProcessFault] = []

	def answers() -> bool:
		try:
			operation.bench.processes.list()
		except ProcessFault as fault:
			if not faults:
				operation.emit(events.ManagerAway(str(fault)))
			faults.append(fault)
			return False
		return True

	if not operation.wait(answers, MANAGER_ANSWERS):
		raise manager_is_gone(operation, faults[-1])


def manager_is_gone(operation: Operation, fault: ProcessFault) -> WrongEnvironment:
	noted = [HostProcess(p.pid, p.incarnation) for p in operation.plan.restart if p.pid]
	pids = " ".join(str(process.pid) for process in operation.bench.host.alive(noted))
	hint = "Start it again, then type the same command."
	if pids:
		hint = (
			"If it was killed, its programs live on without it, and a new one starts each a second time: end them first"
			f" (kill {pids}; a worker finishes its job), then start it, then type the same command."
		)
	return WrongEnvironment(f"{fault}. {unchanged(operation)}", hint=hint)


def see_code(operation: Operation) -> None:
	"""Looks once more where the first look is some time ago."""
	code, clock = operation.bench.code, operation.bench.clock
	if code is None:
		return
	try:
		is_unknown = code.is_checked() and code.faults() is None
		if is_unknown or clock.now() - operation.code_seen_at > STALE:
			code.start_check()
		is_enough = code.is_checked if operation.options.migration else lambda: has_answered(code)
		operation.wait(is_enough, CODE_ANSWERS)
		if code.faults() is None:
			operation.emit(events.CodeNotChecked("the process that tried to load it gave no answer"))
		judge_code(operation, code.faults() or ())
	except OSError as error:
		operation.emit(events.CodeNotChecked(str(error)))
	finally:
		code.end_check()


def has_answered(code: Code) -> bool:
	return code.faults() is not None or code.is_checked()


def judge_code(operation: Operation, faults: Iterable[CodeFault]) -> None:
	"""Raises WrongEnvironment unless the person wants it all the same; each fault is told once."""
	new = [fault for fault in faults if fault not in operation.code_faults]
	operation.code_faults += new
	for fault in new:
		operation.emit(events.CodeBroken(fault))
	if operation.code_faults and not operation.options.ignore_code_faults:
		names = "; ".join(f"{fault.module}: {fault.error}" for fault in operation.code_faults)
		raise WrongEnvironment(
			f"Web and workers could not load the code as it is now. {names}. {unchanged(operation)}",
			hint="Put it right and type the same command again, or restart all the same: --force.",
		)


def unchanged(operation: Operation) -> str:
	if operation.phase is Phase.PREFLIGHT:
		return "Nothing was changed."
	return "Nothing was restarted; the queue goes on."
