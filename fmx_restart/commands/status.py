"""What bench safe-restart status shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from fmx_restart.adapters.schedule import text_of
from fmx_restart.console.columns import columns
from fmx_restart.console.holds import each
from fmx_restart.console.machine_lines import answer_line
from fmx_restart.console.program_names import short_program, short_programs
from fmx_restart.console.restart_command import restart_command
from fmx_restart.console.say import put, say
from fmx_restart.console.sentences import sentence
from fmx_restart.desk.scheduled_entry import entry
from fmx_restart.doctor.checks.workers import WorkerRow
from fmx_restart.doctor.programs import ProcessRow, ProgramRow, Programs
from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.engine.events import Advised
from fmx_restart.engine.format import span
from fmx_restart.engine.identity import describe
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.report import Failure
from fmx_restart.wiring import Status, read_programs, read_status

PROGRAM_HEAD = ("PROGRAM", "KIND", "STATE", "PID", "AGE", "MEMORY")
PROCESS_HEAD = ("PROCESSES OF", "PID", "PARENT", "NAME", "STATE", "AGE", "CPU", "MEMORY")
WORKER_HEAD = ("WORKER'S QUEUES", "HOST", "PID", "STATE", "AGE", "MEMORY", "JOB")
HEARTBEAT = "HEARTBEAT"
NUMBERS = ("PID", "PARENT", "AGE", "CPU", "MEMORY", HEARTBEAT)


def show_status(as_json: bool, *, verbose: bool = False) -> None:
	"""
	Raises what keeps the queue from being read; the programs are shown even then. `verbose`: also each program's processes,
	and when each worker was last heard of.
	"""
	try:
		status = read_status()
	except QueueUnreachable:
		if not as_json:
			say("\n".join(program_lines(read_programs(), verbose=verbose)))
		raise
	if as_json:
		scheduled = [entry(start) for start in status.scheduled]
		answer = {**asdict(status), "verdict": status.verdict.as_dict(), "scheduled": scheduled}
		put(answer_line(first_line(status), answer))
	else:
		say("\n".join(lines(status, verbose=verbose)))


def lines(status: Status, *, verbose: bool = False) -> Iterator[str]:
	"""Whether a restart can begin, what holds the bench, what died and was not recovered; then programs, workers and queues."""
	yield status.verdict.text
	yield first_line(status)
	yield from suspension_lines(status)
	for operation, host in status.unfinished.items():
		where = f" on {host}" if host else ""
		yield f"Operation {operation} died{where} and was not recovered. Type{where}: bench safe-restart recover"
	for start in status.scheduled:
		what = restart_command(start.options)
		yield f"Scheduled as {start.id}: {what}, on {text_of(start.when)}"
	yield ""
	programs = Programs(status.programs, status.manager_fault, status.managers_away, status.processes)
	yield from program_lines(programs, verbose=verbose)
	yield from worker_lines(status, verbose=verbose)
	depths = ", ".join(f"{name} {depth}" for name, depth in sorted(status.look.depths.items()))
	yield f"\nQueued: {depths or '-'}"
	for advice in status.advice:
		yield f"\n{sentence(Advised(advice))}"


def suspension_lines(status: Status) -> Iterator[str]:
	"""Whether the queue runs; who suspended it, and who holds it until when."""
	value = status.look.suspension
	if value is None:
		yield "The queue is running."
	elif not status.holds or QueueHold.parse(value) is None:
		yield f"The queue is suspended by: {describe(value)}"
	yield from each(status.holds, status.bench)


def first_line(status: Status) -> str:
	"""Whether an operation holds the bench, and which."""
	return f"Operation {describe(status.holder)}" if status.holder else "No operation holds this bench."


def program_lines(programs: Programs, *, verbose: bool = False) -> Iterator[str]:
	"""Programs as their managers see them; where none answers, the bench's processes on this machine."""
	for fault in programs.away:
		yield f"A process manager does not answer, and its programs are not shown: {fault_text(fault)}"
	if programs.fault:
		yield f"No process manager answers: {fault_text(programs.fault)}"
		yield (
			"Processes of this bench that can be seen on this machine:"
			if programs.rows
			else "No process of this bench can be seen on this machine."
		)
	if programs.rows:
		names = short_programs(row.name for row in programs.rows)
		cells = (program_cells(row, names) for row in programs.rows)
		yield from columns(PROGRAM_HEAD, cells, right=NUMBERS, foldable=("PROGRAM", "STATE"))
	if verbose and programs.processes:
		yield ""
		yield from columns(
			PROCESS_HEAD, map(process_cells, programs.processes), right=NUMBERS, foldable=("NAME",)
		)


def fault_text(fault: Failure) -> str:
	"""A failure and what to type, in one line."""
	return f"{fault.message.rstrip('.')}. {fault.hint}".rstrip()


def program_cells(row: ProgramRow, names: Mapping[str, str]) -> tuple[str, ...]:
	"""One program; what is unknown stays empty. `names`: the short ones."""
	state = f"{row.state} ({row.detail})" if row.detail else row.state
	return (names[row.name], row.kind, state, number(row.pid), age(row.age), memory(row.memory))


def process_cells(row: ProcessRow) -> tuple[str, ...]:
	"""One process of a program; what is unknown stays empty."""
	return (
		short_program(row.program),
		number(row.pid),
		number(row.parent),
		row.name,
		row.state,
		age(row.age),
		age(row.processor),
		memory(row.memory),
	)


def worker_lines(status: Status, *, verbose: bool = False) -> Iterator[str]:
	"""The workers by their records in Redis, also those of other machines."""
	yield ""
	if not status.workers:
		yield "No worker is registered."
		return
	columns_of = worker_cells_verbose if verbose else worker_cells
	head = WORKER_HEAD if not verbose else (*WORKER_HEAD[:-1], HEARTBEAT, WORKER_HEAD[-1])
	cells = (columns_of(row, status) for row in status.workers)
	yield from columns(head, cells, right=NUMBERS, foldable=("JOB", "WORKER'S QUEUES", "HOST", "STATE"))


def worker_cells_verbose(row: WorkerRow, status: Status) -> tuple[str, ...]:
	"""With the time since its last sign of life, before the job."""
	*cells, job = worker_cells(row, status)
	return (*cells, f"{age(row.heartbeat)} ago", job)


def worker_cells(row: WorkerRow, status: Status) -> tuple[str, ...]:
	"""One worker; what is unknown stays empty."""
	return (
		row.queues,
		row.host,
		number(row.pid),
		f"{row.state}, recycled {row.recycled}" if row.recycled else row.state,
		age(row.age),
		memory(row.memory),
		doing(row.job, status),
	)


def doing(id: str | None, status: Status) -> str:
	"""Site and method of a job, and for how long it has been running; never its arguments."""
	job = status.jobs.get(id or "")
	if job is None:
		return ""
	elapsed = f", for {span(max(0.0, status.look.time - job.started))}" if job.started else ""
	return f"{job.site} / {job.method}{elapsed}"


def number(value: int | None) -> str:
	"""Empty for None and for 0."""
	return str(value) if value else ""


def age(seconds: float | None) -> str:
	"""Seconds for a person; empty if unknown."""
	return "" if seconds is None else span(seconds)


def memory(size: int | None) -> str:
	"""Bytes as MB of 2^20; empty if unknown."""
	return "" if size is None else f"{size / 2**20:,.0f} MB"
