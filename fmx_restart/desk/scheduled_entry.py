"""A scheduled start as the terminal's JSON, the API and Desk show it. Nothing of that is ever executed. Needs no Frappe."""

from __future__ import annotations

from typing import Any

from fmx_restart.adapters.bench import read_config
from fmx_restart.adapters.schedule import ScheduledStart, lateness, text_of
from fmx_restart.console.restart_command import restart_command
from fmx_restart.engine.start_time import StartTime


def entry(start: ScheduledStart) -> dict[str, Any]:
	"""All that people and programs may know of it."""
	last = start.last
	return {
		"id": start.id,
		"site": start.site,
		**starts_at(start.when),
		"strategy": start.options.strategy.value,
		"migrate": start.options.migration is not None,
		"command": restart_command(start.options),
		"requested_by": start.options.requested_by,
		"asked_from": start.asked_from,
		"is_over": start.is_over,
		"last": last and {"at": last.at, "operation": last.operation, "reason": last.reason},
	}


def starts_at(when: StartTime) -> dict[str, Any]:
	"""The time, for people and for programs, and how late it may be."""
	return {
		"at": when.at,
		"until": when.until,
		"text": text_of(when),
		"zone": when.zone,
		"repeat": when.repeat,
		"note": when.note,
		"late": lateness(read_config()),
	}
