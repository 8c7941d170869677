"""What supervisor should be told about a program of a bench, and why. Rules look at one program each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

from fmx_restart.adapters.numbers import number
from fmx_restart.adapters.queue_limits import served_queues
from fmx_restart.adapters.supervisor.settings import ProgramSettings
from fmx_restart.doctor.finding import Severity
from fmx_restart.engine.ports import ProcessKind

SLACK = 60  # seconds on top of a job's own time, as bench's own template gives them
GRACEFUL = 30.0  # seconds; gunicorn's own default
WEB_SLACK = 10  # seconds
GENTLE = {signal.SIGTERM, signal.SIGINT}
PARENTS = {ProcessKind.WORKER, ProcessKind.WEB}


@dataclass(frozen=True)
class Advice:
	text: str
	key: str
	value: str
	severity: Severity = Severity.WARNING


Rule = Callable[[ProgramSettings, Mapping[str, int]], Advice | None]


def stop_time(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""bench's template gives a custom queue's worker exactly its limit, and no more: that is enough."""
	if not program.runs_jobs or program.stop_seconds is None:
		return None
	wanted = longest_job(program, limits)
	if program.stop_seconds >= wanted:
		return None
	return Advice(
		f"supervisor kills it {program.stop_seconds:g} s after it was told to stop, but its jobs may run for {wanted} s: a "
		"stop or restart by supervisor kills running jobs.",
		"stopwaitsecs",
		str(wanted + SLACK),
		Severity.ERROR,
	)


def stop_signal(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""Only TERM and INT let a worker finish its job."""
	is_gentle = program.stop_signal is None or program.stop_signal in GENTLE
	if not program.runs_jobs or is_gentle:
		return None
	text = f"supervisor stops it with {signal_name(program.stop_signal)}: its running job is lost."
	return Advice(text, "stopsignal", "TERM", Severity.ERROR)


def kill_as_group(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	if program.kind not in PARENTS or program.kills_group is not False:
		return None
	text = "When it does not stop in time, supervisor kills it but not its children: they live on as orphans, with old code."
	return Advice(text, "killasgroup", "true")


def stop_as_group(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""Only of a pool: the job of a plain worker runs in a process group of its own."""
	if not program.stops_group or "worker-pool" not in program.words:
		return None
	text = (
		"supervisor tells the pool's workers to stop, and so does the pool: RQ takes the second time for an order to kill "
		"the running job."
	)
	return Advice(text, "stopasgroup", "false")


def autorestart(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
	"""A worker ends with exit code 0 when it was told to over Redis. The scheduler may: where a pool does its work."""
	if program.kind not in PARENTS or program.restarts not in ("false", "unexpected"):
		return None
	when = (
		"ends"
		if program.restarts == "false"
		else "ends without an error, as a worker does that was told to over Redis"
	)
	return Advice(f"When it {when}, supervisor does not start it again.", "autorestart", "true")


def graceful_timeout(program: ProgramSettings, limits: Mapping[str, int]) -> Advice | None:
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
	"stop-time": stop_time,
	"stop-signal": stop_signal,
	"kill-as-group": kill_as_group,
	"stop-as-group": stop_as_group,
	"autorestart": autorestart,
	"graceful-timeout": graceful_timeout,
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
