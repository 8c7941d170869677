"""Workers, pools and the scheduler that did not start anew though they were asked to, or though a setting says so (docs/worker.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from fmx_restart.adapters.redis_queue.renewals import Renewal, parents, renewals
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.doctor.words import listed
from fmx_restart.worker.recycling import SETTING

REFUSED, RECYCLING = "reload-refused", "worker-recycling"
RESTART = "bench safe-restart --wait-workers"
PLAN = f"bench safe-restart plan names what cannot be imported. Repair it, then: {RESTART}"
#: What is no type of an error, or tells more than one
WHY = {
	"SwitchedOff": (
		"workers of this app were switched off since it was started",
		f"{RESTART} starts Frappe's own workers. To keep those of this app: bench safe-restart setup worker",
	),
	"WorkerPool": ("it belongs to a pool of another program, which would have to reload", RESTART),
	"TimeoutError": (
		"its new code was not imported within a minute (TimeoutError)",
		f"Look what an app does when it is imported, then: {RESTART}",
	),
	"ChildProcessError": ("its new code ends the process that imports it (ChildProcessError)", PLAN),
}


@check(REFUSED)
def reload_refused(view: BenchView) -> Iterator[Finding]:
	"""They go on with the code that they have."""
	for kind, names in by_text(all_renewals(view), "refused").items():
		why, remedy = WHY.get(kind, (f"its new code cannot be imported ({kind})", PLAN))
		text = f"Asked to reload, and still on the old code, as {why}: {listed(names)}."
		yield Finding(REFUSED, Severity.WARNING, "", text, remedy)


@check(RECYCLING)
def worker_recycling(view: BenchView) -> Iterator[Finding]:
	"""Parts of the setting that a worker cannot use, and workers that cannot start anew."""
	for fault, names in by_text(all_renewals(view), "unused").items():
		text = f"A part of {SETTING} is not used ({fault}) by {listed(names)}."
		yield Finding(
			RECYCLING,
			Severity.WARNING,
			"",
			text,
			"bench doctor --explain worker-recycling shows how it is written; then restart the workers",
		)
	for kind, names in by_text(all_renewals(view), "stayed").items():
		why, remedy = WHY.get(kind, (f"its new code cannot be imported ({kind})", PLAN))
		text = f"To be recycled, and not done, as {why}: {listed(names)}."
		yield Finding(RECYCLING, Severity.WARNING, "", text, remedy)


def all_renewals(view: BenchView) -> dict[str, Renewal]:
	"""What the process is → what it says; read once for both checks. Raises QueueUnreachable."""
	return view.parts.get("renewals", lambda: read(view))


def read(view: BenchView) -> dict[str, Renewal]:
	"""Workers that live, their pools, and the scheduler."""
	workers = renewals(view.connection, view.live_workers)
	others = parents(view.connection, view.bench_id, workers.values())
	return {**{f"worker {name}": renewal for name, renewal in workers.items()}, **others}


def by_text(found: dict[str, Renewal], field: str) -> dict[str, list[str]]:
	"""What they say → which processes say so."""
	groups: dict[str, list[str]] = defaultdict(list)
	for name, renewal in found.items():
		if said := getattr(renewal, field):
			groups[said].append(f"{name.partition(' ')[0]} (pid {renewal.pid} on {renewal.host})")
	return groups
