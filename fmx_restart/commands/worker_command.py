"""
bench worker and bench worker-pool of Frappe, with the worker of this app in them where the bench wants it. All options, and
all that these commands do, stay Frappe's. Click only: every bench command imports this.
"""

from __future__ import annotations

import copy
import signal
import sys
from functools import partial

import click

from fmx_restart.worker.switch import is_wanted

CLASSES = ("Worker", "FrappeWorker", "FrappeWorkerNoFork")
LOADED = (
	"start_worker",
	"start_worker_pool",
)  # in frappe.commands.scheduler, which Frappe has imported before this


def own_commands() -> list[click.Command]:
	"""None where the bench does not want them, or where Frappe's cannot be found."""
	scheduler = sys.modules.get("frappe.commands.scheduler")
	if scheduler is None or not is_wanted():
		return []
	found = (getattr(scheduler, name, None) for name in LOADED)
	return [with_own_classes(command) for command in found if isinstance(command, click.Command)]


def with_own_classes(stock: click.Command) -> click.Command:
	"""The same command, but for the worker classes."""
	command = copy.copy(stock)

	def run(*args, **kwargs):
		try:
			keep_niceness()
			put_in_classes()
		except Exception as error:  # noqa: BLE001  a worker always starts
			signal.pthread_sigmask(
				signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM)
			)  # a reload held them back
			click.echo(f"fmx_restart: This worker starts as Frappe's own: {error!r}", err=True)
		return stock.callback(*args, **kwargs)

	command.callback = run
	return command


def put_in_classes() -> None:
	"""Where Frappe's start functions look for them. All of them or none."""
	from frappe.utils import background_jobs

	from fmx_restart.worker import classes

	own = {name: getattr(classes, name) for name in CLASSES if hasattr(background_jobs, name)}
	if "FrappeWorker" not in own and hasattr(
		background_jobs, "WorkerPool"
	):  # the first releases of Frappe 15 name no class
		own["WorkerPool"] = partial(background_jobs.WorkerPool, worker_class=own["Worker"])
	for name, worker in own.items():
		setattr(background_jobs, name, worker)


def keep_niceness() -> None:
	"""After a reload in place: Frappe adds to the niceness that a process has, and this one has it already."""
	from frappe.utils import background_jobs

	from fmx_restart.worker.reload import reloaded

	if reloaded().times:
		background_jobs.set_niceness = lambda: None
