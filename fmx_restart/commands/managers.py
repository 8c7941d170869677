"""What bench safe-restart managers shows: the process managers of this bench, who named them, what they run and lack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from fmx_restart.adapters.managers.discovery import KnownManager, OtherPlace
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.columns import columns
from fmx_restart.console.machine_lines import answer_line
from fmx_restart.console.plan import AUTOSCALED
from fmx_restart.console.program_names import short_list, short_program
from fmx_restart.console.say import put, say
from fmx_restart.engine.format import count
from fmx_restart.engine.plan import autoscalers
from fmx_restart.engine.ports import Process, ProcessState
from fmx_restart.engine.ports.managers import BETWEEN
from fmx_restart.wiring import read_managers

HEAD = ("PROGRAM", "KIND", "STATE", "PID")
FINE = (ProcessState.RUNNING, ProcessState.STARTING)
NO_PROGRAM = "It runs no program of this bench."
ELSEWHERE = "Its processes are on another machine or in another container: its web cannot serve while it restarts, unless it has replicas."


def run(as_json: bool) -> None:
	"""Exits with 7 where there is no process manager, or where the setting cannot be used."""
	with exit_on_error(as_json=as_json):
		seen = read_managers()
	if as_json:
		managers = [answer(manager, seen.managers) for manager in seen.managers]
		others = [asdict(other) for other in seen.others]
		put(answer_line(first_line(seen.managers), {"managers": managers, "others": others}))
	else:
		say("\n".join(lines(seen.managers, seen.others)))


def lines(managers: tuple[KnownManager, ...], others: tuple[OtherPlace, ...]) -> Iterator[str]:
	"""Each manager with its programs; then the places that do not serve."""
	yield first_line(managers)
	for manager in managers:
		yield ""
		yield from of_manager(manager, managers)
	if others:
		yield "\nAlso looked for, and not used:"
		yield from (f"  {other.fault.rstrip('.')}. {other.hint}" for other in others)


def first_line(managers: tuple[KnownManager, ...]) -> str:
	"""How many there are, and how many of them do not answer."""
	away = sum(bool(manager.fault) for manager in managers)
	begin = f"This bench has {count(len(managers), 'process manager')}"
	if not away:
		return f"{begin}."
	return f"{begin}; {away} of them {'does' if away == 1 else 'do'} not answer."


def of_manager(manager: KnownManager, managers: tuple[KnownManager, ...]) -> Iterator[str]:
	"""Where it answers and who named it, its programs, and what it lacks."""
	user = f", as user {manager.user}" if manager.user else ""
	yield f"{manager.name}: {manager.kind} at {manager.url}{user} (named by {manager.source})"
	if manager.fault:
		yield f"  It does not answer: {manager.fault.rstrip('.')}. {manager.hint}".rstrip()
	if manager.programs:
		rows = (cells(program, manager, managers) for program in manager.programs)
		yield from columns(HEAD, rows, right=("PID",), foldable=("PROGRAM", "STATE"), indent=2)
	yield from (f"  {text}" for text in lacking(manager))


def cells(program: Process, manager: KnownManager, managers: tuple[KnownManager, ...]) -> tuple[str, ...]:
	"""One program; what is unknown stays empty."""
	state = f"{program.state.value} ({program.detail})" if program.detail else program.state.value
	return (
		short_program(full_name(program, manager, managers)),
		program.kind.value,
		state,
		str(program.pid or ""),
	)


def full_name(program: Process, manager: KnownManager, managers: tuple[KnownManager, ...]) -> str:
	"""As every other command shows it: with its manager's name, where there are several."""
	return program.name if len(managers) == 1 else f"{manager.name}{BETWEEN}{program.name}"


def lacking(manager: KnownManager) -> Iterator[str]:
	"""What does not work through it, or not as a person may expect; nothing of one that does not answer."""
	if manager.fault:
		return
	if not manager.programs:
		yield NO_PROGRAM
	if manager.host:
		yield f"{ELSEWHERE} {known_by(manager)}"
	if names := autoscalers(manager.programs):
		yield f"{AUTOSCALED}: {names}."
	if down := [program.name for program in manager.programs if program.state not in FINE]:
		yield f"Not running: {short_list(down)}."


def known_by(manager: KnownManager) -> str:
	"""How workers elsewhere are told apart. A socket says nothing of the machine behind it."""
	if manager.host.startswith("/"):
		return "The host name of its workers is not known: name this manager in the setting, with host."
	return f"Its workers are known by the host name {manager.host}."


def answer(manager: KnownManager, managers: tuple[KnownManager, ...]) -> dict[str, Any]:
	"""For programs: the same, and no password."""
	programs = [
		{
			"name": full_name(program, manager, managers),
			"kind": program.kind.value,
			"state": program.state.value,
			"pid": program.pid,
		}
		for program in manager.programs
	]
	return {**asdict(manager), "programs": programs, "lacks": list(lacking(manager))}
