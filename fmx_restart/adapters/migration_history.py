"""What the journals of earlier operations tell about migrations that were not finished."""

from __future__ import annotations

from pathlib import Path

from fmx_restart.adapters.journal_reader import facts_in
from fmx_restart.engine import events
from fmx_restart.engine.migration import Result


def unfinished_sites(folder: Path) -> tuple[str, ...]:
	"""
	Of the newest operation that came as far as migrating: its sites but for those that are done, in the same order.
	Read from single facts, not from the report: an operation that was killed has none.
	"""
	for journal in sorted(folder.glob("*.jsonl"), reverse=True):
		planned: tuple[str, ...] = ()
		done: set[str] = set()
		with journal.open(errors="replace") as lines:
			for _, fact in facts_in(lines):
				if isinstance(fact, events.MigrationsPlanned):
					planned = fact.sites
				elif isinstance(fact, events.MigrationEnded) and fact.migration.result is Result.DONE:
					done.add(fact.migration.site)
		if planned:
			return tuple(site for site in planned if site not in done)
	return ()
