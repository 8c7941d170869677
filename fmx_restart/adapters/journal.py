"""One file per operation under the bench's logs, one fact a line. It is written before the act it announces."""

from __future__ import annotations

import os
from pathlib import Path

from fmx_restart.engine import events
from fmx_restart.engine.facts import json_line


class Journal:
	"""Flushed to disk line by line; readable by its owner only (it names sites and methods)."""

	def __init__(self, folder: Path, operation: str) -> None:
		folder.mkdir(mode=0o700, parents=True, exist_ok=True)
		self.path = folder / f"{operation}.jsonl"
		self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.MigrationOutput):
			return  # its own log has it all
		os.write(self._file, (json_line(event) + "\n").encode())
		os.fsync(self._file)
