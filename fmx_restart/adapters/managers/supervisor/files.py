"""
The programs that supervisord's configuration files name now, by supervisor's own parser. Its RPC tells that only by reading
them itself, which changes what supervisord remembers. Nothing that they name is imported, run or created.
"""

from __future__ import annotations

import configparser
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from supervisor.datatypes import Automatic, dict_of_key_value_pairs
from supervisor.options import ServerOptions, UnhosedConfigParser, expand

from fmx_restart.adapters.setting_rules import text_of_file, whole_number
from fmx_restart.engine.frozen import frozen

LOGS = ("stdout_logfile", "stderr_logfile")
ENVIRONMENT = re.compile(r"%\((ENV_[^)]+)\)s")
#: Whoever can write one included file could have a plan read for hours, and take all memory
MOST_PROCESSES = 1000  # of one program
WIDE = re.compile(r"%\([^)]*\)[^a-zA-Z%]*\d{4}")  # a value that is padded to thousands of characters
#: Of what supervisor's parser says of a file: values, which may be a password, and all variables that supervisord has
VALUES = (
	(re.compile(r"(?<=Format string ).*(?= for '[^']*' (contains|is badly))", re.DOTALL), "…"),
	(re.compile(r"\.? Available names: [^']*(?= in section|$)", re.DOTALL), ""),
	(re.compile(r"(?<=in value )(.*(?= in section '[^']*' \(file)|.*)", re.DOTALL), "…"),
	(re.compile(r"(\[line +\d+\]): .*?(?=\n\t\[line|$)", re.DOTALL), r"\1"),
	(re.compile(r"(, line: \d+)\s.*", re.DOTALL), r"\1"),
)
UNKNOWN = "\0"  # in place of a variable of supervisord's environment that this user may not see
#: What getAllConfigInfo tells of a program → what supervisor's parser calls it
TOLD = {
	"process_prio": "priority",
	**{
		name: name
		for name in (
			*(
				"autostart",
				"command",
				"directory",
				"exitcodes",
				"killasgroup",
				"redirect_stderr",
				"serverurl",
			),
			*("startretries", "startsecs", "stopsignal", "stopwaitsecs", "uid"),
			*(
				f"{stream}_{what}"
				for stream in ("stdout", "stderr")
				for what in (
					"capture_maxbytes",
					"events_enabled",
					"logfile",
					"logfile_backups",
					"logfile_maxbytes",
					"syslog",
				)
			),
		)
	},
}


@frozen
class FileGroups:
	"""What the files say. `unread`: files and folders that are closed to this user: groups may stand there, too."""

	#: of each program, as getAllConfigInfo tells them, as far as that is known
	configs: tuple[Mapping, ...] = ()
	unread: tuple[str, ...] = field(default=())
	fault: str = ""  # why supervisord would refuse them; empty where it would not, or nobody can tell
	#: that were read, and folders in which further ones would be; empty with a fault
	files: tuple[str, ...] = ()


@dataclass
class Sources:
	"""Files, and folders of which each file counts: those that were read, and those that are closed to this user."""

	read: list[str] = field(default_factory=list)
	unread: list[str] = field(default_factory=list)


class NamesOnly(ServerOptions):
	"""supervisor's reader of programs, which imports nothing that a file names."""

	def import_spec(self, spec: str) -> object:
		"""The result handler of an event listener: any module of whoever wrote the file."""
		return spec

	def processes_from_section(
		self, parser: UnhosedConfigParser, section: str, group_name: str, klass: type | None = None
	) -> list:
		"""As supervisor's. Raises ValueError also for what would take it more time or memory than there is."""
		known = {"here": self.here, "host_node_name": platform.node(), "group_name": group_name}
		known["program_name"] = section.partition(":")[2].strip()
		number = whole_number(parser.saneget(section, "numprocs", "1", expansions=known))
		if number is not None and number > MOST_PROCESSES:
			raise ValueError(f"more than {MOST_PROCESSES} processes in section '{section}'")
		if any(WIDE.search(value) for _, value in parser.items(section)):
			raise ValueError(f"a value of thousands of characters in section '{section}'")
		return super().processes_from_section(parser, section, group_name, klass)


def read_groups(main: Path, pid: int) -> FileGroups | None:
	"""`pid`: of the supervisord that reads this file. None where the file itself is closed to this user."""
	seen = environment_of(pid)
	environ, parser, sources = dict(seen or {}), UnhosedConfigParser(), Sources()
	try:
		for text in read_into(parser, main, environ, sources):
			if seen is None:
				add_unknown(environ, text)
		configs = tuple(configs_of(parser, main, environ))
	except PermissionError:
		return None
	except (ValueError, OSError, configparser.Error) as error:
		is_known = UNKNOWN not in environ.values()
		return FileGroups(unread=tuple(sources.unread), fault=one_line(error) if is_known else "")
	return FileGroups(configs, tuple(sources.unread), files=tuple(sources.read))


