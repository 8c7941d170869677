"""Web that lingers, so that its restart fails no request: whether it is set up and active, and what was left of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import partial
from pathlib import Path

from fmx_restart.adapters.web.linger import Hooks, LeftBehind, left_behind
from fmx_restart.adapters.web.ways import NEXT, NO_GUNICORN, NOT_LOADED, NOT_SET_UP, SETUP
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.registry import HIDDEN, Finding, Severity, Step, check, detail, fix
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Process, ProcessKind, ProcessState, WebMethod, WebWay
from fmx_restart.engine.steps.linger import BY_ITSELF, KEPT

NAME = "web-linger"
LINGERS = "No request fails: old workers serve until new ones answer."
#: Prints nothing where the app's part of web can be loaded
RESTART = "bench safe-restart --no-workers"
ACTIVATE = f"{RESTART} makes it active: later restarts fail no request"
TRY = "cd sites && ../env/bin/python -c 'import fmx_restart.web.hooks', and logs/web.error.log"


@frozen
class WebRow:
	program: str  # as the process manager calls it
	pid: int
	way: str  # linger, hold, reload or plain
	restart: str  # what users notice of a restart, and why
	remedy: str = field(metadata=HIDDEN)  # what to do; empty where nothing is
	command: str = ""  # the command in it, if there is one


@check(NAME)
def web_linger(view: BenchView) -> Iterator[Finding]:
	"""Nothing where web is no gunicorn."""
	for process, way in ways_of(view):
		if way == NOT_LOADED:
			yield Finding(NAME, Severity.WARNING, process.name, sentence(way), TRY)
		elif way.is_worth_telling and way != NO_GUNICORN:
			yield Finding(NAME, Severity.NOTE, process.name, sentence(way), remedy_of(way))
	for left in left_behind(sites_of(view)):
		text = f"Web processes that are gone have left files behind: {names(left)}. They do no harm."
		yield Finding(NAME, Severity.NOTE, "", text, "bench doctor --fix", fix=NAME)


@detail("web", "Web")
def web(view: BenchView) -> Iterator[WebRow]:
	"""How a restart would replace each web program now, why, and what to type for a better way."""
	for process, way in ways_of(view):
		yield WebRow(
			process.name, process.local_pid, way.method.value, sentence(way), remedy_of(way), command_of(way)
		)


def ways_of(view: BenchView) -> list[tuple[Process, WebWay]]:
	"""Each web program of this machine that runs, and how a restart replaces it."""
	hooks = Hooks(sites_of(view))

	def read() -> list[tuple[Process, WebWay]]:
		web = [process for process in view.processes if is_web(process)]
		return [(it, way_of(it, hooks, view)) for it in web]

	return view.parts.get("web ways", read)


def way_of(process: Process, hooks: Hooks, view: BenchView) -> WebWay:
	"""As a restart would find it."""
	if process.ends_all:
		return WebWay(WebMethod.LINGER) if process.rolls_out else BY_ITSELF
	if process.keeps_sockets:
		return KEPT
	family = view.host.family(process.local_pid)
	return hooks.way_alone(family) if process.ends_leftovers else hooks.way(family)


def is_web(process: Process) -> bool:
	"""A web program that runs on this machine, and that a restart can replace."""
	runs = process.state is ProcessState.RUNNING and process.local_pid is not None
	return runs and process.kind is ProcessKind.WEB and not process.stays


def sentence(way: WebWay) -> str:
	"""What users notice of a restart."""
	if way.is_lingering:
		return LINGERS
	if way.is_reloading:
		return "It reloads by itself: requests that are under way fail, new ones wait for a moment."
	if way.is_holding:
		return f"Each restart lets requests wait for some seconds, as {way.reason}."
	return f"Each restart fails requests for a moment, as {way.reason}." if way.reason else "It is starting."


def remedy_of(way: WebWay) -> str:
	"""What to type where no restart is planned yet."""
	if way == NOT_SET_UP:
		return command_of(way)
	return ACTIVATE if way.remedy == NEXT else way.remedy


def command_of(way: WebWay) -> str:
	"""As a person can copy it."""
	if way.remedy == NEXT:
		return RESTART
	commands = {NOT_SET_UP: SETUP, NOT_LOADED: f"bench doctor --check {NAME}"}
	return commands.get(way, "")


def sites_of(view: BenchView) -> Path:
	"""The folder of sites, where web keeps its files."""
	return Path(view.path, "sites")


def names(left: LeftBehind) -> str:
	"""The files that were left, as seen from the bench's folder."""
	return ", ".join(f"sites/{path.name}" for path in left.paths)


@fix(NAME)
def remove_files(view: BenchView) -> Iterator[Step]:
	"""Delete what web processes that are gone have left."""
	for left in left_behind(sites_of(view)):
		yield Step(f"Delete what web processes that are gone have left: {names(left)}", partial(remove, left))


def remove(left: LeftBehind) -> str:
	"""Look once more, then delete; what came of it as a sentence."""
	return "Deleted." if left.remove() else "Web uses them again; nothing was deleted."
