"""
kill -9 of an operation in the middle, again and again, on a bench under load. Used by test_crashes.py in short and by
development/benchmarks/crashes.py in long.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis

from fmx_restart.adapters.journal import crashed_operation_in
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command
from fmx_restart.tests.bench.support import frappe_command_line, keys_of_ours

if TYPE_CHECKING:
	from development.description import Bench

PATIENCE = 240.0  # seconds for anything we wait for
CLOSED = ("drain", "migrate", "restart")  # phases in which the site is in maintenance mode
MIGRATE = (
	"--migrate",
	"--migrate-command",
	"sleep 2",
	*(w for p in CLOSED for w in ("--maintenance-mode", p)),
)
STRATEGIES = {
	"wait-workers": ("--wait-workers",),
	"fast": (),
	"suspend-rq": ("--suspend-rq",),
	"no-wait-workers": ("--no-wait-workers",),
	"rolling": ("--rolling",),
	"migrate": MIGRATE,
}
#: Where both die here, workers may be stopped, and nobody is left who would start them: someone must say recover.
NEEDS_RECOVERY = {"Migrate", "Restart", "Lift", "Verify"}
#: Phases in which most is half done, each with a strategy that has it. In Migrate the guardian is killed, too: test_crashes.py.
BORDERS = (
	("Park", "suspend-rq"),
	("Restart", "wait-workers"),
	("Lift", "fast"),
	("Handover", "rolling"),
)
#: The other phases that some strategy has, and one that is reached in another way.
MORE_BORDERS = (
	("Fence", "wait-workers"),
	("Drain", "migrate"),
	("Migrate", "migrate"),
	("Restart", "migrate"),
	("Verify", "migrate"),
	("Audit", "no-wait-workers"),
)


@dataclass(frozen=True)
class Crash:
	"""`after`: seconds from the border, or from the operation's start where no border is given."""

	strategy: str
	border: str = ""
	after: float = 0.0
	guardian_too: bool = False

	def __str__(self) -> str:
		where = (
			f"{self.border} + {self.after:.2f} s" if self.border else f"{self.after:.2f} s after its start"
		)
		return f"{self.strategy}, {where}{', guardian too' if self.guardian_too else ''}"


@dataclass
class Outcome:
	crash: Crash
	died_in: str = ""  # its phase; "" where it had ended before
	moved_after: float = 0.0  # seconds from the kill until a job began
	recovered_after: float = 0.0  # seconds from the kill until the journal had an end
	outcome: str = ""
	faults: list[str] = field(default_factory=list)


class Crashes:
	"""`workload`: a stream of jobs that goes on all the time."""

	def __init__(self, bench: Bench, workload) -> None:
		self.bench, self.workload = bench, workload
		self.redis = redis.Redis(port=bench.ports.redis_queue, decode_responses=True)
		self.config = bench.sites_path / bench.site / "site_config.json"

	def run(self, crash: Crash) -> Outcome:
		outcome, settings = Outcome(crash), self.config.read_bytes()
		command = self.start(*STRATEGIES[crash.strategy], "--json")
		operation = command.wait_for_fact("OperationStarted")["operation"]
		journal = self.bench.path / "logs" / "fmx_restart" / f"{operation}.jsonl"
		if crash.border:  # from the journal: the command may have let its terminal go
			entered = f'"phase": "{crash.border}"}}'
			eventually(
				lambda: entered in journal.read_text(), f"{operation} is in {entered}", deadline=PATIENCE
			)
		time.sleep(crash.after)
		self.kill(journal, guardian_too=crash.guardian_too)
		killed = time.time()
		outcome.died_in = "" if is_closed(journal) else crashed_operation_in(journal).phase.value
		if crash.guardian_too and outcome.died_in in NEEDS_RECOVERY:
			self.start("recover").finish()
		outcome.moved_after = self.wait_until_it_moves(killed)
		if crash.guardian_too:
			self.start("recover").finish()
		eventually(lambda: is_closed(journal), f"{operation} has an end", deadline=PATIENCE)
		outcome.recovered_after = time.time() - killed
		outcome.outcome = crashed_operation_in(journal).phase.value
		command.finish()
		outcome.faults += self.faults(settings)
		return outcome

	def start(self, *options: str) -> Command:
		words = frappe_command_line(self.bench, *options)
		return Command(words, cwd=self.bench.sites_path, env=self.bench.environment)

	def kill(self, journal: Path, *, guardian_too: bool) -> None:
		if guardian_too:
			end_guardian(journal.stem)
		process = crashed_operation_in(journal).process
		if psutil.pid_exists(process.pid):
			psutil.Process(process.pid).kill()

	def wait_until_it_moves(self, since: float) -> float:
		"""Seconds until a job starts."""

		def first() -> float | None:
			lines = [json.loads(line) for line in self.workload.journal.read_text().splitlines()]
			return next((x["time"] for x in lines if x["event"] == "start" and x["time"] > since), None)

		return eventually(first, "a job has started after the kill", deadline=PATIENCE) - since

	def faults(self, settings: bytes) -> list[str]:
		"""What is not as it should be once the bench has had its time."""
		found = []
		for what, holds in {
			"every program is up": self.are_all_up,
			"every worker has registered": self.are_workers_registered,
			"settings are as before": lambda: self.config.read_bytes() == settings,
			"nothing of ours stays in Redis": lambda: not keys_of_ours(self.redis),
		}.items():
			try:
				eventually(holds, what, deadline=60)
			except AssertionError as error:
				found.append(str(error))
		return found

	def are_all_up(self) -> bool:
		from development.services import process_info

		return all(info["statename"] == "RUNNING" for info in process_info(self.bench))

	def are_workers_registered(self) -> bool:
		from development.services import process_info

		pids = {str(info["pid"]) for info in process_info(self.bench) if "worker" in info["name"]}
		return pids <= {self.redis.hget(key, "pid") for key in self.redis.smembers("rq:workers")}


def end_guardian(operation: str) -> None:
	"""Without a chance to clean up."""
	for guardian in [p for p in psutil.process_iter() if is_guardian(p, operation)]:
		guardian.kill()


def is_guardian(process: psutil.Process, operation: str) -> bool:
	try:
		words = process.cmdline()
	except psutil.Error:
		return False
	return "fmx_restart.guardian" in words and operation in words


def at_borders(*, more: bool) -> list[Crash]:
	"""`more`: of every phase."""
	return [Crash(strategy, border) for border, strategy in (*BORDERS, *(MORE_BORDERS if more else ()))]


def at_random(count: int, dice: random.Random, *, guardian_too: float = 0.2) -> list[Crash]:
	"""`guardian_too`: the part of them in which the guardian is killed as well."""
	return [
		Crash(
			dice.choice(list(STRATEGIES)), after=dice.uniform(0, 6), guardian_too=dice.random() < guardian_too
		)
		for _ in range(count)
	]
