"""What bench safe-restart history prints."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from fmx_restart.adapters.history import PastOperation, past_operations
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.columns import columns
from fmx_restart.console.say import put, say
from fmx_restart.console.wrapping import terminal_width
from fmx_restart.current_bench import journal_folder
from fmx_restart.engine.format import span

DATE, WHOLE_DATE = "%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"  # on a terminal, where the id tells the year; else


def run(limit: int, as_json: bool) -> None:
	"""Exits with 7 outside of a bench."""
	with exit_on_error():
		operations = past_operations(journal_folder(), limit + 1)
	if as_json:
		put(json.dumps([asdict(operation) for operation in operations[:limit]]))
	else:
		say("\n".join(lines(operations, limit)))


def lines(operations: list[PastOperation], limit: int) -> list[str]:
	"""`operations`: one more than `limit` where there are older ones."""
	if not operations:
		return ["bench safe-restart has not restarted this bench yet."]
	shown = operations[:limit]
	more = [f"Older operations are not shown; --limit {10 * limit} shows more."] if operations[limit:] else []
	died = [
		f"Operation {it.operation} died and was not recovered. Type: bench safe-restart recover"
		for it in shown
		if it.needs_recovery
	]
	began = f"STARTED ({datetime.now().astimezone():%Z})"  # an id has UTC
	head = ("OPERATION", began, "BY", "STRATEGY", "OUTCOME", "TIME", "EXIT")
	table = columns(
		head,
		map(row, shown),
		right=("TIME", "EXIT"),
		foldable=("STRATEGY", "OUTCOME", began, "BY", "OPERATION"),
	)
	return [*table, *more, *died]


def row(operation: PastOperation) -> tuple[str, ...]:
	"""One operation as a table's cells; empty where its journal does not tell."""
	started, seconds = operation.started, operation.seconds
	return (
		operation.operation,
		f"{datetime.fromtimestamp(started):{DATE if terminal_width() else WHOLE_DATE}}" if started else "",
		operation.requested_by,
		f"{operation.strategy}, migrate" if operation.migrates else operation.strategy,
		operation.outcome,
		"" if seconds is None else span(seconds),
		"" if operation.exit_code is None else str(operation.exit_code),
	)
