"""What journals tell: the facts of one, and which of them belong to operations whose process died."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.engine import events
from fmx_restart.engine.remains import Remains, remains_of

TAIL = 65536  # bytes: most Ended facts begin within the last of them


def fact_in(line: str) -> tuple[float, events.Event] | None:
	"""Instant (seconds since the epoch) and fact. None for a line cut off by a crash, or one that another version wrote."""
	import dacite  # here: most operations begin without reading a journal, and it costs their start tens of milliseconds

	try:
		fields = json.loads(line)
		kind = getattr(events, fields.pop("event"))
		casts = dacite.Config(cast=[Enum, tuple, frozenset, float])
		return fields.pop("time"), dacite.from_dict(kind, fields, casts)
	except (ValueError, KeyError, AttributeError, TypeError, dacite.DaciteError):
		return None


def facts_in(lines: Iterable[str]) -> Iterator[tuple[float, events.Event]]:
	return filter(None, map(fact_in, lines))


def without_repetitions(lines: Iterable[str]) -> Iterator[str]:
	"""
	All lines that change what is known: of StillRunning facts in a row about the same jobs, the first and the last. A drain
	of an hour repeats the fact hundreds of times, and building one from its line costs a hundred times what this test costs.
	"""
	waiting, held = None, None
	for line in lines:
		jobs = jobs_still_running(line)
		if held is not None and jobs != waiting:
			yield held
		held = line if jobs is not None and jobs == waiting else None
		if held is None:
			yield line
		waiting = jobs
	if held is not None:
		yield held


def jobs_still_running(line: str) -> frozenset[str] | None:
	"""Ids of the jobs in a StillRunning fact; None for any other line."""
	if not line.startswith('{"event": "StillRunning"'):
		return None
	try:
		return frozenset(running["job"]["id"] for running in json.loads(line)["jobs"])
	except (ValueError, KeyError, TypeError):
		return None


def remains_in(journal: Path) -> Remains:
	with journal.open(errors="replace") as lines:
		remains = remains_of(facts_in(lines))
	remains.operation = remains.operation or journal.stem
	return remains


def is_closed(journal: Path) -> bool:
	"""By its end alone where that is enough: a journal may be long."""
	with journal.open("rb") as file:
		file.seek(max(0, file.seek(0, 2) - TAIL))
		ends = b'\n{"event": "Ended"' in file.read()
	return ends or remains_in(journal).is_closed


def follow(journal: Path, offset: int = 0) -> Iterator[str | None]:
	"""Whole lines from that byte on, as they are written; None whenever there is no new one yet."""
	with journal.open("rb") as file:
		file.seek(offset)
		while True:
			position, line = file.tell(), file.readline()
			if line.endswith(b"\n"):
				yield line.decode(errors="replace")
			else:
				file.seek(position)
				yield None


def unfinished(folder: Path) -> list[Path]:
	"""Journals of operations that have no end and nobody who works on them, the oldest first."""
	open_ones = (path for path in sorted(folder.glob("*.jsonl")) if not is_closed(path))
	return [path for path in open_ones if not is_worked_on(path)]


def newest(folder: Path) -> Path | None:
	return max(folder.glob("*.jsonl"), default=None)
