"""Which of a manager's programs run this bench, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterable

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.process_kinds import Trace, is_data_store, is_panel, kind_of, running_trace
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind


@frozen
class Program:
	"""One program as its manager reports it. Empty where the manager does not say."""

	name: str  # as its manager writes it
	group: str
	command: str = ""
	directory: str = ""
	logfiles: tuple[str, ...] = ()
	exitcodes: tuple[int, ...] = (0,)
	pid: int = 0


@frozen
class Finding:
	program: Program
	kind: ProcessKind | None
	is_ours: bool | None  # None: nothing tells


def kinds_of(programs: Iterable[Program], bench: BenchFolder) -> dict[Program, ProcessKind]:
	"""The bench's programs and their kinds. Redis and databases are never among them, nor is pilot's panel."""
	findings = list(filter(None, (look_at(program, bench) for program in programs)))
	groups = {it.program.group for it in findings if it.is_ours and it.kind}
	shared = {it.program.group for it in findings if it.is_ours is False}
	kinds = {}
	for finding in findings:
		group = finding.program.group
		# Where nothing tells whose it is, it goes with its group, unless others have programs there too.
		if group in groups and (finding.is_ours or (finding.is_ours is None and group not in shared)):
			kinds[finding.program] = finding.kind or ProcessKind.OTHER
	return kinds


def look_at(program: Program, bench: BenchFolder) -> Finding | None:
	"""None for Redis and databases, and for the panel of pilot."""
	traces = [Trace(tuple(split_words(program.command)), program.directory), running_trace(program.pid)]
	if any(is_panel(trace.words) for trace in traces):
		return None
	kind = next(filter(None, (kind_of(list(trace.words)) for trace in traces)), None)
	if kind is None and any(is_data_store(trace.words) for trace in traces):
		return None
	return Finding(program, kind, is_ours(program, traces, bench))


def is_ours(program: Program, traces: Iterable[Trace], bench: BenchFolder) -> bool | None:
	"""True for a program of this bench, False for another bench's, None where nothing tells."""
	for trace in traces:
		if trace.directory and bench.owns(trace.directory):
			return True
		if trace.directory and bench.is_other_bench(trace.directory):
			return False
		if any(bench.owns(path) for path in trace.paths):
			return True
	return any(bench.owns(path) for path in program.logfiles) or None
