"""What stands in supervisord's configuration files and its RPC does not tell: autorestart and stopasgroup."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from fmx_restart.adapters.supervisor.addresses import SYSTEM_WIDE, expand

SECTIONS = ("program:", "fcgi-program:")
OPTIONS = ("-c", "--configuration")
TRUE = {"true", "yes", "on", "1"}
MOST_PROCESSES = 1000  # of one program; more than that is a slip of the pen


@dataclass(frozen=True)
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
			return Path(process.cwd(), named)
	usual = [source, *SYSTEM_WIDE] if source.startswith("/") else SYSTEM_WIDE
	return next((Path(path) for path in usual if Path(path).exists()), None)


def named_file(words: list[str]) -> str | None:
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
	found = {}
	for path, parser in parsers:
		for section in parser.sections():
			if section.startswith(SECTIONS):
				for name in process_names(parser, section, path.parent):
					found[name] = written(parser, section, path)
	return found


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
	parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
	try:
		parser.read_string(path.read_text())
	except (OSError, ValueError, configparser.Error):
		return None
	return parser


def process_names(parser: configparser.RawConfigParser, section: str, folder: Path) -> Iterator[str]:
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
	stops = parser.get(section, "stopasgroup", fallback="false").strip().lower() in TRUE
	restarts = parser.get(section, "autorestart", fallback="unexpected").strip().lower()
	named = "unexpected" if restarts == "unexpected" else str(restarts in TRUE).lower()
	return Written(section, str(path), stops, named)


def number(parser: configparser.RawConfigParser, section: str, key: str, default: int) -> int:
	try:
		return int(parser.get(section, key, fallback=default))
	except ValueError:
		return default


def expanded(value: str, expansions: Mapping[str, str]) -> str:
	try:
		return expand(value, expansions)
	except KeyError:  # an environment variable of supervisord's
		return ""
