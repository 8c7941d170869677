"""All journals of a bench: how many are kept, and for how long."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.adapters.journal_reader import is_closed

KEPT = 200  # journals
KEPT_FOR = 180 * 86400.0  # seconds


def prune(folder: Path, *, kept: int = KEPT, kept_for: float = KEPT_FOR) -> list[Path]:
	"""
	Delete the oldest, with the logs of their migrations, when there are too many or they are too old. One that is not
	finished, or worked on, stays. Returns what was deleted.
	"""
	journals = sorted(folder.glob("*.jsonl"), reverse=True)
	oldest = time.time() - kept_for
	surplus = [path for n, path in enumerate(journals) if n >= kept or path.stat().st_mtime < oldest]
	gone: list[Path] = []
	for journal in surplus:
		if is_closed(journal) and not is_worked_on(journal):
			gone += [journal, *folder.glob(f"{journal.stem}-*.log")]
	for path in gone:
		with suppress(OSError):  # deleted meanwhile, or not ours to delete: the next one tries again
			path.unlink()
	return gone
