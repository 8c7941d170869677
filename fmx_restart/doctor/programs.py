"""The programs of a bench as the process manager lists them, joined with the process table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from fmx_restart.adapters.process_table import SHORT_NAME, ProcessTable, Row, processor_time
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
class ProcessRow:
	program: str
	pid: int
	parent: int
	name: str  # the kernel's short one; a command line may hold passwords and arguments of jobs
	state: str
	age: float  # seconds since its start
	processor: float | None  # seconds of processor time since its start
	memory: int  # bytes, resident


@frozen
class Programs:
	#: of the managers that answer; where none does, the bench's processes that are seen
	rows: tuple[ProgramRow, ...]
	fault: Failure | None = None  # why no process manager answers
	away: tuple[Failure, ...] = ()  # where some answer: why each of the others does not
	processes: tuple[ProcessRow, ...] = ()  # of the programs that run on this machine, each with all below it


def programs_of(view: BenchView) -> Programs:
	"""By name. Raises an OperationError where this machine's processes cannot be looked at."""
	try:
		survey = view.manager.survey()
	except OperationError as error:
		return known_programs(view, failure_of(error))
	away = tuple(map(failure_of, survey.away.values()))
	if away and not survey.processes:
		return known_programs(view, away[0])
	table = process_table(view)
	listed = sorted(survey.processes, key=lambda process: process.name)
	heads = [(process.name, head) for process in listed if (head := head_of(process, table))]
	rows = tuple(row_of(process, table) for process in listed)
	return Programs(rows, away=away, processes=families(heads, table))


def failure_of(error: OperationError) -> Failure:
	"""An error as a report holds it."""
	return Failure(type(error).__name__, str(error), error.hint)


def row_of(process: Process, table: ProcessTable) -> ProgramRow:
	"""A program with its age in seconds and its memory in bytes; None for what this machine cannot see."""
	row = head_of(process, table)
	return ProgramRow(
		process.name,
		process.kind.value,
		process.state.value,
		process.pid,
		age=table.age(row) if row else None,
		memory=table.memory(row) if row else None,
		detail=process.detail,
	)


def head_of(process: Process, table: ProcessTable) -> Row | None:
	"""The process that the manager started; None where this machine cannot see it, or it was started again in between."""
	row = table.rows.get(process.local_pid) if process.local_pid else None
	return None if row and process.incarnation and row.identity != process.incarnation else row


def known_programs(view: BenchView, fault: Failure) -> Programs:
	"""
	For a bench without a process manager: processes of this machine that are proved to be the bench's, without those below
	them. The oldest first.
	"""
	table, roles = process_table(view), bench_processes(view)
	heads = [row for pid, row in table.rows.items() if pid in roles and not is_below(row, roles, table)]
	named = [(roles[row.pid].value, row) for row in sorted(heads, key=lambda row: (row.began, row.pid))]
	return Programs(
		tuple(known_row(name, row, table) for name, row in named), fault, processes=families(named, table)
	)


def known_row(name: str, row: Row, table: ProcessTable) -> ProgramRow:
	"""A process that no manager runs, by what it is."""
	state = "stopped by a signal" if row.is_stopped else ProcessState.RUNNING.value
	return ProgramRow(name, name, state, row.pid, table.age(row), table.memory(row))


def families(heads: Iterable[tuple[str, Row]], table: ProcessTable) -> tuple[ProcessRow, ...]:
	"""Each program's own process with all below it. `heads`: the program's name and its process."""
	return tuple(process_row(name, row, table) for name, head in heads for row in table.family(head))


def process_row(program: str, row: Row, table: ProcessTable) -> ProcessRow:
	"""One process, with its processor time in seconds."""
	return ProcessRow(
		program,
		row.pid,
		row.parent,
		row.name[:SHORT_NAME],
		row.state,
		table.age(row),
		processor_time(row.pid),
		row.memory,
	)


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
