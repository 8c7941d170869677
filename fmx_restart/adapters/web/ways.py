"""What keeps a web program from lingering, by its processes and by the configuration that they read: the sentences for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from fmx_restart.adapters.machine import read_memory
from fmx_restart.adapters.process_kinds import GUNICORN, working_directory
from fmx_restart.adapters.process_table import clock, read_stat
from fmx_restart.adapters.web.addresses import ARGUMENTS, split, values, words_of
from fmx_restart.adapters.web.kept_sockets import close_all, copy_sockets
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.format import size
from fmx_restart.engine.ports import HostProcess, WebMethod, WebWay
from fmx_restart.web.files import FORMAT, Record

YOUNG = 60.0  # seconds: a program without workers may still be importing Frappe
READS_WITHIN = 5.0  # seconds after its start gunicorn has read its configuration
CONFIGURATION = "gunicorn.conf.py"  # what gunicorn reads from the folder where it starts
MARK = "fmx_restart.web.hooks"
SETUP = "bench safe-restart setup web"
PAGE = "What it works with: bench doctor --explain web-linger."
NEXT = "This restart makes it active: later ones fail no request."
FIRST = "Restart web before: bench safe-restart --no-workers."
LINGERS = WebWay(WebMethod.LINGER)
HELD = WebWay(WebMethod.HOLD)
COMING = WebWay(reason="it is still starting", is_coming=True)
NO_GUNICORN = WebWay(reason="it is no gunicorn")
NOT_SET_UP = WebWay(
	reason="its old workers are not set up to serve until new ones answer", remedy=f"To change that: {SETUP}"
)
REMOVED = WebWay(
	reason="the lines that let it linger were removed since it was started",
	remedy=f"To have them again: {SETUP}",
)
BEFORE = WebWay(reason="it was started before it was set up to linger", remedy=NEXT)
OTHER_FORMAT = WebWay(reason="it was started with another version of fmx_restart", remedy=NEXT)
ENDED = WebWay(
	reason="its process manager ends old workers together with their main process",
	remedy="To change that: bench doctor --check kill-mode",
)
NOT_LOADED = WebWay(
	reason=f"it was started without the lines in sites/{CONFIGURATION}, or they failed",
	remedy="To see why: bench doctor --check web-linger",
)


def other_configuration(file: str) -> WebWay:
	"""Web can't linger: gunicorn does not read our file."""
	return WebWay(
		reason=f"it reads its configuration from {file}",
		remedy=f"Add the lines that {SETUP} shows to that file.",
	)


def other_folder(folder: str) -> WebWay:
	"""Web can't linger: gunicorn looks for its configuration in another folder."""
	return WebWay(reason=f"it runs in {folder}, and not in the sites folder of the bench", remedy=PAGE)


def way_without_hooks(sites_folder: Path, family: Sequence[HostProcess], record: Record | None) -> WebWay:
	"""Where the hooks are not at work in the main process. `record`: what they have written there, if they did."""
	stat = read_stat(family[0].pid) if family else None
	if stat is None or stat.is_over:
		return COMING  # its manager brings the next one
	if record:
		if record.format == FORMAT:
			return WebWay(reason=record.refusal, remedy=PAGE)
		return held_if_possible(OTHER_FORMAT, family) if is_still_set_up(sites_folder, record) else REMOVED
	age, has_workers = clock() - stat.began, len(family) > 1
	if is_set_up(sites_folder) and age < READS_WITHIN:
		return COMING  # its words may still be those of its manager
	if way := way_by_words(sites_folder, stat.pid):
		return way
	if not is_set_up(sites_folder):
		return NOT_SET_UP
	if stat.began + READS_WITHIN < changed_at(sites_folder / CONFIGURATION):
		return held_if_possible(BEFORE, family)
	return COMING if age < YOUNG and not has_workers else NOT_LOADED


def held_if_possible(way: WebWay, family: Sequence[HostProcess]) -> WebWay:
	"""For a program whose successor will take over its sockets: requests wait for that, where the system allows it."""
	if fault := fault_of_copy(family[0]):
		return replace(way, reason=f"{way.reason}, and {fault}")
	return replace(way, method=WebMethod.HOLD)


def fault_of_copy(master: HostProcess) -> str:
	"""Why its listening sockets cannot be kept open for it; empty where they can. It does not notice the trial."""
	try:
		close_all(copy_sockets(master))
	except ProcessFault as fault:
		return str(fault)
	return ""


def way_by_words(sites_folder: Path, pid: int) -> WebWay | None:
	"""What its command line tells already; None where it says nothing against it, or is hidden from this user."""
	words, environment = words_of(pid)
	if not words:
		return None
	names = [PurePath(word).name for word in words]
	at = next((at for at, name in enumerate(names) if name in GUNICORN), None)
	if at is None:
		return NO_GUNICORN
	folder = working_directory(pid)
	for source in (words[at:], split(environment.get(ARGUMENTS, ""))):
		for file in values(source, "-c", "--config"):
			is_ours = Path(folder, file.removeprefix("file:")) == sites_folder / CONFIGURATION
			return None if is_ours else other_configuration(file)
	is_elsewhere = folder and Path(folder).resolve() != sites_folder.resolve()
	return other_folder(folder) if is_elsewhere else None


def is_set_up(sites_folder: Path) -> bool:
	"""Whether the configuration that gunicorn reads there calls the hooks."""
	return calls_hooks(sites_folder / CONFIGURATION)


def is_still_set_up(sites_folder: Path, record: Record) -> bool:
	"""Whether the process that follows this one would take over from its workers."""
	return calls_hooks(Path(record.configuration or sites_folder / CONFIGURATION))


def calls_hooks(configuration: Path) -> bool:
	"""Whether the lines stand in this file."""
	with suppress(OSError, ValueError):
		lines = configuration.read_bytes().splitlines()
		return any(MARK.encode() in line.partition(b"#")[0] for line in lines)
	return False


def changed_at(file: Path) -> float:
	"""When this was last, in seconds on the clock that process_table.clock() shows; 0 where it is gone."""
	with suppress(OSError):
		return clock() - (time.time() - file.stat().st_mtime)
	return 0.0


def free_for(process: HostProcess) -> int:
	"""Bytes that its machine or its control group has left."""
	return read_memory(own=Path(f"/proc/{process.pid}/cgroup")).available


def too_little_memory(family: Iterable[HostProcess], free: int) -> WebWay | None:
	"""
	Old and new processes would live at the same time, so the old ones end first. `free`: bytes. None where both fit, or
	where nobody knows their size.
	"""
	needed = sum(memory_of(process.pid) for process in family)
	if needed <= free:
		return None
	return WebWay(
		WebMethod.HOLD,
		f"its old and new processes do not fit into memory together: new ones need {size(needed)}, and"
		f" {size(free)} is free",
	)


def memory_of(pid: int) -> int:
	"""Bytes: its own, and its share of what several processes have in common. 0 where this user may not see it."""
	with suppress(OSError, ValueError, IndexError):
		lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
		return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
	return 0
