"""Web programs whose requests wait while they are stopped: for a restart, or for a whole migration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.migration import Finding, Gravity
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Process, ProcessKind, WebWay
from fmx_restart.engine.request_hold import TAKES_OVER
from fmx_restart.engine.steps.linger import IS_DOWN, way_of
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

HANDED_OVER = Patience(timeout=TAKES_OVER, poll=0.05)


def hold_requests(operation: Operation, process: Process) -> bool:
	"""Whether requests wait for this program from its stop on. Where that was meant and fails, it is told."""
	if process.kind is not ProcessKind.WEB or operation.options.migration is not None:
		return False
	if process.keeps_sockets or not way_of(operation.bench, process, operation.options).is_holding:
		return False
	try:
		operation.request_hold.begin(process, seconds=operation.options.old_web_timeout)
	except ProcessFault as fault:
		operation.emit(events.WebCannotLinger(process.name, str(fault), fault.hint))
		return False
	return True


def hold_for_migration(operation: Operation, processes: Iterable[Process]) -> None:
	"""Of web programs that run, before they are stopped. Raises ProcessFault where requests cannot wait."""
	for process in processes:
		if process.local_pid is None:
			continue  # nobody is served
		try:
			seconds = operation.options.old_web_timeout
			operation.request_hold.begin(process, seconds=seconds, is_migration=True)
		except ProcessFault as fault:
			raise ProcessFault(
				f"Requests cannot wait for {process.name}: {fault}.", hint=fault.hint
			) from fault


def web_to_hold(operation: Operation) -> list[Process]:
	"""Web programs that are stopped for the migration although they run no workers."""
	migration = operation.options.migration
	if migration is None or not migration.hold_web:
		return []
	return [
		process
		for process in operation.plan.restart
		if process.kind is ProcessKind.WEB and not process.runs_jobs
	]


def check_old_web(operation: Operation) -> None:
	"""Its programs are down, so nobody may have their sockets but this operation. Raises ProcessFault."""
	web = operation.bench.web
	if not operation.wait(web.are_requests_held, HANDED_OVER):
		raise ProcessFault("Requests cannot wait for web: no old worker has handed its connections over.")
	if pids := web.old_web():
		raise ProcessFault(
			f"Old web processes are still there, and would meet the new schema: pid {', '.join(map(str, pids))}.",
			hint=f"End them: kill {' '.join(map(str, pids))}. Then type the same command again.",
		)


def hold_findings(ways: Mapping[str, WebWay], options: Options) -> list[Finding]:
	"""Programs for which requests cannot wait although someone asked for it."""
	if options.migration is None or not options.migration.hold_web:
		return []
	return [
		Finding(
			"",
			Gravity.BLOCKS,
			f"requests cannot wait for {program} (--hold-web): {way.reason}",
			f"Leave --hold-web out, or make it possible first. {way.remedy}".strip(),
		)
		for program, way in ways.items()
		if not way.is_holding and way != IS_DOWN
	]
