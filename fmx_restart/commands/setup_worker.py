"""bench safe-restart setup worker: it shows the settings that put in this app's worker, asks, and writes them or takes them out."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import click

from fmx_restart.adapters.bench import bench_path
from fmx_restart.adapters.site_config import SiteConfigFiles
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.commands.setup import AGAIN, agree
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.ports import Setting
from fmx_restart.worker.grace import SETTING as GRACE
from fmx_restart.worker.switch import SETTING, VARIABLE, is_on

COMMAND = "bench safe-restart setup worker"
FILE = "sites/common_site_config.json"
VERBS = {False: "Add to", True: "Remove from"}
EFFECTS = {
	False: "Then bench worker and bench worker-pool start workers that lose no job, however they are stopped. Everything else about"
	" them stays Frappe's.",
	True: "Then bench worker and bench worker-pool start Frappe's own workers.",
}
TIME = (
	f"{GRACE} tells a worker after how many seconds the process manager kills it, as jobs of its queues may run longer: it"
	" ends such a job before."
)
DONE = {
	False: "Done. Active from the next start of the workers on{}",
	True: "Removed. Frappe's own workers run from their next start on{}",
}
RESTART = "bench safe-restart --wait-workers"
ALREADY = {False: f'{FILE} has "{SETTING}": 1 already.', True: f"{FILE} has no {SETTING}."}


def run(*, removes: bool, yes: bool) -> None:
	"""Exits with 7 where nothing may be changed: no terminal and no --yes, or a file that cannot be read or written."""
	with exit_on_error():
		files = SiteConfigFiles(bench_path())
		if wanted := wanted_settings(files, removes=removes):
			change(files, wanted, removes=removes, yes=yes)
		else:
			click.echo(ALREADY[removes])
	warn_of_environment(removes=removes)


def wanted_settings(files: SiteConfigFiles, *, removes: bool) -> list[tuple[Setting, Setting]]:
	"""Each setting as it is, and as it shall be; none where nothing is to be changed."""
	switch = files.read("", SETTING)
	is_done = not switch.is_present if removes else is_on(switch.value)
	time = None if removes else time_setting(files)
	return [*([time] if time else []), *([] if is_done else [(switch, Setting("", SETTING, 1, True))])]


def change(
	files: SiteConfigFiles, wanted: list[tuple[Setting, Setting]], *, removes: bool, yes: bool
) -> None:
	"""Each setting as it is, and as it shall be. Raises WrongEnvironment, and Abort for a no."""
	keys = [new.key for _, new in wanted]
	lines = "\n".join(
		f'\t"{new.key}": {json.dumps(old.value if removes else new.value)}' for old, new in wanted
	)
	effects = [EFFECTS[removes] if SETTING in keys else "", TIME if GRACE in keys else ""]
	click.echo(f"{VERBS[removes]} {FILE}:\n\n{lines}\n\n{' '.join(filter(None, effects))}\n")
	agree(yes, COMMAND + (" --remove" if removes else ""))
	for old, new in wanted:
		if not files.replace(old, Setting("", new.key, None, False) if removes else new):
			raise WrongEnvironment(f"{FILE} was changed meanwhile. {new.key} was not set.", hint=AGAIN)
	click.echo(DONE[removes].format(how_to_restart()))


def how_to_restart() -> str:
	"""The end of a sentence. A worker that its manager cannot start anew has to be started with all the others: its last remedy is this command."""
	from fmx_restart.wiring import process_manager

	with suppress(OperationError):
		workers = [process for process in process_manager().survey().processes if process.runs_jobs]
		if workers and all(process.stays for process in workers):
			return f". {' '.join(workers[0].stays.remedies[:-1])}"
	return f": {RESTART}"


def time_setting(files: SiteConfigFiles) -> tuple[Setting, Setting] | None:
	"""None where a person has made it for these queues, where every job can end in time, or where no process manager says."""
	from fmx_restart.doctor.checks.lossless_workers import times_to_tell
	from fmx_restart.wiring import bench_view

	old = files.read("", GRACE)
	made = old.value if old.is_present else {}
	if isinstance(made, dict):
		with suppress(OperationError):
			if times := times_to_tell(bench_view()):
				return old, Setting("", GRACE, {**made, **times}, True)
	return None


def warn_of_environment(*, removes: bool) -> None:
	"""The variable overrules the setting; that of a worker's own environment cannot be seen from here."""
	if os.environ.get(VARIABLE) == ("1" if removes else "0"):
		click.echo(f"{VARIABLE}={os.environ[VARIABLE]} in this environment overrules it.", err=True)
