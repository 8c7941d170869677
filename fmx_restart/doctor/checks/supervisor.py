"""What supervisor's configuration should say about each program of a bench, and why; and the fix that writes it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path, PurePath

from fmx_restart.adapters.bench import queue_limits, served_queues
from fmx_restart.adapters.managers.names import SUPERVISOR
from fmx_restart.adapters.process_table import catches
from fmx_restart.adapters.setting_rules import number
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import bench_processes, process_table, programs, with_queues
from fmx_restart.doctor.registry import Finding, Severity, Step, check, fix, write_for_administrator
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind, ProgramSettings

SLACK = 60  # seconds on top of a job's own time, as bench's own template gives them
GRACEFUL = 30.0  # seconds; gunicorn's own default
WEB_SLACK = 10  # seconds
GENTLE = {signal.SIGTERM, signal.SIGINT}
PARENTS = {ProcessKind.WORKER, ProcessKind.WEB}


@frozen
class Advice:
	text: str
	key: str
	value: str
	severity: Severity = Severity.WARNING


Rule = Callable[[ProgramSettings, Mapping[str, int]], Advice | None]


def stop_time_advice(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""bench's template gives a custom queue's worker exactly its limit, and no more: that is enough."""
	if not program.runs_jobs or program.stop_seconds is None:
		return None
	wanted = longest_job(program, limits)
	if program.stop_seconds >= wanted:
		return None
	return Advice(
		f"supervisor kills it {program.stop_seconds:g} s after the stop order, but its jobs may run for {wanted} s: a "
		"stop or restart by supervisor kills running jobs.",
		"stopwaitsecs",
		str(wanted + SLACK),
		Severity.ERROR,
	)


