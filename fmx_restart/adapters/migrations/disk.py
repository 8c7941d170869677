"""Whether there is room for what a migration and a backup write."""

from __future__ import annotations

import shutil
from pathlib import Path

from fmx_restart.adapters.migrations.database import Sizes
from fmx_restart.engine.migration import Finding, Gravity

MARGIN = 200 * 1000**2  # bytes, for logs and the database's own
BACKUP_SHARE = 0.5  # of the database; a dump is compressed, and rarely above a quarter


def inspect_disk(site: str, sizes: Sizes, backup_folder: Path | None) -> list[Finding]:
	"""ALTER TABLE writes a copy of the table. `backup_folder`: None where no backup is asked for."""
	findings = []
	if sizes.folder:
		findings += shortage(site, "its largest table", sizes.folder, sizes.largest_table + MARGIN)
	if backup_folder:
		findings += shortage(site, "a backup", backup_folder, int(sizes.database * BACKUP_SHARE) + MARGIN)
	return findings


def shortage(site: str, what: str, folder: Path, needed: int) -> list[Finding]:
	while not folder.exists():
		folder = folder.parent
	free = shutil.disk_usage(folder).free
	if free >= needed:
		return []
	text = f"{megabytes(free)} free in {folder}, {megabytes(needed)} wanted for {what}"
	return [Finding(site, Gravity.DOUBTFUL, text, "Make room. --force goes on without.")]


def megabytes(size: int) -> str:
	return f"{size / 1000**2:,.0f} MB"
