"""What bench safe-restart logs prints: the end of each log, as it stands there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.listeners import say
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import LogTail, Process
from fmx_restart.wiring import process_manager


def run(program: str | None, count: int) -> None:
	"""`program`: a name or a group; None for all of them. Exits with 7 where there is none of that name, or no manager."""
	with exit_on_error():
		manager = process_manager()
		names = chosen(program, manager.list())
		say("\n".join(lines({name: manager.log_tails(name, count) for name in names})))


def chosen(wanted: str | None, programs: Collection[Process]) -> list[str]:
	"""Raises WrongEnvironment."""
	names = sorted(program.name for program in programs)
	if wanted is None:
		return names
	found = [name for name in names if wanted == name or wanted in name.split(":")]
	if not found:
		raise WrongEnvironment(
			f"This bench has no program {wanted!r}.",
			hint=f"Its programs: {', '.join(names) or 'none'}. Type one of them, or none for all.",
		)
	return found


def lines(tails: dict[str, list[LogTail]]) -> Iterator[str]:
	"""Programs may share a log: it is shown once, with all their names."""
	owners: dict[str, list[str]] = {}
	logs: dict[str, LogTail] = {}
	for name, found in tails.items():
		for tail in found:
			owners.setdefault(tail.source, []).append(name)
			logs[tail.source] = tail
	for source, tail in logs.items():
		yield from ("", *shown(tail, owners[source]))
	if silent := [name for name, found in tails.items() if not found]:
		yield f"\nNo log of its own: {', '.join(silent)}."


def shown(tail: LogTail, names: Iterable[str]) -> Iterator[str]:
	yield f"==> {tail.source} ({', '.join(names)})"
	if tail.fault:
		yield f"(cannot be read: {tail.fault})"
	elif not tail.lines:
		yield "(empty)"
	yield from tail.lines
