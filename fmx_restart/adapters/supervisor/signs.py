"""Signs that supervisor is meant to run a bench, for when none of its supervisords answers."""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath

import psutil

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.bench_processes import processes_of
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.orphans import SUPERVISOR, adopted
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.adapters.supervisor.addresses import config_files
from fmx_restart.adapters.supervisor.config_files import SECTIONS, read_all
from fmx_restart.adapters.supervisor.programs import Trace

#: Keys of common_site_config.json that only a bench under supervisor needs.
SETTINGS = ("fmx_restart_supervisor_url", "restart_supervisor_on_update")
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
	return next((sign for found in signs for sign in found), "")


def signs_in_settings(config: Mapping) -> Iterator[str]:
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
	return row.name == SUPERVISOR or SUPERVISOR in names


def is_started_by_supervisor(pid: int) -> bool:
	with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
		return CHILD in psutil.Process(pid).environ()
	return False
