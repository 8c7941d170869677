"""What happened in an operation since somebody last asked, straight from its journal."""

from __future__ import annotations

import json
from typing import Any

from fmx_restart.adapters.journal_reader import fact_in
from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.facts import json_line
from fmx_restart.record import access, here
from fmx_restart.record.finite import finite
from fmx_restart.record.own_view import OwnView
from fmx_restart.record.projection import end_of
from fmx_restart.record.telling import held_by, phase_of, row_of

MOST = 512 * 1024  # bytes in one answer


def feed_of(operation: str, cursor: int) -> dict[str, Any]:
	"""`cursor` is a byte offset: it means the same after every restart of the web server."""
	row = row_of(operation)
	facts, cursor = facts_since(operation, max(0, cursor))
	told = {
		"operation": row.name,
		"status": row.status,
		"phase": phase_of(row, held_by()),
		"is_over": row.is_over,
	}
	told["may"] = access.requests_to(operation)
	return {**told, "cursor": cursor, "facts": facts}


def facts_since(operation: str, cursor: int) -> tuple[list[dict], int]:
	"""Whole lines only: the last one may be half written."""
	try:
		with here.journal_of(operation).open("rb") as journal:
			journal.seek(cursor)
			text = journal.read(MOST)
			if b"\n" not in text:
				text += journal.readline()  # one line may be longer
	except FileNotFoundError:
		return [], cursor
	whole = text[: text.rfind(b"\n") + 1]
	view, lines = access.view_of(operation), whole.decode(errors="replace").split("\n")[:-1]
	told = [told_line(line, view) for line in lines]
	return [line for line in told if line], cursor + len(whole)


def told_line(line: str, view: OwnView | None) -> dict[str, Any] | None:
	"""None for one that this site does not see. Of one that is not understood only the sentence, on control sites."""
	time, fact = fact_in(line)
	if view:
		if (fact := view.fact(fact)) is None:
			return None
		line = json_line(fact, time)
	text = "\n".join(end_of(fact)) if isinstance(fact, events.Ended) else sentence(fact)
	fields = {} if isinstance(fact, events.NotUnderstood) else finite(json.loads(line))
	return {"time": time or None, "event": type(fact).__name__, "sentence": text, "fact": fields}
