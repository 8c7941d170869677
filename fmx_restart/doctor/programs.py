"""The programs of a bench as the process manager lists them, joined with the process table."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import bench_processes, process_table
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Process, ProcessState
from fmx_restart.engine.report import Failure


@frozen
class ProgramRow:
	name: str  # as the manager calls it; of a process that no manager runs: what it is
	kind: str
	state: str
	pid: int | None
	age: float | None  # seconds since its process began
	memory: int | None  # bytes, resident, with all descendants
	detail: str = ""  # the manager's own words about a failure


@frozen
class Programs:
	rows: tuple[
		ProgramRow, ...
	]  # of the managers that answer; where none does, the bench's processes that are seen
	fault: Failure | None = None  # why no process manager answers
	away: tuple[Failure, ...] = ()  # where some answer: why each of the others does not


def programs_of(view: BenchView) -> Programs:
	"""By name. Raises an OperationError where this machine's processes cannot be looked at."""
	try:
		survey = view.manager.survey()
	except OperationError as error:
		return Programs(tuple(known_processes(view)), failure_of(error))
	away = tuple(map(failure_of, survey.away.values()))
	if away and not survey.processes:
		return Programs(tuple(known_processes(view)), away[0])
	table = process_table(view)
	listed = sorted(survey.processes, key=lambda process: process.name)
	return Programs(tuple(row_of(process, table) for process in listed), away=away)


def failure_of(error: OperationError) -> Failure:
	"""An error as a report holds it."""
	return Failure(type(error).__name__, str(error), error.hint)


def row_of(process: Process, table: ProcessTable) -> ProgramRow:
	"""A program with its age in seconds and its memory in bytes; None for what this machine cannot see."""
	row = table.rows.get(process.local_pid) if process.local_pid else None
	if row and process.incarnation and row.identity != process.incarnation:
		row = None  # it was started again in between
	return ProgramRow(
		process.name,
		process.kind.value,
		process.state.value,
		process.pid,
		age=table.age(row) if row else None,
		memory=table.memory(row) if row else None,
		detail=process.detail,
	)


def known_processes(view: BenchView) -> list[ProgramRow]:
	"""
	For a bench without a process manager: those of this machine that are proved to be the bench's, without the processes
	below them. The oldest first.
	"""
	table, roles = process_table(view), bench_processes(view)
	heads = [row for pid, row in table.rows.items() if pid in roles and not is_below(row, roles, table)]
	return [
		ProgramRow(
			roles[row.pid].value,
			roles[row.pid].value,
			"stopped by a signal" if row.is_stopped else ProcessState.RUNNING.value,
			row.pid,
			table.age(row),
			table.memory(row),
		)
		for row in sorted(heads, key=lambda row: (row.began, row.pid))
	]


def is_below(row: Row, pids: Collection[int], table: ProcessTable) -> bool:
	"""One of these pids started it, directly or not."""
	return any(parent in pids for parent in ancestors(row, table))


def ancestors(row: Row, table: ProcessTable) -> Iterator[int]:
	"""The pids above a process, nearest first. A table with a circle in it ends."""
	seen = {row.pid}
	while row.parent in table.rows and row.parent not in seen:
		seen.add(row.parent)
		yield row.parent
		row = table.rows[row.parent]
