"""How supervisor is told to treat each program: what its RPC tells, and what stands in its files only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.supervisor.config_files import Written, config_file_of, written_settings
from fmx_restart.adapters.supervisor.connection import Address, asking, connect
from fmx_restart.adapters.supervisor.programs import Program, full_name, kind_of, kinds_of, running_trace
from fmx_restart.engine.ports import ProcessKind

TIMEOUT = 1.5  # seconds


@dataclass(frozen=True)
class ProgramSettings:
	"""One process that supervisor runs, or would run, for this bench. None where nobody tells."""

	name: str  # as supervisorctl writes it, group included
	group: str
	kind: ProcessKind
	words: tuple[str, ...]  # of its command; never to be shown: they may hold Redis' password
	pid: int = 0
	stop_seconds: float | None = None  # stopwaitsecs
	stop_signal: int | None = None
	kills_group: bool | None = None  # killasgroup
	stops_group: bool | None = None  # stopasgroup
	restarts: str | None = None  # autorestart: true, false, unexpected
	section: str = ""  # of the file: "program:x"
	file: str = ""
	queues: tuple[str, ...] = ()  # of registered workers below a program whose command is no worker's

	@property
	def runs_jobs(self) -> bool:
		"""To stop it is to stop a worker."""
		return self.kind is ProcessKind.WORKER or bool(self.queues)


@dataclass(frozen=True)
class Settings:
	programs: tuple[ProgramSettings, ...]  # this bench's only
	pids: frozenset[int]  # of everything this supervisord runs, itself included


def read_settings(address: Address, bench_path: str, *, timeout: float = TIMEOUT) -> Settings:
	"""On a connection of its own. Raises ProcessFault."""
	server = connect(address, timeout)
	try:
		with asking("tell its settings"):
			pid, infos = server.supervisor.getPID(), server.supervisor.getAllProcessInfo()
			configs = {full_name(config): config for config in server.supervisor.getAllConfigInfo()}
			written = written_settings(config_file_of(pid, address.source))
			return Settings(
				programs=tuple(programs_of(infos, configs, written, BenchFolder(bench_path))),
				pids=frozenset({pid, *(info["pid"] for info in infos)} - {0}),
			)
	finally:
		server("close")()


def programs_of(
	infos: Iterable[Mapping],
	configs: Mapping[str, Mapping],
	written: Mapping[str, Written],
	bench: BenchFolder,
) -> Iterator[ProgramSettings]:
	reported = {full_name(info): info for info in infos}
	programs = [Program.from_reports(info, configs.get(name, {})) for name, info in reported.items()]
	for program, kind in kinds_of(programs, bench).items():
		config = configs.get(program.name, {})
		settings = ProgramSettings(
			name=program.name,
			group=program.group,
			kind=kind,
			words=telling_words(program),
			pid=program.pid,
			stop_seconds=config.get("stopwaitsecs"),
			stop_signal=config.get("stopsignal"),
			kills_group=config.get("killasgroup"),
		)
		found = written.get(reported[program.name]["name"])
		yield settings if found is None else with_file(settings, found)


def telling_words(program: Program) -> tuple[str, ...]:
	"""Of its command, or, where that is a script which says nothing, of what it has become."""
	words = tuple(split_words(program.command))
	return words if kind_of(list(words)) else running_trace(program.pid).words or words


def with_file(settings: ProgramSettings, found: Written) -> ProgramSettings:
	return replace(
		settings,
		stops_group=found.stops_group,
		restarts=found.restarts,
		section=found.section,
		file=found.file,
	)