def environment_of(pid: int) -> dict[str, str] | None:
	"""The expansions that supervisord makes of its environment; None where that is closed to this user."""
	with suppress(psutil.Error, OSError):
		return {f"ENV_{name}": value for name, value in psutil.Process(pid).environ().items()}
	return None


def add_unknown(environ: dict[str, str], text: str) -> None:
	"""A stand-in for each variable that a file uses, and that we do not know."""
	for name in ENVIRONMENT.findall(text):
		environ.setdefault(name, UNKNOWN)


def read_into(
	parser: UnhosedConfigParser, main: Path, environ: dict[str, str], sources: Sources
) -> Iterator[str]:
	"""
	Yields each file's text as it is read: the main one, then those that it includes, as supervisord does. Raises OSError, and
	ValueError or configparser.Error for what supervisord would refuse.
	"""
	text = text_of(main)
	sources.read.append(str(main))
	yield text
	parser.read_string(text, str(main))
	parser.expand_here(str(main.parent))
	known = {"here": str(main.parent), "host_node_name": platform.node(), **environ}
	for pattern in expand(parser.get("include", "files", fallback=""), known, "include.files").split():
		for path in included(Path(main.parent, pattern), sources):
			text = text_of(path)
			yield text
			before = set(parser.sections())
			parser.read_file(text.splitlines(keepends=True), str(path))
			new = set(parser.sections()) - before
			parser.section_to_file.update(dict.fromkeys(new, str(path)))  # for its errors
			parser.expand_here(str(path.parent))


def text_of(path: Path) -> str:
	"""Raises OSError, and ValueError for what is no file, or a file that cannot be one of supervisor's."""
	try:
		return text_of_file(path)
	except ValueError as error:
		raise ValueError(f"{path} cannot be read: {error}") from None


def included(pattern: Path, sources: Sources) -> Iterator[Path]:
	"""Files that match, in supervisord's order. They and their folders are noted in `sources`."""
	folders = matching(pattern.parent)
	if not folders or not all(os.access(folder, os.R_OK | os.X_OK) for folder in folders):
		sources.unread.append(str(pattern.parent))
	sources.read += map(str, folders)
	for path in matching(pattern):
		if os.access(path, os.R_OK):
			sources.read.append(str(path))
			yield path
		else:
			sources.unread.append(str(path))


def matching(pattern: Path) -> list[Path]:
	"""By name. `pattern`: an absolute path, in which any part may hold wildcards."""
	return sorted(Path("/").glob(str(pattern)[1:]))


def configs_of(parser: UnhosedConfigParser, main: Path, environ: dict[str, str]) -> Iterator[Mapping]:
	"""Of every program. Raises ValueError and configparser.Error."""
	if not parser.has_section("supervisord"):
		raise ValueError(f"{main} does not include supervisord section")
	hide_closed_logs(parser)
	options = NamesOnly()
	options.configfile, options.here = str(main), str(main.parent)
	options.environ_expansions = parser.expansions = environ
	known = {"here": options.here, "host_node_name": platform.node(), **environ}
	own = expand(parser.get("supervisord", "environment", fallback=""), known, "environment")
	environ.update({f"ENV_{name}": value for name, value in dict_of_key_value_pairs(own).items()})
	for group in options.process_groups_from_parser(parser):
		for config in group.process_configs:
			yield as_told(group, config)


def hide_closed_logs(parser: UnhosedConfigParser) -> None:
	"""supervisor's parser refuses a log whose folder it cannot see; root sees folders that are closed to this user."""
	for section in parser.sections():
		for key in LOGS:
			path = Path(parser.get(section, key, fallback=""))
			if path.is_absolute() and is_closed(path.parent):
				parser.remove_option(section, key)


def is_closed(folder: Path) -> bool:
	"""Whether only others may know that it is there."""
	try:
		folder.stat()
	except PermissionError:
		return True
	except OSError:
		return False
	return False


def as_told(group: object, config: object) -> dict:
	"""As getAllConfigInfo tells it; what nobody knows is left out."""
	values = {key: getattr(config, name) for key, name in TOLD.items()}
	known = {key: value for key, value in values.items() if value is not Automatic}
	known = {key: value for key, value in known.items() if not (isinstance(value, str) and UNKNOWN in value)}
	told = {key: "none" if value is None else value for key, value in known.items()}
	told["stopsignal"] = int(told["stopsignal"])
	return {**told, "name": config.name, "group": group.name, "group_prio": group.priority}


def differing(config: Mapping, former: Mapping) -> Iterable[str]:
	"""Names of the settings of one program that both know, and that are not the same."""
	return [key for key, value in config.items() if key in former and former[key] != value]


def one_line(error: Exception) -> str:
	"""What supervisor's parser says; a system's error without its number."""
	if isinstance(error, OSError):
		return f"{error.filename} cannot be read: {error.strerror}"
	return without_values(str(error))


def without_values(text: str) -> str:
	"""What supervisor's parser says of a file, in one line: where it is wrong, and nothing of what stands there."""
	for pattern, instead in VALUES:
		text = pattern.sub(instead, text)
	return " ".join(text.split())