def stop_signal_advice(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""Only TERM and INT let a worker finish its job."""
	is_gentle = program.stop_signal is None or program.stop_signal in GENTLE
	if not program.runs_jobs or is_gentle:
		return None
	text = f"supervisor stops it with {signal_name(program.stop_signal)}: its running job is lost."
	return Advice(text, "stopsignal", "TERM", Severity.ERROR)


def kill_as_group_advice(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""supervisord's default kills the main process only."""
	if program.kind not in PARENTS or program.kills_group is not False:
		return None
	text = "When it does not stop in time, supervisor kills it but not its children: they live on as orphans, with old code."
	return Advice(text, "killasgroup", "true")


def stop_as_group_advice(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""Only of a pool: the job of a plain worker runs in a process group of its own."""
	if not program.stops_group or "worker-pool" not in program.words:
		return None
	text = (
		"supervisor tells the pool's workers to stop, and so does the pool: RQ takes the second TERM as an order to kill "
		"the running job."
	)
	return Advice(text, "stopasgroup", "false")


def autorestart_advice(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""A worker ends with exit code 0 when it was told to over Redis. The scheduler may: where a pool does its work."""
	if program.kind not in PARENTS or program.restarts not in ("false", "unexpected"):
		return None
	when = (
		"ends"
		if program.restarts == "false"
		else "ends without an error, as a worker does after a shutdown command over Redis"
	)
	return Advice(f"When it {when}, supervisor does not start it again.", "autorestart", "true")


def graceful_timeout_advice(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""gunicorn must get longer from supervisor than it gives its own requests."""
	grace = gunicorn_grace(program)
	if grace is None or program.stop_seconds is None or program.stop_seconds > grace:
		return None
	what = "requests are cut off" if program.kills_group else "its workers live on as orphans"
	return Advice(
		f"gunicorn gives requests {grace:g} s to end, but supervisor kills it after {program.stop_seconds:g} s: {what}.",
		"stopwaitsecs",
		f"{grace + WEB_SLACK:g}",
	)


#: By the name of the check that they are.
RULES: Mapping[str, Rule] = {
	"stop-time": stop_time_advice,
	"stop-signal": stop_signal_advice,
	"kill-as-group": kill_as_group_advice,
	"stop-as-group": stop_as_group_advice,
	"autorestart": autorestart_advice,
	"graceful-timeout": graceful_timeout_advice,
}


def signal_name(code: int) -> str:
	"""A real-time signal has no name of its own."""
	return signal.Signals(code).name if code in iter(signal.Signals) else f"signal {code}"


def longest_job(program: ProgramSettings, limits: Mapping[str, int]) -> int:
	"""Seconds."""
	queues = program.queues or served_queues(program.words, limits)
	return max((limits.get(queue, 0) for queue in queues), default=0)


def gunicorn_grace(program: ProgramSettings) -> float | None:
	"""Seconds. None for another server, and where a configuration file of its own may say something else."""
	words = program.words
	if not any(PurePath(word).name == "gunicorn" for word in words) or {"-c", "--config"} & set(words):
		return None
	for word, following in pairwise([*words, ""]):
		if word.startswith("--graceful-timeout"):
			value = word.partition("=")[2] or following
			return number(value)
	return GRACEFUL


FIX = "supervisor-lines"


#: As `supervisorctl update` stops every changed group at once, with its jobs, and other benches' groups, too
APPLY = "then type: bench safe-restart --wait-workers --update-config"


def supervised(view: BenchView, *kinds: ProcessKind) -> list[ProgramSettings]:
	"""Programs that supervisor runs; what others run has checks of its own."""
	return [program for program in programs(view, *kinds) if program.manager_kind in ("", SUPERVISOR)]


def advice(view: BenchView, rule: str) -> Iterator[tuple[ProgramSettings, Advice]]:
	"""The programs for which a rule has something to say."""
	limits = queue_limits(view.config)
	for program in (with_queues(view, program) for program in supervised(view, *ProcessKind)):
		if advised := RULES[rule](program, limits):
			yield program, advised


def advised(view: BenchView, rule: str) -> Iterator[Finding]:
	"""The findings of a rule, which is also the check's name."""
	for program, advised in advice(view, rule):
		yield advised_finding(rule, program, advised)


def advised_finding(check: str, program: ProgramSettings, advised: Advice, *, fix: str = FIX) -> Finding:
	"""Program, line and file. Without a file that is known there is no fix."""
	where = f"[{program.section}] of {program.file}" if program.section else "its section"
	remedy = f"{advised.key}={advised.value} in {where}, {APPLY}"
	return Finding(
		check, advised.severity, program.name, advised.text, remedy, fix if program.section else ""
	)


SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}


@check("stop-time")
def stop_time(view: BenchView) -> Iterator[Finding]:
	"""A worker that is killed before its job's own time is over loses that job."""
	return advised(view, "stop-time")


@check("stop-signal")
def stop_signal(view: BenchView) -> Iterator[Finding]:
	"""A worker must be stopped by a signal that lets it finish its job."""
	return advised(view, "stop-signal")


@check("kill-as-group")
def kill_as_group(view: BenchView) -> Iterator[Finding]:
	"""A main process that is killed must not leave its children behind."""
	return advised(view, "kill-as-group")


@check("stop-as-group")
def stop_as_group(view: BenchView) -> Iterator[Finding]:
	"""A pool's workers must not get the stop order twice: RQ kills the running job at the second one."""
	return advised(view, "stop-as-group")


@check("autorestart")
def autorestart(view: BenchView) -> Iterator[Finding]:
	"""A process that ends must come back."""
	return advised(view, "autorestart")


@check("graceful-timeout")
def graceful_timeout(view: BenchView) -> Iterator[Finding]:
	"""supervisor must not kill web before its requests have ended."""
	return advised(view, "graceful-timeout")


@check("shell-wrapper")
def shell_wrapper(view: BenchView) -> Iterator[Finding]:
	"""Told by the running process: many a shell makes way for its last command, and then all is well."""
	for program in supervised(view, *PARENTS, ProcessKind.OTHER):
		if program.stops_group is not True and is_inside_shell(view, program):
			severity = Severity.WARNING if program.stops_group is None else Severity.ERROR
			text = "It runs inside a shell that does not pass on supervisor's TERM: the shell ends, what it started does not."
			advice = Advice(text, "command", "bash -c 'exec …'", severity)
			yield advised_finding("shell-wrapper", program, advice, fix="")


def is_inside_shell(view: BenchView, program: ProgramSettings) -> bool:
	"""The program is a shell that starts a process of the bench and does not pass TERM on."""
	table = process_table(view)
	row = table.rows.get(program.pid)
	if row is None or row.name not in SHELLS:
		return False
	# a wrapper script does not say what it starts, so what it has started counts
	if bench_processes(view).keys().isdisjoint(member.pid for member in table.family(row)[1:]):
		return False
	return catches(row.pid, signal.SIGTERM) is False


@check("program-group")
def program_group(view: BenchView) -> Iterator[Finding]:
	"""bench restart is about the groups <bench>-web and <bench>-workers, and no others where these exist."""
	usual = {f"{view.path.name}-web", f"{view.path.name}-workers"}
	managed_programs = supervised(view, ProcessKind.WORKER, ProcessKind.WEB, ProcessKind.SCHEDULER)
	if not usual <= {program.group for program in managed_programs}:
		return
	for program in managed_programs:
		if program.group not in usual:
			name, group = program.name.rpartition(":")[2], f"{view.path.name}-workers"
			text = "It is outside the groups that bench restart and bench update restart, so it keeps the old code."
			remedy = f"add {name} to programs= of [group:{group}], then bench restart"
			yield Finding("program-group", Severity.WARNING, program.name, text, remedy)


@check("missing-workers")
def missing_workers(view: BenchView) -> Iterator[Finding]:
	"""Queues with a worker that someone has started by hand. Those without any are told as unserved-queues."""
	managed_programs = programs(view, ProcessKind.WORKER)
	if not supervised(view, ProcessKind.WORKER):
		return
	limits = queue_limits(view.config)
	managed = {queue for program in managed_programs for queue in served_queues(program.words, limits)}
	live, local = view.live_workers, view.look.local
	here = {queue for worker in live if worker in local for queue in worker.queues}
	elsewhere = {queue for worker in live if worker not in local for queue in worker.queues}
	for queue in sorted((set(limits) & here) - managed - elsewhere):
		text = f"Queue {queue} has a worker, but supervisor has no program for it: it is not started again."
		remedy = f"bench setup supervisor, {APPLY}"
		yield Finding("missing-workers", Severity.WARNING, queue, text, remedy)


HEAD = """\
; What the doctor of fmx_restart would add to the configuration of {bench}.
; supervisor joins sections of the same name, and the file it reads last wins: copy this one as {name}
; into the folder that supervisord.conf includes, {apply}
"""


@fix(FIX)
def supervisor_lines(view: BenchView) -> Iterator[Step]:
	"""Write the lines that all of these checks miss into one file in the bench. Nothing outside the bench is touched."""
	lines = missing_lines(view)
	if lines:
		file = view.path / "config" / "fmx_restart" / f"zz-{view.path.name}.conf"
		text = HEAD.format(bench=view.path, name=file.name, apply=APPLY) + as_text(lines)
		yield Step(f"Write what supervisor lacks to {file}, for its administrator", lambda: write(file, text))


def missing_lines(view: BenchView) -> dict[str, dict[str, str]]:
	"""Section → key → value. Of two rules for one key, such as the longest time, the first counts."""
	lines: dict[str, dict[str, str]] = {}
	for rule in RULES:
		for program, advised in advice(view, rule):
			if program.section:
				lines.setdefault(program.section, {}).setdefault(advised.key, advised.value)
	return lines


def as_text(lines: Mapping[str, Mapping[str, str]]) -> str:
	"""Sections as supervisor's configuration has them."""
	return "".join(
		f"\n[{section}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
		for section, values in lines.items()
	)


def write(file: Path, text: str) -> str:
	"""Write the file, and say what the administrator does with it. Raises OSError."""
	write_for_administrator(file, text)
	return f"{file} is written. As administrator, look at it, copy it where its first lines say, {APPLY}."
