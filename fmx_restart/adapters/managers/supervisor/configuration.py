"""supervisord's configuration files: what its RPC does not tell, and signs that it is meant to run a bench."""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePath
from xmlrpc.client import ServerProxy

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import adopted, processes_of
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.managers.names import ADDRESS, MANAGERS, SERVERS, SUPERVISOR
from fmx_restart.adapters.managers.programs import Program, kinds_of
from fmx_restart.adapters.managers.supervisor.connection import (
	SYSTEM_WIDE,
	Address,
	asking,
	config_files,
	connect,
	expand,
)
from fmx_restart.adapters.managers.supervisor.place import Place, as_seen
from fmx_restart.adapters.managers.supervisor.programs import full_name, program_of
from fmx_restart.adapters.process_kinds import Trace, kind_of, running_trace
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.adapters.setting_rules import text_of_file
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ManagerSettings, ProgramSettings

SECTIONS = ("program:", "fcgi-program:")
OPTIONS = ("-c", "--configuration")
TRUE = {"true", "yes", "on", "1"}
MOST_PROCESSES = 1000  # of one program; more than that is a slip of the pen


@frozen
class Written:
	section: str  # "program:x"
	file: str
	stops_group: bool
	restarts: str  # true, false, unexpected


def config_file_of(pid: int, source: str) -> Path | None:
	"""The file that this supervisord reads: named on its command line, or where it was found, or the usual place."""
	with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
		process = psutil.Process(pid)
		if named := named_file(process.cmdline()):
			return Path(named) if named.startswith("/") else Path(process.cwd(), named)
	usual = [source, *SYSTEM_WIDE] if source.startswith("/") else SYSTEM_WIDE
	return next((Path(path) for path in usual if Path(path).exists()), None)


def named_file(words: list[str]) -> str | None:
	"""The configuration file that supervisord's command line names with -c; None where it names none."""
	for word, following in pairwise([*words, ""]):
		if word in OPTIONS:
			return following or None
		for option in OPTIONS:
			if word.startswith(option) and word != option:
				return word[len(option) :].lstrip("=")
	return None


def written_settings(file: Path | None) -> dict[str, Written]:
	"""By the process' name without its group. Empty where a file cannot be read: then nothing is known."""
	parsers = list(read_all(file)) if file else []
	by_name = {}
	for path, parser in parsers:
		for section in parser.sections():
			if section.startswith(SECTIONS):
				for name in process_names(parser, section, path.parent):
					by_name[name] = written(parser, section, path)
	return by_name


def read_all(main: Path) -> Iterator[tuple[Path, configparser.RawConfigParser]]:
	"""The main file and those that it includes, as far as they can be read."""
	parser = read(main)
	if parser is None:
		return
	yield main, parser
	patterns = parser.get("include", "files", fallback="")
	for pattern in expanded(patterns, {"here": str(main.parent)}).split():
		folder, name = Path(main.parent, pattern).parent, Path(pattern).name
		with suppress(OSError):
			for path in sorted(folder.glob(name)):
				if included := read(path):
					yield path, included


def read(path: Path) -> configparser.RawConfigParser | None:
	"""None for a file that cannot be read or is no configuration: an unreadable one names no programs."""
	parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
	try:
		parser.read_string(text_of_file(path))
	except (OSError, ValueError, configparser.Error):
		return None
	return parser


def process_names(parser: configparser.RawConfigParser, section: str, folder: Path) -> Iterator[str]:
	"""The names of a program's processes, as supervisord makes them. One that cannot be made is left out."""
	program = section.partition(":")[2].strip()
	template = parser.get(section, "process_name", fallback="%(program_name)s")
	first, count = (
		number(parser, section, key, default) for key, default in (("numprocs_start", 0), ("numprocs", 1))
	)
	for index in range(first, first + min(count, MOST_PROCESSES)):
		known = {
			"program_name": program,
			"process_num": str(index),
			"numprocs": str(count),
			"here": str(folder),
		}
		# any format a person may write for the number: %(process_num)02d
		with suppress(KeyError, ValueError, TypeError):
			yield template % {**known, "process_num": index}


def written(parser: configparser.RawConfigParser, section: str, path: Path) -> Written:
	"""What the file says of one section, with supervisord's defaults for what it does not say."""
	stops = parser.get(section, "stopasgroup", fallback="false").strip().lower() in TRUE
	restarts = parser.get(section, "autorestart", fallback="unexpected").strip().lower()
	named = "unexpected" if restarts == "unexpected" else str(restarts in TRUE).lower()
	return Written(section, str(path), stops, named)


def number(parser: configparser.RawConfigParser, section: str, key: str, default: int) -> int:
	"""A whole number, or the default where the file has none."""
	try:
		return int(parser.get(section, key, fallback=default))
	except ValueError:
		return default


def expanded(value: str, expansions: Mapping[str, str]) -> str:
	"""A value with supervisord's %(…)s filled in; empty where one of them is known to supervisord alone."""
	try:
		return expand(value, expansions)
	except KeyError:  # an environment variable of supervisord's
		return ""


TIMEOUT = 1.5  # seconds


