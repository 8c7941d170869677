"""
Jobs of this app itself: they bring rows up to date, take samples, launch an operation. No person enqueued them, so no person
is told that a restart waits for them. Whoever adds one to hooks.py or enqueues another one adds it here.
"""

from __future__ import annotations

from typing import Any

OWN_METHODS = frozenset(
	{
		"fmx_restart.doctor.daily.run",
		"fmx_restart.record.catching_up.catch_up",
		"fmx_restart.record.launching.launch",
		"fmx_restart.record.samples.tick",
		"fmx_restart.tick.recover_unfinished",
	}
)
EXECUTES = "frappe.utils.background_jobs.execute_job"
SCHEDULED = "frappe.core.doctype.scheduled_job_type.scheduled_job_type.run_scheduled_job"


def is_own(content: Any) -> bool:
	"""
	`content`: function, instance, arguments and keyword arguments of an RQ job. Exactly one of ours, run by Frappe as it
	runs any. A name that only begins like one of ours is a job of somebody else, and so is one whose own arguments say
	that it were ours.
	"""
	if not isinstance(content, tuple) or len(content) != 4 or content[0] != EXECUTES:
		return False
	kwargs = content[3]
	if not isinstance(kwargs, dict):
		return False
	method, inner = kwargs.get("method"), kwargs.get("kwargs")
	if method == SCHEDULED and isinstance(inner, dict):
		method = inner.get("job_type")
	return isinstance(method, str) and method in OWN_METHODS
