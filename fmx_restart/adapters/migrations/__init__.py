"""Frappe's own migrate and backup, for the sites of one bench."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from fmx_restart.adapters.command_line import BENCH_HELPER
from fmx_restart.adapters.file_lock import is_held
from fmx_restart.adapters.migrations.database import inspect_database
from fmx_restart.adapters.migrations.disk import inspect_disk
from fmx_restart.adapters.migrations.run import AdoptedRun, CommandRun
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions
from fmx_restart.engine.ports import Run

#: what frappe/utils/backups.py prints at its end: Database: ./site/private/backups/…-database.sql.gz 1.2MiB
BACKUP = re.compile(r"^\s*Database\s*:\s*(?P<file>\S.*\.sql(?:\.gz)?)(?:\s|$)", re.MULTILINE)


class BenchMigrations:
	"""`site_config`: a site's settings by Frappe's own rules. Logs lie beside the operation's journal."""

	def __init__(self, bench_path: str, operation: str, site_config: Callable[[str], Mapping]) -> None:
		self.sites = Path(bench_path) / "sites"
		self.logs = Path(bench_path) / "logs" / "fmx_restart"
		self.python = Path(bench_path) / "env" / "bin" / "python"
		self.operation, self.site_config = operation, site_config

	def inspect(self, site: str, options: MigrationOptions) -> list[Finding]:
		folder = self.sites / site
		if Path(site).name != site or not (folder / "site_config.json").exists():
			return [
				Finding(
					site, Gravity.BLOCKS, "there is no such site", "bench --site all list-apps names them."
				)
			]
		findings, sizes = inspect_database(site, self.site_config(site))
		if is_held(folder / "locks" / "bench_migrate.lock"):
			text = "another migration of it is under way (locks/bench_migrate.lock is held)"
			findings.append(Finding(site, Gravity.BLOCKS, text, "Wait until it has ended."))
		backups = folder / "private" / "backups" if options.backup else None
		return findings + (inspect_disk(site, sizes, backups) if sizes else [])

	def start(self, site: str, options: MigrationOptions) -> Run:
		own = self.frappe(site, "migrate", *(["--skip-failing"] if options.skip_failing else []))
		command = [word.replace("{site}", site) for word in options.command] or own
		return CommandRun(command, self.sites, self.logs / f"{self.operation}-{site}.log")

	def start_backup(self, site: str) -> Run:
		log = self.logs / f"{self.operation}-{site}-backup.log"
		return CommandRun(self.frappe(site, "backup", "--verbose"), self.sites, log)

	def adopt(self, log: str) -> Run:
		return AdoptedRun(log)

	def backup_file(self, site: str, run: Run) -> str | None:
		found = BACKUP.search(Path(run.log).read_text(errors="replace"))
		file = self.sites / found["file"] if found else None
		return str(file.resolve()) if file and file.is_file() and file.stat().st_size else None

	def frappe(self, site: str, command: str, *options: str) -> list[str]:
		python = str(self.python) if self.python.exists() else sys.executable
		return [python, "-m", BENCH_HELPER, "frappe", "--site", site, command, *options]
