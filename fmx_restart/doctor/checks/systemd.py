"""What systemd should know about the bench's units, or about its process manager's, and why; and the fix that writes it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from fmx_restart.adapters.bench import BenchFolder, queue_limits, served_queues
from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.managers.systemd.units import Unit, unit_of, units_of
from fmx_restart.adapters.process_table import Row, catches
from fmx_restart.adapters.web.ways import is_set_up
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import bench_processes, process_table, settings
from fmx_restart.doctor.registry import Finding, Severity, Step, check, fix, write_for_administrator
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.format import span
from fmx_restart.engine.frozen import frozen

SLACK = 60  # seconds on top of a job's own time
SCORES = range(-1000, 1001)  # systemd.exec(5)
PROTECTED = -900  # what does the work of a lower one: the kernel takes nearly everything else first


@frozen
class Need:
	"""Seconds that a unit must get to stop, and what for."""

	seconds: float
	what: str
	lingers: bool = False  # old web workers of this bench may serve until new ones answer


@frozen
class UnitAdvice:
	text: str
	line: str  # of the drop-in's [Service]
	severity: Severity = Severity.WARNING


Rule = Callable[[Unit, Need], UnitAdvice | None]


def kill_mode_advice(unit: Unit, need: Need) -> UnitAdvice | None:
	"""A job's process has a session of its own, but no cgroup of its own: systemd finds it. So it does with old web workers."""
	if unit.is_web and need.lingers and not unit.has_socket and unit.kill_mode in ("control-group", "mixed"):
		text = f"systemd ends old web workers together with their main process (KillMode={unit.kill_mode}): they cannot serve until new"
		return UnitAdvice(
			f"{text} ones answer, so requests wait or fail during a restart.", "KillMode=process"
		)
	if unit.kill_mode != "control-group" or not (unit.is_worker or unit.is_manager):
		return None
	if unit.is_worker:
		text = "systemd tells every process of this unit to stop (KillMode=control-group): a stop or restart kills the running job."
		return UnitAdvice(text, "KillMode=mixed", Severity.ERROR)
	text = f"When {unit.name} is stopped, systemd tells every process below it to stop at once: running jobs are killed."
	return UnitAdvice(text, "KillMode=mixed")


def stop_timeout_advice(unit: Unit, need: Need) -> UnitAdvice | None:
	"""As long as a job may take, or as long as the process manager may need to stop its programs."""
	if (
		unit.stop_seconds is None
		or unit.stop_seconds >= need.seconds
		or not (unit.is_worker or unit.is_manager)
	):
		return None
	text = f"systemd kills it {span(unit.stop_seconds)} after the stop order, but {need.what} {span(need.seconds)}."
	severity = Severity.ERROR if unit.is_worker else Severity.WARNING
	return UnitAdvice(text, f"TimeoutStopSec={need.seconds + SLACK:g}", severity)


def oom_policy_advice(unit: Unit, need: Need) -> UnitAdvice | None:
	"""stop is systemd's default (systemd.service(5))."""
	if unit.oom_policy not in ("stop", "kill"):
		return None
	what = f"{unit.name} and so the whole bench" if unit.is_manager else "all of it"
	text = f"When the kernel kills one of its processes because memory ran out, systemd stops {what} (OOMPolicy={unit.oom_policy})."
	return UnitAdvice(text, "OOMPolicy=continue")


def oom_score_advice(unit: Unit, need: Need) -> UnitAdvice | None:
	"""Only of a number that is written: what protects a unit is its administrator's choice."""
	written = unit.written_score()
	if written is None or is_score(written[0]):
		return None
	text = f"OOMScoreAdjust={written[0]} in {written[1]} is not between -1000 and 1000: systemd ignores it."
	return UnitAdvice(text, f"OOMScoreAdjust={PROTECTED}")


def is_score(text: str) -> bool:
	"""A whole number that the kernel takes."""
	try:
		return int(text) in SCORES
	except ValueError:
		return False


#: By the name of the check that they are.
RULES: Mapping[str, Rule] = {
	"kill-mode": kill_mode_advice,
	"stop-timeout": stop_timeout_advice,
	"oom-policy": oom_policy_advice,
	"oom-score": oom_score_advice,
}


def need_of(
	unit: Unit, limits: Mapping[str, int], programs: Mapping[str, float], *, lingers: bool = False
) -> Need:
	"""`programs`: those of the process manager, and how long each may take to stop. `lingers`: as in Need."""
	if unit.is_web:
		return Need(0, "", lingers)
	if unit.is_worker:
		longest = max((limits.get(queue, 0) for queue in served_queues(unit.words, limits)), default=0)
		return Need(longest, "its jobs may run for")
	return Need(max(programs.values(), default=0), "its programs may take")


FIX = "systemd-drop-in"


def units(view: BenchView) -> list[Unit]:
	"""Empty where there is no systemd. A process manager's only where it runs this bench."""

	def read() -> list[Unit]:
		named = {unit_of(Path(f"/proc/{pid}/cgroup")) for pid in bench_processes(view)}
		units, bench = [], BenchFolder(str(view.path))
		for users in (False, True):
			names = sorted(name for name, is_users in named if name and is_users is users)
			# a user's systemd is asked where it runs something of the bench
			units += units_of(bench, names, users=users) if names or not users else []
		return [unit for unit in units if not unit.is_manager or runs_this_bench(view, unit)]

	return view.parts.get("units", read)


def runs_this_bench(view: BenchView, unit: Unit) -> bool:
	"""The unit's main process is the process manager that runs the bench's programs."""
	with suppress(OperationError):
		manager = settings(view)
		return manager is not None and unit.main_pid in manager.pids
	return False


