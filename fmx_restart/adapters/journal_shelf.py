"""All journals of a bench: how many are kept, and for how long."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.adapters.journal_reader import first_fact_of, is_closed

KEPT = 200  # journals
LAUNCH = (".request.json", "-launch.log")  # ends of the names of what a launch leaves
KEPT_FOR = 180 * 86400.0  # seconds


def prune(folder: Path, *, kept: int = KEPT, kept_for: float = KEPT_FOR) -> list[Path]:
	"""
	Delete the oldest, with their logs and requests, when there are too many or they are too old. One that is not finished,
	or worked on, stays. Returns what was deleted.
	"""
	journals = sorted(folder.glob("*.jsonl"), reverse=True)
	oldest = time.time() - kept_for
	surplus = [path for n, path in enumerate(journals) if n >= kept or path.stat().st_mtime < oldest]
	gone: list[Path] = []
	for journal in surplus:
		if (is_closed(journal) or first_fact_of(journal) is None) and not is_worked_on(journal):
			gone += [
				journal,
				*folder.glob(f"{journal.stem}-*.log"),
				*folder.glob(f"{journal.stem}.request.json"),
			]
	gone += [path for path in without_journal(folder) if path.stat().st_mtime < oldest]
	for path in gone:
		with suppress(OSError):  # deleted meanwhile, or not ours to delete: the next one tries again
			path.unlink()
	return gone


def without_journal(folder: Path) -> list[Path]:
	"""Requests that nobody launched, and what launches printed that began no operation."""
	found = [
		(path, path.name.removesuffix(ending)) for ending in LAUNCH for path in folder.glob(f"*{ending}")
	]
	return [path for path, operation in found if not (folder / f"{operation}.jsonl").exists()]
