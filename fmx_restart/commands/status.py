"""bench safe-restart --status: who holds the bench, and what its workers do."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from fmx_restart.console.say import say
from fmx_restart.engine.holder import describe
from fmx_restart.this_bench import Status


def show_status(status: Status, as_json: bool) -> None:
	if as_json:
		click.echo(json.dumps(asdict(status)))
		return
	held = f"Operation {describe(status.holder)}" if status.holder else "No operation holds this bench."
	suspended = (
		f"The queue is suspended by: {describe(status.look.suspension)}"
		if status.look.suspension
		else "The queue moves."
	)
	say(f"{held}\n{suspended}")
	for operation, host in status.unfinished.items():
		where = f" on {host}" if host else ""
		say(
			f"Operation {operation} died{where} and was not recovered. Type{where}: bench safe-restart --recover"
		)
	for worker in status.look.workers:
		job = status.jobs.get(worker.job_id or "")
		doing = f"  {job.site} / {job.method}" if job else ""
		say(f"  {','.join(worker.queues):<28} pid {worker.pid:<8} {worker.state.value:<10}{doing}")
	say(
		"Queued: "
		+ (", ".join(f"{name} {depth}" for name, depth in sorted(status.look.depths.items())) or "-")
	)
