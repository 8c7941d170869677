"""Which of supervisor's programs run this bench, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.process_kinds import Trace, is_data_store, kind_of, running_trace
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind

NOT_SET = {"none", "auto"}  # supervisor's words for a setting that is absent


@frozen
class Program:
	"""One program as supervisor reports it. Empty where supervisor does not say."""

	name: str  # as supervisorctl writes it, group included
	group: str
	command: str = ""
	directory: str = ""
	logfiles: tuple[str, ...] = ()
	exitcodes: tuple[int, ...] = (0,)
	pid: int = 0

	@classmethod
	def from_reports(cls, info: Mapping, config: Mapping) -> Program:
		"""From one entry of getAllProcessInfo and of getAllConfigInfo; the latter may be empty."""
		logfiles = (config.get("stdout_logfile") or info.get("stdout_logfile"), config.get("stderr_logfile"))
		return cls(
			name=full_name(info),
			group=info["group"],
			command=_setting(config.get("command")),
			directory=_setting(config.get("directory")),
			logfiles=tuple(path for path in map(_setting, logfiles) if path),
			exitcodes=tuple(config.get("exitcodes") or (0,)),
			pid=info["pid"],
		)


@frozen
class Finding:
	program: Program
	kind: ProcessKind | None
	is_ours: bool | None  # None: nothing tells


def kinds_of(programs: Iterable[Program], bench: BenchFolder) -> dict[Program, ProcessKind]:
	"""The bench's programs and their kinds. Redis and databases are never among them."""
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
	"""None for Redis and databases."""
	traces = [Trace(tuple(split_words(program.command)), program.directory), running_trace(program.pid)]
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


def full_name(report: Mapping) -> str:
	"""As supervisorctl writes it: a program alone in its group goes by its own name."""
	return report["name"] if report["group"] == report["name"] else f"{report['group']}:{report['name']}"


def _setting(value: object) -> str:
	return "" if value in NOT_SET else str(value or "")
