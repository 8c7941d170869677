"""Frappe's own migrate and backup, for the sites of one bench, as processes whose output is followed."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from fmx_restart.adapters.command_line import BENCH_HELPER
from fmx_restart.adapters.database import Sizes, inspect_database
from fmx_restart.adapters.journal_files import journals_of
from fmx_restart.adapters.process_table import clock, read_stat
from fmx_restart.adapters.site_config import is_held
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions
from fmx_restart.engine.ports import Run

MARK = "FMX_RESTART_RUN"  # in the environment of everything that belongs to the run
PIECE = 1 << 20  # bytes read at once


class CommandRun:
	"""
	The output goes straight into the file: no pipe can fill up, and a reader that dies takes nothing with it. A
	process belongs to the run when it is in its session or carries its mark; both outlive the command itself.
	"""

	def __init__(self, command: Sequence[str], folder: Path, log: Path) -> None:
		"""Raises WrongEnvironment when it cannot be started."""
		self.log, self.mark = str(log), f"{os.getpid()}:{log}"
		environment = {**os.environ, "PYTHONUNBUFFERED": "1", MARK: self.mark}
		try:
			log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
			file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
			self._output = log.open("rb")
			self._output.seek(0, os.SEEK_END)
			try:
				self._process = subprocess.Popen(
					command,
					cwd=folder,
					env=environment,
					stdin=subprocess.DEVNULL,
					stdout=file,
					stderr=file,
					start_new_session=True,
				)
			finally:
				os.close(file)
		except OSError as error:
			raise WrongEnvironment(f"{command[0]} cannot be started: {error}") from error
		self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

	def output(self) -> str:
		return self._decoder.decode(self._output.read(PIECE))

	def exit_code(self) -> int | None:
		return self._process.poll()

	def terminate(self) -> None:
		signal_all(self._members(), signal.SIGTERM)

	def kill(self) -> None:
		signal_all(self._members(), signal.SIGKILL)

	def is_gone(self) -> bool:
		return self.exit_code() is not None and not any(self._members())

	def age(self) -> float:
		return age_of(self._members())

	def _members(self) -> Iterator[psutil.Process]:
		# the session's number is taken as long as anybody is in it, also when the command itself has ended
		session, mark = self._process.pid, self.mark
		return members(lambda p: os.getsid(p.pid) == session or p.environ().get(MARK) == mark)


class AdoptedRun:
	"""A run whose parent died: known by the log in its mark. Nobody can tell its exit code any more."""

	def __init__(self, log: str) -> None:
		self.log = log

	def output(self) -> str:
		return ""

	def exit_code(self) -> int | None:
		return None

	def terminate(self) -> None:
		signal_all(self._members(), signal.SIGTERM)

	def kill(self) -> None:
		signal_all(self._members(), signal.SIGKILL)

	def is_gone(self) -> bool:
		return not any(self._members())

	def age(self) -> float:
		return age_of(self._members())

	def _members(self) -> Iterator[psutil.Process]:
		return members(lambda p: p.environ().get(MARK, "").partition(":")[2] == self.log)


def members(is_ours: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
	"""The living processes that `is_ours` accepts, without this one and without zombies."""
	for process in psutil.process_iter():
		with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
			is_alive = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
			if is_alive and is_ours(process):
				yield process


def age_of(processes: Iterable[psutil.Process]) -> float:
	"""Seconds since the eldest of them began; 0 where none is left."""
	stats = filter(None, (read_stat(process.pid) for process in processes))
	return max((clock() - stat.began for stat in stats), default=0.0)


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
	"""Signal each process that is still the same; one that is gone meanwhile is passed over."""
	for process in list(processes):
		with suppress(psutil.NoSuchProcess):  # psutil compares the start time first
			process.send_signal(number)


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
	"""A doubt where less than `needed` bytes are free in `folder`, or in the nearest folder above that exists."""
	while not folder.exists():
		folder = folder.parent
	free = shutil.disk_usage(folder).free
	if free >= needed:
		return []
	text = f"{megabytes(free)} free in {folder}, {megabytes(needed)} wanted for {what}"
	return [Finding(site, Gravity.DOUBTFUL, text, "Free some disk space. --force continues without.")]


def megabytes(size: int) -> str:
	"""Bytes as "1,234 MB" (10^6 each)."""
	return f"{size / 1000**2:,.0f} MB"


#: what frappe/utils/backups.py prints at its end: Database: ./site/private/backups/…-database.sql.gz 1.2MiB
BACKUP = re.compile(r"^\s*Database\s*:\s*(?P<file>\S.*\.sql(?:\.gz)?)(?:\s|$)", re.MULTILINE)


class BenchMigrations:
	"""`site_config`: a site's settings by Frappe's own rules. Logs lie beside the operation's journal."""

	def __init__(self, bench_path: str, operation: str, site_config: Callable[[str], Mapping]) -> None:
		self.sites = Path(bench_path) / "sites"
		self.logs = journals_of(bench_path)
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
		match = BACKUP.search(Path(run.log).read_text(errors="replace"))
		file = self.sites / match["file"] if match else None
		return str(file.resolve()) if file and file.is_file() and file.stat().st_size else None

	def frappe(self, site: str, command: str, *options: str) -> list[str]:
		"""The words of a bench command for one site, with the bench's own Python."""
		python = str(self.python) if self.python.exists() else sys.executable
		return [python, "-m", BENCH_HELPER, "frappe", "--site", site, command, *options]
