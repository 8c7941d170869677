"""bench safe-restart setup worker: it shows the setting that puts in this app's worker, asks, and writes it or takes it out."""

from __future__ import annotations

import os

import click

from fmx_restart.adapters.bench import bench_path
from fmx_restart.adapters.site_config import SiteConfigFiles
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.commands.setup import AGAIN, agree
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Setting
from fmx_restart.worker.switch import SETTING, VARIABLE, is_on

COMMAND = "bench safe-restart setup worker"
FILE = "sites/common_site_config.json"
LINE = f'"{SETTING}": 1'
WHAT_IT_DOES = {
	False: f"Add this setting to {FILE}:\n\n\t{LINE}\n\nThen bench worker and bench worker-pool start workers that lose no"
	" job, whoever stops them. Everything else about them stays Frappe's.",
	True: f"Remove {SETTING} from {FILE}. Then bench worker and bench worker-pool start Frappe's own workers.",
}
DONE = "Done. Active from the next start of the workers on: bench safe-restart --wait-workers"
ALREADY = {False: f"{FILE} has {LINE} already.", True: f"{FILE} has no {SETTING}."}


def run(*, removes: bool, yes: bool) -> None:
	"""Exits with 7 where nothing may be changed: no terminal and no --yes, or a file that cannot be read or written."""
	with exit_on_error():
		files = SiteConfigFiles(bench_path())
		old = files.read("", SETTING)
		if not old.is_present if removes else is_on(old.value):
			click.echo(ALREADY[removes])
		else:
			click.echo(f"{WHAT_IT_DOES[removes]}\n")
			agree(yes, COMMAND + (" --remove" if removes else ""))
			if not files.replace(old, Setting("", SETTING, None if removes else 1, not removes)):
				raise WrongEnvironment(f"{FILE} was changed meanwhile. Nothing was done.", hint=AGAIN)
			click.echo(DONE)
	warn_of_environment(removes=removes)


def warn_of_environment(*, removes: bool) -> None:
	"""The variable overrules the setting; that of a worker's own environment cannot be seen from here."""
	if os.environ.get(VARIABLE) == ("1" if removes else "0"):
		click.echo(f"{VARIABLE}={os.environ[VARIABLE]} in this environment overrules it.", err=True)
