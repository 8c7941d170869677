"""The patient that is the bench we are in: the one place of the doctor that knows how a bench is wired."""

from __future__ import annotations

from fmx_restart.doctor.patient import Patient, Ways


def patient_here() -> Patient:
	"""Raises WrongEnvironment outside a bench. Opens nothing yet."""
	from fmx_restart import this_bench
	from fmx_restart.adapters.host import ThisHost
	from fmx_restart.adapters.supervisor.discovery import find_supervisor

	config = this_bench.read_config()
	bench_id, path = this_bench.initialise_frappe()
	ways = Ways(
		config=this_bench.read_config,
		sites=this_bench.sites,
		connection=this_bench.redis_connection,
		processes=lambda: find_supervisor(path, url=config.get("fmx_restart_supervisor_url")),
		host=lambda: ThisHost(path),
		web=lambda site: this_bench.web(config, site),
		queue_limit=this_bench.queue_limit,
		site_config=this_bench.site_config,
	)
	return Patient(path, bench_id, ways)