def need(view: BenchView, unit: Unit) -> Need:
	"""How many seconds the unit needs to stop, and why."""
	programs = {}
	with suppress(OperationError):
		if manager := settings(view):
			programs = {program.name: program.stop_seconds or 0.0 for program in manager.programs}
	lingers = is_set_up(view.path / "sites")
	return need_of(unit, queue_limits(view.config), programs, lingers=lingers)


def advice(view: BenchView, rule: str) -> Iterator[tuple[Unit, UnitAdvice]]:
	"""The units for which a rule has something to say."""
	for unit in units(view):
		if advised := RULES[rule](unit, need(view, unit)):
			yield unit, advised


def advised(view: BenchView, rule: str) -> Iterator[Finding]:
	"""The findings of a rule, which is also the check's name."""
	for unit, advised in advice(view, rule):
		edit = "systemctl --user edit" if unit.is_users else "sudo systemctl edit"
		remedy = f"{edit} {unit.name}: [Service], {advised.line}; or bench doctor --fix"
		yield Finding(rule, advised.severity, unit.name, advised.text, remedy, FIX)


OFTEN = 3  # restarts by itself; one may be an update of the machine


@check("kill-mode")
def kill_mode(view: BenchView) -> Iterator[Finding]:
	"""systemd must not signal a job's own process together with its worker."""
	return advised(view, "kill-mode")


@check("stop-timeout")
def stop_timeout(view: BenchView) -> Iterator[Finding]:
	"""systemd must not kill a worker while its job may still run."""
	return advised(view, "stop-timeout")


@check("oom-policy")
def oom_policy(view: BenchView) -> Iterator[Finding]:
	"""One worker killed for lack of memory must not stop the whole unit."""
	return advised(view, "oom-policy")


@check("oom-score")
def oom_score(view: BenchView) -> Iterator[Finding]:
	"""systemd ignores a number that the kernel does not take, and the unit has no protection then."""
	return advised(view, "oom-score")


@check("service-restarts")
def service_restarts(view: BenchView) -> Iterator[Finding]:
	"""systemd had to start the unit again and again: it crashes."""
	for unit in units(view):
		if unit.restarts >= OFTEN:
			since = f"; its main process runs since {unit.started}" if unit.started else ""
			text = f"systemd had to start it again {unit.restarts} times{since}."
			look = f"journalctl {'--user ' if unit.is_users else ''}-u {unit.name} -p warning"
			yield Finding("service-restarts", Severity.WARNING, unit.name, text, look)


@check("container-stop")
def container_stop(view: BenchView) -> Iterator[Finding]:
	"""
	The kernel ignores a TERM to PID 1 that does not take care of it, so its container is killed after the grace period.
	How long that is cannot be seen from inside.
	"""
	table, roles = process_table(view), bench_processes(view)
	init = table.init
	if init is None or table.is_whole_machine or not is_deaf(init):
		return
	if any(roles.get(row.pid) is Role.WORKER for row in table.family(init)):
		text = f"PID 1 ({init.name}) ignores SIGTERM: when the container stops, running jobs are killed."
		remedy = "exec before the worker's command in the entrypoint, or docker run --init, or init: true in compose.yaml"
		yield Finding("container-stop", Severity.ERROR, init.name, text, remedy)


def is_deaf(init: Row) -> bool:
	"""Pid 1 has no handler for TERM, so `docker stop` waits and then kills everything."""
	return catches(init.pid, signal.SIGTERM) is False


@fix(FIX)
def systemd_drop_in(view: BenchView) -> Iterator[Step]:
	"""Write the lines that all of these checks miss into a file for each unit. Nothing outside the bench is touched."""
	for (unit, is_users), lines in missing_lines(view).items():
		file = view.path / "config" / "fmx_restart" / f"{unit}.conf"
		yield Step(
			f"Write what {unit} lacks to {file}, for the administrator",
			partial(write, unit, file, lines, is_users=is_users),
		)


def missing_lines(view: BenchView) -> dict[tuple[str, bool], list[str]]:
	"""
	Unit, and whether it is a user's → lines. One drop-in serves all instances of a template: worker@1.service and
	worker@2.service.
	"""
	lines_of: dict[tuple[str, bool], list[str]] = {}
	for rule in RULES:
		for unit, advised in advice(view, rule):
			lines = lines_of.setdefault((template_of(unit.name), unit.is_users), [])
			if advised.line not in lines:
				lines.append(advised.line)
	return lines_of


def template_of(unit: str) -> str:
	"""worker@1.service is made from worker@.service."""
	name, at, _ = unit.partition("@")
	return f"{name}@.service" if at else unit


def write(unit: str, file: Path, lines: list[str], *, is_users: bool = False) -> str:
	"""Write the file, and say what the administrator does with it. Raises OSError."""
	folder, sudo, systemctl = "/etc/systemd/system", "sudo ", "systemctl"
	if is_users:
		folder, sudo, systemctl = "~/.config/systemd/user", "", "systemctl --user"
	target = f"{folder}/{unit}.d/fmx_restart.conf"
	install = f"{sudo}install -D -m 644 {file} {target} && {sudo}{systemctl} daemon-reload"
	head = (
		f"# What the doctor of fmx_restart would add to {unit}. As administrator:\n# {install}\n[Service]\n"
	)
	write_for_administrator(file, head + "".join(f"{line}\n" for line in lines))
	return f"{file} is written. As administrator, look at it, then: {install}"
