"""Files that the doctor writes for an administrator, always below the bench."""

from __future__ import annotations

from pathlib import Path


def write_for_administrator(file: Path, text: str) -> None:
	file.parent.mkdir(parents=True, exist_ok=True)
	file.write_text(text)
