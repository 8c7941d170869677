"""
kill -9 of each process that takes part in a restart of web whose old workers linger, at its decisive steps. Used by
test_web_kills.py, and by development/benchmarks/web_kills.py, which prints a table.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis

from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command
from fmx_restart.tests.bench.crashes import end_guardian, is_guardian
from fmx_restart.tests.bench.support import keys_of_ours
from fmx_restart.tests.web.gunicorn_program import gunicorn_processes
from fmx_restart.web.files import PREFIX, records_in

if TYPE_CHECKING:
	from development.description import Bench
	from development.web_load import WebLoad

OPERATION, GUARDIAN, OLD_MASTER, NEW_MASTER = "operation", "guardian", "old master", "new master"
PATIENCE = 60.0  # seconds for anything that is waited for
AFTER = 6.0  # seconds of load after the kill
LOOK = 0.002  # seconds

PLANNED = ("Planned", "", "")
FENCED = ("PhaseEntered", "phase", "Fence")
RESTARTING = ("PhaseEntered", "phase", "Restart")
ORDERED = ("ProcessStopping", "kind", "web")
UP = ("ProcessUp", "kind", "web")
ANSWERS = ("NewWebAnswers", "", "")
VERIFYING = ("PhaseEntered", "phase", "Verify")


@dataclass(frozen=True)
class Kill:
	victim: str
	step: tuple[str, str, str]  # the journal's event, a field of it, and that field's value

	def __str__(self) -> str:
		event, _, value = self.step
		return f"{self.victim} at {event}{' ' if value else ''}{value}"


POINTS = (
	*(Kill(victim, step) for victim in (OPERATION, GUARDIAN) for step in (FENCED, ORDERED, ANSWERS)),
	*(Kill(OLD_MASTER, step) for step in (PLANNED, RESTARTING, ORDERED)),
	*(Kill(NEW_MASTER, step) for step in (UP, ANSWERS, VERIFYING)),
)


@dataclass
class Outcome:
	kill: Kill
	exit_code: int | None = None
	is_hit: bool = False  # the victim lived when it was killed
	requests: int = 0  # from the kill on
	failed: dict[str, int] = field(default_factory=dict)
	without_answer: float = 0.0  # seconds from the kill to the last failed request
	clean_after: float = 0.0  # seconds from the kill until nothing was left
	left: list[str] = field(default_factory=list)  # what was left when patience ended


class WebKills:
	"""`load`: requests that go on all the time. Web must be set up to linger, and that must be active."""

	def __init__(self, bench: Bench, load: WebLoad) -> None:
		self.bench, self.load = bench, load
		self.redis = redis.Redis(port=bench.ports.redis_queue, decode_responses=True)
		self.sites = bench.sites_path

	def run(self, kill: Kill) -> Outcome:
		outcome = Outcome(kill)
		command = self.start("--wait-workers", "--json", "--yes")
		operation = command.wait_for_fact("OperationStarted")["operation"]
		journal = self.bench.path / "logs" / "fmx_restart" / f"{operation}.jsonl"
		event = wait_for_event(journal, kill)
		outcome.is_hit = self.kill(kill.victim, event, command, operation)
		killed = time.monotonic()
		self.wait_until_clean(outcome, journal, killed)
		outcome.exit_code = command.finish().code
		time.sleep(max(0.0, killed + AFTER - time.monotonic()))
		self.count(outcome, killed)
		return outcome

	def start(self, *options: str) -> Command:
		words = [str(self.bench.tools / "bench"), "--site", self.bench.site, "safe-restart", *options]
		return Command(words, cwd=self.bench.path, env=self.bench.environment)

	def kill(self, victim: str, event: dict, command: Command, operation: str) -> bool:
		if victim == GUARDIAN:
			is_there = bool(guardians(operation))
			end_guardian(operation)
			return is_there
		pid = {
			OPERATION: command.operation_pid,
			OLD_MASTER: lambda: event.get("pid") or self.master(),
			NEW_MASTER: lambda: event.get("new_pid") or self.master(),
		}[victim]()
		try:
			os.kill(pid, signal.SIGKILL)
		except ProcessLookupError:
			return False
		return True

	def master(self) -> int:
		"""The main process of web, as its manager knows it."""
		from development.services import process_info

		return next(info["pid"] for info in process_info(self.bench) if info["name"].endswith("-frappe-web"))

	def wait_until_clean(self, outcome: Outcome, journal: Path, killed: float) -> None:
		for what, holds in self.conditions(journal).items():
			try:
				eventually(holds, what, deadline=PATIENCE)
			except AssertionError as error:
				outcome.left.append(str(error))
		outcome.clean_after = time.monotonic() - killed

	def conditions(self, journal: Path) -> dict[str, Callable[[], bool]]:
		return {
			"the journal has an end": lambda: is_closed(journal),
			"every program is up": self.are_all_up,
			"one record is left, and it is the running master's": self.is_record_new,
			"only the master and its workers run": self.is_nobody_left,
			"nothing of ours stays in Redis": lambda: not keys_of_ours(self.redis),
			"no guardian is left": lambda: not guardians(journal.stem),
		}

	def are_all_up(self) -> bool:
		from development.services import process_info

		return all(info["statename"] == "RUNNING" for info in process_info(self.bench))

	def is_record_new(self) -> bool:
		"""No order, no socket, and no record but that one."""
		records = list(records_in(str(self.sites)))
		files = list(self.sites.glob(f"{PREFIX}*"))
		return (
			len(files) == len(records) == 1
			and records[0][1].is_complete
			and records[0][1].master == self.master()
		)

	def is_nobody_left(self) -> bool:
		master = self.master()
		pids = {process.pid for process in gunicorn_processes(self.sites)}
		return pids == {master, *(child.pid for child in psutil.Process(master).children())}

	def count(self, outcome: Outcome, killed: float) -> None:
		from development.web_load import faults

		seen = self.load.between(killed, time.monotonic())
		outcome.requests = len(seen)
		outcome.failed = {", ".join(what): times for what, times in faults(seen).items()}
		outcome.without_answer = max((it.ended - killed for it in seen if not it.is_answered), default=0.0)


def wait_for_event(journal: Path, kill: Kill) -> dict:
	"""Within milliseconds: a step may be over soon. Raises AssertionError."""
	until = time.monotonic() + PATIENCE
	while not (event := event_in(journal, kill.step)):
		assert time.monotonic() < until, f"never seen: {kill}"
		time.sleep(LOOK)
	return event


def event_in(journal: Path, step: tuple[str, str, str]) -> dict | None:
	"""The first one of that step; a line that is still being written is left out."""
	name, key, value = step
	for line in journal.read_text().splitlines():
		if f'"event": "{name}"' in line and line.endswith("}"):
			event = json.loads(line)
			if not key or event[key] == value:
				return event
	return None


def guardians(operation: str) -> list[psutil.Process]:
	return [process for process in psutil.process_iter() if is_guardian(process, operation)]