def read_settings(
	address: Address, bench_path: str, *, timeout: float = TIMEOUT, server: ServerProxy | None = None
) -> ManagerSettings:
	"""On a connection of its own, unless `server` is one. Raises ProcessFault."""
	server = server or connect(address, timeout)
	try:
		with asking("tell its settings"):
			pid, infos = server.supervisor.getPID(), server.supervisor.getAllProcessInfo()
			configs = {full_name(config): config for config in server.supervisor.getAllConfigInfo()}
			is_here = Place(server).is_here(infos)
			infos = [as_seen(info, is_here=is_here) for info in infos]
			written = written_settings(config_file_of(pid, address.source)) if is_here else {}
			return ManagerSettings(
				programs=tuple(programs_of(infos, configs, written, BenchFolder(bench_path))),
				pids=frozenset({pid, *(info["pid"] for info in infos)} - {0}) if is_here else frozenset(),
			)
	finally:
		server("close")()


def programs_of(
	infos: Iterable[Mapping],
	configs: Mapping[str, Mapping],
	written: Mapping[str, Written],
	bench: BenchFolder,
) -> Iterator[ProgramSettings]:
	"""The bench's programs with what supervisord answers about them, and what the file says where it names them."""
	reported = {full_name(info): info for info in infos}
	programs = [program_of(info, configs.get(name, {})) for name, info in reported.items()]
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
			manager_kind=SUPERVISOR,
		)
		in_file = written.get(reported[program.name]["name"])
		yield settings if in_file is None else with_file(settings, in_file)


def telling_words(program: Program) -> tuple[str, ...]:
	"""Of its command, or, where that is a script which says nothing, of what it has become."""
	words = tuple(split_words(program.command))
	return words if kind_of(list(words)) else running_trace(program.pid).words or words


def with_file(settings: ProgramSettings, written: Written) -> ProgramSettings:
	"""The settings with what only the file can tell: supervisord does not answer it."""
	return replace(
		settings,
		stops_group=written.stops_group,
		restarts=written.restarts,
		section=written.section,
		file=written.file,
	)


#: Keys of common_site_config.json that only a bench under supervisor needs.
SETTINGS = (ADDRESS, MANAGERS, "restart_supervisor_on_update")
#: supervisord puts it into the environment of everything that it starts.
CHILD = "SUPERVISOR_ENABLED"


def sign_of_supervisor(
	bench_path: str, config: Mapping, table: ProcessTable, *, files: Iterable[str] | None = None
) -> str:
	"""
	The first sign, in a few words; empty where there is none, as under `bench start` and in a container of one process.
	`config`: common_site_config.json. `files`: supervisord's configuration files, instead of the usual ones.
	"""
	bench = BenchFolder(bench_path)
	files = config_files(bench_path) if files is None else files
	signs = (signs_in_settings(config), signs_in_files(bench, files), signs_in_processes(bench, table))
	return next((sign for one in signs for sign in one), "")


def signs_in_settings(config: Mapping) -> Iterator[str]:
	"""Settings that mean nothing without supervisor, each as a reason that a person can read."""
	for key in SETTINGS:
		if config.get(key):
			yield f"{key} is set in sites/common_site_config.json"


def signs_in_files(bench: BenchFolder, files: Iterable[str]) -> Iterator[str]:
	"""A supervisor.conf that no supervisord includes is none: bench setup supervisor writes it, a link enables it."""
	for file in files:
		for path, parser in read_all(Path(file)):
			if any(is_program_of(bench, parser, section) for section in parser.sections()):
				yield f"{path} has its programs"


def is_program_of(bench: BenchFolder, parser: configparser.RawConfigParser, section: str) -> bool:
	"""A section of a program whose folder or command lies in this bench."""
	if not section.startswith(SECTIONS):
		return False
	directory = parser.get(section, "directory", fallback="")
	trace = Trace(tuple(split_words(parser.get(section, "command", fallback=""))), directory)
	return any(bench.owns(path) for path in [directory, *trace.paths] if path.startswith("/"))


def signs_in_processes(bench: BenchFolder, table: ProcessTable) -> Iterator[str]:
	"""
	Not by the environment alone: a terminal that supervisord runs, as in many a container, hands it on to everything
	that is started there.
	"""
	orphans = {row.pid for row in adopted(table)}
	for pid in processes_of(bench, table):
		parent = table.rows.get(table.rows[pid].parent)
		if parent is not None and is_supervisord(parent):
			yield f"a supervisord (pid {parent.pid}) runs pid {pid}"
		elif pid in orphans and is_started_by_supervisor(pid):
			yield f"pid {pid} was started by a supervisord that is gone"


def is_supervisord(row: Row) -> bool:
	"""By its name, or by its words where python runs it: supervisord, -m supervisor.supervisord."""
	names = {PurePath(word).name.rpartition(".")[2] for word in row.words[:3]}
	return row.name in SERVERS or not SERVERS.isdisjoint(names)


def is_started_by_supervisor(pid: int) -> bool:
	"""Its environment has the variable that supervisord gives its children. False for another user's process."""
	with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
		return CHILD in psutil.Process(pid).environ()
	return False
