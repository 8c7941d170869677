"""Migrations in memory: how that of each site goes is written by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions
from fmx_restart.testing.clock import FakeClock

HANGS = float("inf")


def no_effect() -> None:
	"""What a migration does besides, unless a test says otherwise."""


@dataclass
class Script:
	"""How the migration of one site goes. `seconds` may be HANGS."""

	seconds: float = 5.0
	exit_code: int = 0
	prints: str = ""
	ignores_term: bool = False
	leaves_children: bool = False  # when it ends by itself, processes of it stay
	is_startable: bool = True
	on_start: Callable[[], object] = no_effect


class InMemoryRun:
	def __init__(self, clock: FakeClock, site: str, script: Script) -> None:
		self.log = f"/in-memory/logs/{site}.log"
		self.signals: list[str] = []
		self._clock, self._script, self._began = clock, script, clock.now()
		self._unread = script.prints
		self._ended_by: int | None = None

	def output(self) -> str:
		unread, self._unread = self._unread, ""
		return unread

	def exit_code(self) -> int | None:
		if self._ended_by is not None:
			return self._ended_by
		return self._script.exit_code if self._clock.now() >= self._began + self._script.seconds else None

	def terminate(self) -> None:
		self.signals.append("TERM")
		if not self._script.ignores_term:
			self._end(-15)

	def kill(self) -> None:
		self.signals.append("KILL")
		self._end(-9)

	def is_gone(self) -> bool:
		return self._ended_by is not None or (
			self.exit_code() is not None and not self._script.leaves_children
		)

	def age(self) -> float:
		return 0.0 if self.is_gone() else self._clock.now() - self._began

	def _end(self, code: int) -> None:
		ended_by_itself = self.exit_code()
		self._ended_by = code if ended_by_itself is None else ended_by_itself


class AdoptedInMemoryRun:
	"""As whoever did not start it sees it: no output, no exit code."""

	def __init__(self, run: InMemoryRun) -> None:
		self.log = run.log
		self.terminate, self.kill, self.is_gone, self.age = run.terminate, run.kill, run.is_gone, run.age

	def output(self) -> str:
		return ""

	def exit_code(self) -> int | None:
		return None


@dataclass
class InMemoryMigrations:
	"""`scripts`: site → how it goes; a site that is not named succeeds. `runs` holds what was started."""

	clock: FakeClock
	scripts: dict[str, Script] = field(default_factory=dict)
	backups: dict[str, Script] = field(default_factory=dict)
	findings: list[Finding] = field(default_factory=list)
	runs: dict[str, InMemoryRun] = field(default_factory=dict)

	def inspect(self, site: str, options: MigrationOptions) -> list[Finding]:
		findings = [finding for finding in self.findings if finding.site == site]
		if site in self.runs and not self.runs[site].is_gone():
			findings.append(Finding(site, Gravity.BLOCKS, "another migration of it is under way"))
		return findings

	def start(self, site: str, options: MigrationOptions) -> InMemoryRun:
		return self._start(site, self.scripts.get(site, Script()))

	def start_backup(self, site: str) -> InMemoryRun:
		return self._start(f"{site}-backup", self.backups.get(site, Script(prints="a backup\n")))

	def adopt(self, log: str) -> AdoptedInMemoryRun:
		return AdoptedInMemoryRun(next(run for run in self.runs.values() if run.log == log))

	def backup_file(self, site: str, run: InMemoryRun) -> str | None:
		return f"/in-memory/{site}.sql.gz" if run.exit_code() == 0 else None

	def _start(self, name: str, script: Script) -> InMemoryRun:
		if not script.is_startable:
			raise WrongEnvironment("the command is not there")
		script.on_start()
		self.runs[name] = InMemoryRun(self.clock, name, script)
		return self.runs[name]
