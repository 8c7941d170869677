"""Starts at a set time that were not started, or that nothing would start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from shlex import quote

from fmx_restart.adapters.bench import is_site
from fmx_restart.adapters.control_sites import Mode, read_rule
from fmx_restart.adapters.schedule import Schedule, ScheduledStart, lateness, latest, text_of
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.registry import Finding, Severity, check

NAME = "scheduled-start"
SHOW = "bench safe-restart scheduled"


@check(NAME)
def scheduled_start(view: BenchView) -> Iterator[Finding]:
	"""One whose time has passed while nothing looked, one that was not started the last time, one that cannot be read."""
	schedule = Schedule(view.journals)
	for start in schedule.all():
		if text := fault_of(view, start):
			yield Finding(
				NAME, Severity.WARNING, start.id, text, f"{SHOW}; cancel it: {SHOW} --cancel {start.id}"
			)
	for name, fault in schedule.unreadable().items():
		text = f"{name} cannot be used, so it starts nothing: {fault}"
		yield Finding(
			NAME,
			Severity.WARNING,
			name,
			text,
			f"rm {quote(str(view.journals / name))}, and schedule it again",
		)


def fault_of(view: BenchView, start: ScheduledStart) -> str:
	"""A sentence; empty where all is well."""
	when = text_of(start.when)
	sites = view.path / "sites"
	if start.last and start.last.reason:
		return f"It was not started at its last time ({start.last.operation}): {start.last.reason}"
	if not is_site(start.site, sites) or read_rule(sites).mode(start.site) not in (
		Mode.CONTROL,
		Mode.RESTART,
	):
		return f"It will not be started on {when}: {start.site} is gone, or may no longer start a restart."
	# until then the scheduler's own next look tells it
	if time.time() > latest(start.when, view.config) + lateness(view.config):
		return f"It should have started on {when}, and nothing has looked since: the scheduler of {start.site} does not run."
	return ""
