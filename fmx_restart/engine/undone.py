"""What an operation says that ends before its restart: "Nothing was restarted" only where that is so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fmx_restart.engine.format import count
from fmx_restart.engine.report import Report


def what_was_done(
	report: Report, down: Sequence[str], hosts_done: Sequence[str], queue_goes_on: str
) -> Iterator[str]:
	"""
	Sentences. `down`: names of programs that ran at the beginning. `hosts_done`: names of hosts that were restarted before.
	`queue_goes_on`: follows "the queue".
	"""
	yield from killed(report)
	if down:
		yield f"No longer running: {', '.join(down)}."
	if report.restarted:
		yield f"Restarted meanwhile: {', '.join(report.restarted)}."
	if not hosts_done:
		what = "Nothing else" if report.restarted else "Nothing"
		yield f"{what} was restarted; the queue {queue_goes_on}."
		return
	yield f"Restarted before: {', '.join(hosts_done)}."
	if left := [name for group in report.hosts for name in group.hosts if name not in hosts_done]:
		yield f"Not restarted, in service with the old code: {', '.join(left)}."
	yield f"The queue {queue_goes_on}."


def killed(report: Report) -> Iterator[str]:
	"""How many jobs, and how many of them run again."""
	jobs, back = len(report.interrupted), len(report.requeued)
	if not jobs:
		return
	was = "was" if jobs == 1 else "were"
	end = f"; {back} of them {'is' if back == 1 else 'are'} back in the queue" if back else ""
	if jobs == back == 1:
		end = " and is back in its queue"
	yield f"{count(jobs, 'job')} {was} killed{end}."
