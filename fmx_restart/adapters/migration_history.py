"""What the journals of earlier operations tell about migrations that were not finished."""

from __future__ import annotations

from pathlib import Path

from fmx_restart.adapters.journal_reader import understood_facts_of
from fmx_restart.engine import events
from fmx_restart.engine.errors import JournalUnreadable
from fmx_restart.engine.migration import Result


def unfinished_sites(folder: Path) -> tuple[str, ...]:
	"""
	Of the newest operation that came as far as migrating: its sites but for those that are done, in the same order.
	Read from single facts, not from the report: an operation that was killed has none. Raises JournalUnreadable where a
	journal does not tell for certain whether it is the one, or which of its sites are done.
	"""
	for journal in sorted(folder.glob("*.jsonl"), reverse=True):
		planned, done = migrations_in(journal)
		if planned:
			return tuple(site for site in planned if site not in done)
	return ()


def migrations_in(journal: Path) -> tuple[tuple[str, ...], set[str]]:
	planned: tuple[str, ...] = ()
	done: set[str] = set()
	try:
		for _, fact in understood_facts_of(journal):
			if isinstance(fact, events.MigrationsPlanned):
				planned = fact.sites
			elif isinstance(fact, events.MigrationEnded) and fact.migration.result is Result.DONE:
				done.add(fact.migration.site)
	except JournalUnreadable as error:
		raise JournalUnreadable(
			f"{error} Which sites are left to migrate cannot be known. Nothing was changed.",
			hint="Name the sites: bench safe-restart --migrate --site NAME, or --site all.",
		) from error
	return planned, done
