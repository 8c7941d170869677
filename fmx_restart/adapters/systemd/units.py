"""The systemd units that run a bench, or the supervisor that runs it, as systemd tells them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.command_line import WORKER_COMMANDS, bench_command, split_words
from fmx_restart.adapters.numbers import whole_number
from fmx_restart.adapters.systemd.show import seconds, show

SUPERVISORS = ("supervisor.service", "supervisord.service")  # Debian's, and Red Hat's
PROPERTIES = (
	"Id",
	"LoadState",
	"MainPID",
	"ExecStart",
	"WorkingDirectory",
	"KillMode",
	"TimeoutStopUSec",
	"OOMPolicy",
	"NRestarts",
	"ExecMainStartTimestamp",
	"FragmentPath",
	"DropInPaths",
)
ARGUMENTS = re.compile(r"argv\[\]=(.*?) ; ")
SCORE = re.compile(r"^\s*OOMScoreAdjust\s*=\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
	name: str
	words: tuple[str, ...]  # of its command; never to be shown
	main_pid: int
	folder: str
	kill_mode: str
	stop_seconds: float | None  # None: no limit
	oom_policy: str  # empty where systemd is too old to have one
	restarts: int  # by itself, since it was started by somebody
	started: str  # of its main process, in systemd's own words
	files: tuple[str, ...]  # its own, and its drop-ins in their order

	@property
	def is_worker(self) -> bool:
		return bench_command(list(self.words)) in WORKER_COMMANDS

	@property
	def is_supervisor(self) -> bool:
		return self.name in SUPERVISORS

	def written_score(self) -> tuple[str, str] | None:
		"""OOMScoreAdjust and the file that sets it: systemd ignores a value that is out of range, and tells none."""
		found = None
		for file in self.files:
			try:
				for value in SCORE.findall(Path(file).read_text()):
					found = value, file
			except (OSError, ValueError):
				continue
		return found


def units_of(bench: BenchFolder, more: Iterable[str] = ()) -> list[Unit]:
	"""`more`: names of units that are known to run something of this bench. Supervisor's comes along, whosever it is."""
	names = [f"{Path(bench.path).name}-*.service", *SUPERVISORS, *more]
	return units_in(show(list(dict.fromkeys(names)), PROPERTIES), bench)


def units_in(answers: Iterable[Mapping[str, str]], bench: BenchFolder) -> list[Unit]:
	loaded = (unit_from(answer) for answer in answers if answer.get("LoadState") == "loaded")
	return [unit for unit in dict.fromkeys(loaded) if unit.is_supervisor or is_ours(unit, bench)]


def is_ours(unit: Unit, bench: BenchFolder) -> bool:
	paths = [unit.folder, *unit.words]
	return any(bench.owns(path) for path in paths if path.startswith("/"))


def unit_from(answer: Mapping[str, str]) -> Unit:
	command = ARGUMENTS.search(answer.get("ExecStart", ""))
	files = [answer.get("FragmentPath", ""), *answer.get("DropInPaths", "").split()]
	return Unit(
		name=answer.get("Id", ""),
		words=tuple(split_words(command[1])) if command else (),
		main_pid=whole_number(answer.get("MainPID")) or 0,
		folder=answer.get("WorkingDirectory", "").lstrip("!-"),
		kill_mode=answer.get("KillMode", ""),
		stop_seconds=seconds(answer.get("TimeoutStopUSec", "infinity")),
		oom_policy=answer.get("OOMPolicy", ""),
		restarts=whole_number(answer.get("NRestarts")) or 0,
		started=answer.get("ExecMainStartTimestamp", ""),
		files=tuple(file for file in files if file),
	)
