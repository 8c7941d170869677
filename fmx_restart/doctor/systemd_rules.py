"""What systemd should be told about a unit of a bench, or about supervisor, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fmx_restart.adapters.queue_limits import served_queues
from fmx_restart.adapters.systemd.units import Unit
from fmx_restart.doctor.finding import Severity
from fmx_restart.doctor.words import span

SLACK = 60  # seconds on top of a job's own time
SCORES = range(-1000, 1001)  # systemd.exec(5)
PROTECTED = -900  # what does the work of a lower one: the kernel takes nearly everything else first


@dataclass(frozen=True)
class Need:
	"""Seconds that a unit must get to stop, and what for."""

	seconds: float
	what: str


@dataclass(frozen=True)
class UnitAdvice:
	text: str
	line: str  # of the drop-in's [Service]
	severity: Severity = Severity.WARNING


Rule = Callable[[Unit, Need], UnitAdvice | None]


def kill_mode(unit: Unit, need: Need) -> UnitAdvice | None:
	"""A job's process has a session of its own, but no cgroup of its own: systemd finds it."""
	if unit.kill_mode != "control-group" or not (unit.is_worker or unit.is_supervisor):
		return None
	if unit.is_worker:
		text = "systemd tells every process of it to stop (KillMode=control-group): a stop or restart kills the running job."
		return UnitAdvice(text, "KillMode=mixed", Severity.ERROR)
	text = "When supervisor is stopped, systemd tells every process below it to stop at once: running jobs are killed."
	return UnitAdvice(text, "KillMode=mixed")


def stop_timeout(unit: Unit, need: Need) -> UnitAdvice | None:
	if (
		unit.stop_seconds is None
		or unit.stop_seconds >= need.seconds
		or not (unit.is_worker or unit.is_supervisor)
	):
		return None
	text = f"systemd kills it {span(unit.stop_seconds)} after it was told to stop, but {need.what} {span(need.seconds)}."
	severity = Severity.ERROR if unit.is_worker else Severity.WARNING
	return UnitAdvice(text, f"TimeoutStopSec={need.seconds + SLACK:g}", severity)


def oom_policy(unit: Unit, need: Need) -> UnitAdvice | None:
	"""stop is systemd's default (systemd.service(5))."""
	if unit.oom_policy not in ("stop", "kill"):
		return None
	what = "supervisor and so the whole bench" if unit.is_supervisor else "all of it"
	text = f"When the kernel kills one of its processes for want of memory, systemd stops {what} (OOMPolicy={unit.oom_policy})."
	return UnitAdvice(text, "OOMPolicy=continue")


def oom_score(unit: Unit, need: Need) -> UnitAdvice | None:
	written = unit.written_score()
	if written is None or is_score(written[0]):
		return None
	text = f"OOMScoreAdjust={written[0]} in {written[1]} is not between -1000 and 1000: systemd ignores it."
	return UnitAdvice(text, f"OOMScoreAdjust={PROTECTED}")


def is_score(text: str) -> bool:
	try:
		return int(text) in SCORES
	except ValueError:
		return False


#: By the name of the check that they are.
RULES: Mapping[str, Rule] = {
	"kill-mode": kill_mode,
	"stop-timeout": stop_timeout,
	"oom-policy": oom_policy,
	"oom-score": oom_score,
}


def need_of(unit: Unit, limits: Mapping[str, int], programs: Mapping[str, float]) -> Need:
	"""`programs`: those of supervisor, and how long each may take to stop."""
	if unit.is_worker:
		longest = max((limits.get(queue, 0) for queue in served_queues(unit.words, limits)), default=0)
		return Need(longest, "its jobs may run for")
	return Need(max(programs.values(), default=0), "its programs may take")
