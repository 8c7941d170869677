"""Where the journals of a bench lie. Imports no library: every command asks for it before its first line."""

from __future__ import annotations

from pathlib import Path


def journals_of(bench: str | Path) -> Path:
	"""The folder in which the journals of a bench lie, and whatever belongs to one operation."""
	return Path(bench) / "logs" / "fmx_restart"


def newest(folder: Path) -> Path | None:
	"""The journal of the last operation; None where there is none."""
	return max(folder.glob("*.jsonl"), default=None)


def launch_log(folder: Path, operation: str) -> Path:
	"""Beside its journal: what an operation's process printed. It says why where there is no journal; pruned with that."""
	return folder / f"{operation}-launch.log"
