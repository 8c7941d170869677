"""
bench worker, bench worker-pool and bench schedule of Frappe, with what this app puts into them where the bench wants it. All
options, and all that these commands do, stay Frappe's. Click only: every bench command imports this.
"""

from __future__ import annotations

import copy
import signal
import sys
from collections.abc import Callable
from functools import partial

import click

from fmx_restart.worker.switch import is_wanted

CLASSES = ("Worker", "FrappeWorker", "FrappeWorkerNoFork")


def own_commands() -> list[click.Command]:
	"""None where the bench does not want them, or where Frappe's cannot be found."""
	scheduler = sys.modules.get("frappe.commands.scheduler")
	if scheduler is None or not is_wanted():
		return []
	own = {
		"start_worker": put_in_classes,
		"start_worker_pool": put_in_classes,
		"start_scheduler": put_in_ticks,
	}
	found = ((getattr(scheduler, name, None), put_in) for name, put_in in own.items())
	return [with_own(command, put_in) for command, put_in in found if isinstance(command, click.Command)]


def with_own(stock: click.Command, put_in: Callable[[], None]) -> click.Command:
	"""The same command, but for what is put in before."""
	command = copy.copy(stock)

	def run(*args, **kwargs):
		try:
			keep_niceness()
			put_in()
		except Exception as error:  # noqa: BLE001  a worker always starts
			hear_signals()
			click.echo(f"fmx_restart: This process starts as Frappe's own: {error!r}", err=True)
		return stock.callback(*args, **kwargs)

	command.callback = run
	return command


def put_in_classes() -> None:
	"""Where Frappe's start functions look for them. All of them or none."""
	from frappe.utils import background_jobs

	from fmx_restart.worker import classes

	own = {name: getattr(classes, name) for name in CLASSES if hasattr(background_jobs, name)}
	if hasattr(background_jobs, "WorkerPool"):
		from fmx_restart.worker.pool import Pool

		# The first releases of Frappe 15 name no class
		own["WorkerPool"] = Pool if "FrappeWorker" in own else partial(Pool, worker_class=own["Worker"])
	for name, worker in own.items():
		setattr(background_jobs, name, worker)


def keep_niceness() -> None:
	"""After a reload in place: Frappe adds to the niceness that a process has, and this one has it already."""
	from frappe.utils import background_jobs

	from fmx_restart.worker.reload import reloaded

	if reloaded().times:
		background_jobs.set_niceness = lambda: None


def hear_signals() -> None:
	"""A reload held them back, for a worker that would hear them once it is there."""
	signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def put_in_ticks() -> None:
	"""Frappe's scheduler calls them, under the lock that it takes itself."""
	import frappe
	from frappe.utils import background_jobs, scheduler

	from fmx_restart.worker.claims import bench_of
	from fmx_restart.worker.scheduler import Clock, Ticks

	with frappe.init_site():
		connection, queue = background_jobs.get_redis_conn(), background_jobs.generate_qname("short")
	if not hasattr(scheduler, "enqueue_events_for_all_sites"):
		raise LookupError("This release of Frappe has another scheduler")
	scheduler.set_niceness = background_jobs.set_niceness  # its own name for it may be older
	ticks = Ticks(scheduler.enqueue_events_for_all_sites, connection, bench_of(queue))
	scheduler.enqueue_events_for_all_sites, scheduler.time = ticks, Clock(ticks)
