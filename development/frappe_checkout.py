"""Frappe from a checkout or git URL of the developer's choice, instead of the one from PyPI."""

from __future__ import annotations

from pathlib import Path

from development.progress import Progress


def fetch_frappe(source: str, app: Path, progress: Progress, log: Path) -> None:
	raise NotImplementedError


def overrides(app: Path, folder: Path) -> list:
	return []
