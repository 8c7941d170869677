"""What bench safe-restart logs prints: the end of each log, as it stands there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict

from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.program_names import short_program
from fmx_restart.console.say import put, say
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import LogTail, Process, Survey
from fmx_restart.engine.ports.managers import BETWEEN
from fmx_restart.wiring import process_manager


@frozen
class Log:
	"""`programs`: those that write into it."""

	programs: tuple[str, ...]
	source: str
	lines: tuple[str, ...]
	fault: str  # why it cannot be read; empty otherwise


def run(program: str | None, count: int, as_json: bool) -> None:
	"""`program`: a name or a group; None for all of them. Exits with 7 where there is none of that name, or no manager."""
	with exit_on_error():
		manager = process_manager()
		survey = manager.survey()
		away = [str(fault).rstrip(".") for fault in survey.away.values()]
		refuse_silence(survey)
		names = chosen(program, survey.processes, away)
		tails = {name: manager.log_tails(name, count) for name in names}
	if as_json:
		logs = [asdict(log) for log in logs_of(tails)]
		put(json.dumps({"logs": logs, "without_log": silent(tails), "away": away}))
	else:
		say("\n".join([*lines(tails), *(f"\n{AWAY.format(fault)}" for fault in away)]))


AWAY = "A process manager does not answer, and its logs are not shown: {}."


def refuse_silence(survey: Survey) -> None:
	"""Raises ProcessFault where no manager answers."""
	if survey.away and not survey.processes:
		raise next(iter(survey.away.values()))


def chosen(wanted: str | None, programs: Collection[Process], away: Iterable[str] = ()) -> list[str]:
	"""Raises WrongEnvironment. `away`: why some managers do not answer."""
	names = sorted(program.name for program in programs)
	if wanted is None:
		return names
	matching = [name for name in names if wanted == name or wanted in parts_of(name)]
	if not matching:
		raise WrongEnvironment(
			f"This bench has no program {wanted!r}.",
			hint=" ".join(
				[
					f"Its programs: {', '.join(names) or 'none'}. Type one of them, or none for all.",
					*map(AWAY.format, away),
				]
			),
		)
	return matching


def parts_of(name: str) -> set[str]:
	"""A program's short name, its group and its own name, and where there are several managers, the name of its manager."""
	manager, between, program = name.rpartition(BETWEEN)
	return {
		short_program(name),
		short_program(program),
		*program.split(":"),
		*([program, manager] if between else []),
	}


def logs_of(tails: dict[str, list[LogTail]]) -> list[Log]:
	"""Programs may share a log: it is there once, with all their names."""
	owners: dict[str, list[str]] = {}
	logs: dict[str, LogTail] = {}
	for name, parts in tails.items():
		for tail in parts:
			owners.setdefault(tail.source, []).append(name)
			logs[tail.source] = tail
	return [Log(tuple(owners[source]), source, tail.lines, tail.fault) for source, tail in logs.items()]


def silent(tails: dict[str, list[LogTail]]) -> list[str]:
	"""Programs without a log of their own."""
	return [name for name, parts in tails.items() if not parts]


def lines(tails: dict[str, list[LogTail]]) -> Iterator[str]:
	"""Each log once, under the names of all programs that write to it."""
	for log in logs_of(tails):
		yield from ("", *shown(log))
	if names := silent(tails):
		yield f"\nNo log of its own: {', '.join(names)}."


def shown(log: Log) -> Iterator[str]:
	"""A log's heading and its last lines, or why there are none."""
	yield f"==> {log.source} ({', '.join(log.programs)})"
	if log.fault:
		yield f"(cannot be read: {log.fault})"
	elif not log.lines:
		yield "(empty)"
	yield from log.lines
