"""What the journals of earlier operations tell about migrations that were not finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from fmx_restart.engine.migration import Result


def unfinished_sites(folder: Path) -> tuple[str, ...]:
	"""
	Of the newest operation that came as far as migrating: its sites but for those that are done, in the same order.
	Read from single facts, not from the report: an operation that was killed has none.
	"""
	for journal in sorted(folder.glob("*.jsonl"), reverse=True):
		planned: list[str] = []
		done: set[str] = set()
		for fact in facts(journal):
			if fact.get("event") == "MigrationsPlanned":
				planned = fact["sites"]
			elif fact.get("event") == "MigrationEnded" and fact["migration"]["result"] == Result.DONE.value:
				done.add(fact["migration"]["site"])
		if planned:
			return tuple(site for site in planned if site not in done)
	return ()


def facts(journal: Path) -> Iterator[dict]:
	"""A last line that was cut off by a crash is left out."""
	with journal.open(errors="replace") as lines:
		for line in lines:
			try:
				yield json.loads(line)
			except ValueError:
				continue
