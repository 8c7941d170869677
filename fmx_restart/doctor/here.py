"""The patient that is the bench we are in: the one place of the doctor that knows how a bench is wired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from fmx_restart.doctor.patient import Patient, Ways

T = TypeVar("T")


def patient_here(sites: Sequence[str] = ()) -> Patient:
	"""`sites`: look at these only; none means all. Raises WrongEnvironment outside a bench. Opens nothing yet."""
	from fmx_restart import recovering, this_bench, through_frappe
	from fmx_restart.adapters import bench_config
	from fmx_restart.adapters.host import ThisHost
	from fmx_restart.adapters.redis_queue.connection import connect
	from fmx_restart.adapters.supervisor.discovery import find_supervisor

	config = bench_config.read_config()
	bench_id, path = this_bench.identity(config)
	ways = Ways(
		config=bench_config.read_config,
		sites=lambda: list(sites) or bench_config.sites(),
		connection=lambda: connect(config, bench_id),
		processes=lambda: find_supervisor(path, url=config.get("fmx_restart_supervisor_url")),
		host=lambda: ThisHost(path),
		queue_limit=in_frappe(this_bench.queue_limit),
		site_config=through_frappe.site_config,
		scheduler_lines=scheduler_lines,
		frappes_folder=bench_config.bench_path,
		bench=this_bench.this_bench,
		new_operation_id=this_bench.new_operation_id,
		recover=recovering.recover,
	)
	return Patient(path, bench_id, ways)


def in_frappe(read: Callable[[], T]) -> Callable[[], T]:
	"""Each check has a thread of its own, where Frappe is not initialised yet."""

	def initialised() -> T:
		from fmx_restart import through_frappe

		if through_frappe.is_there():
			through_frappe.initialise()
		return read()

	return initialised


def scheduler_lines(site: str) -> list[str]:
	"""By Frappe's own functions, in its own words (frappe/utils/doctor.py). One database connection, closed again."""
	from fmx_restart import through_frappe

	if not through_frappe.is_there():
		return [f"Scheduler status unknown for {site}: Frappe is not loaded"]
	import frappe
	from frappe.utils.scheduler import is_scheduler_disabled, is_scheduler_inactive

	frappe.destroy()
	frappe.init(site)
	try:
		frappe.connect()
		found = {
			"Scheduler disabled for": is_scheduler_disabled(verbose=False),
			"Maintenance mode on for": frappe.local.conf.maintenance_mode,
			"Scheduler paused for": frappe.local.conf.pause_scheduler,
			"Scheduler inactive for": is_scheduler_inactive(verbose=False),
		}
		return [f"{line} {site}" for line, is_so in found.items() if is_so]
	finally:
		frappe.destroy()
