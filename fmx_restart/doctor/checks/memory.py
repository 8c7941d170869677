"""Memory: enough now, enough for what the workers may come to need, and what the kernel has killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from fmx_restart.adapters.machine import Memory, OomKill, oom_kills, read_memory
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import bench_processes, process_table, registered_pids
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.doctor.words import listed
from fmx_restart.engine.format import count, size, span
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import WorkerState

LOW = 0.05  # of the memory there is
FULL = 0.9
GROWTH = 2.0  # a job's process begins as a copy of its worker, and then takes memory of its own
PATIENCE = 600.0  # seconds that a job waits before someone asks for another worker
SPARE = 0.5  # of the memory, unused even with one more worker


@frozen
class Appetite:
	"""In bytes."""

	workers: int  # how many there are
	bench: int  # what all of the bench's processes take, but for those of jobs
	job: int  # what the process of one job may take

	@property
	def possible(self) -> int:
		"""Every worker runs a job at the same time."""
		return self.bench + self.workers * self.job


@check("memory-low")
def memory_low(view: BenchView) -> Iterator[Finding]:
	"""Below some share of the machine's memory, or of the control group's, the kernel begins to kill."""
	memory = memory_of(view)
	if memory.available < LOW * memory.total:
		text = f"{size(memory.available)} of {size(memory.total)} memory is left{limit(memory)}: the kernel will soon kill a process."
		yield Finding("memory-low", Severity.WARNING, "", text, "ps -eo pid,rss,args --sort=-rss | head")


@check("too-many-workers")
def too_many_workers(view: BenchView) -> Iterator[Finding]:
	"""All workers at once with a job as large as the largest one now would not fit."""
	memory, appetite = memory_of(view), appetite_of(view)
	if appetite.workers and appetite.possible > FULL * memory.total:
		text = (
			f"If each of {count(appetite.workers, 'worker')} runs a job of {size(appetite.job)}, as one does now or may, the "
			f"bench takes {size(appetite.possible)} of {size(memory.total)}{limit(memory)}."
		)
		remedy = f"fewer background_workers in common_site_config.json, then {view.setup_command}"
		yield Finding("too-many-workers", Severity.WARNING, "", text, remedy)


@check("too-few-workers")
def too_few_workers(view: BenchView) -> Iterator[Finding]:
	"""Only where another one has memory and a processor to run on."""
	memory, appetite = memory_of(view), appetite_of(view)
	if view.parts.get("load", load) >= 1 or memory.available - appetite.job < SPARE * memory.total:
		return
	for queue in view.surveys:
		workers = [worker for worker in view.live_workers if queue.name in worker.queues]
		waited = view.look.time - queue.oldest if queue.oldest else 0.0
		if workers and waited > PATIENCE and all(worker.state is WorkerState.BUSY for worker in workers):
			text = (
				f"A job has waited {span(waited)} in {queue.name} while its {count(len(workers), 'worker')} were busy and half of "
				"the memory unused."
			)
			remedy = f"more background_workers in common_site_config.json, then {view.setup_command}"
			yield Finding("too-few-workers", Severity.WARNING, queue.name, text, remedy)


def load() -> float:
	"""Processes that want to run, for each processor; of the last minute."""
	return os.getloadavg()[0] / (os.cpu_count() or 1)


def memory_of(view: BenchView) -> Memory:
	"""Bytes of memory, read once for the whole examination."""
	return view.parts.get("memory", read_memory)


def limit(memory: Memory) -> str:
	"""A word to a sentence where a control group sets the limit, and not the machine."""
	return ", its limit," if memory.is_limited else ""


def appetite_of(view: BenchView) -> Appetite:
	"""By the processes of this machine. A worker that Redis knows has one child while it runs a job."""
	table, roles = process_table(view), bench_processes(view)
	registered = registered_pids(view) or set()
	rows = [table.rows[pid] for pid in roles]
	workers = [row for row in rows if row.pid in registered]
	jobs = [row for row in rows if row.parent in registered]
	likely = int(max((row.memory for row in workers), default=0) * GROWTH)
	rest = sum(row.memory for row in rows if row not in jobs)
	return Appetite(len(workers), rest, max([likely, *(table.memory(row) for row in jobs)]))


DAY = 86400.0  # seconds
REMEDY = "journalctl -k | grep -i 'out of memory', then fewer workers, smaller jobs or more memory"


@check("kernel-oom")
def kernel_oom(view: BenchView) -> Iterator[Finding]:
	"""Of the last day. Whose they were cannot be told any more; on a machine that runs short, nobody is safe."""
	now = time.time()
	kills = oom_kills(now - DAY) or []
	if kills:
		newest_first = sorted(kills, key=lambda kill: -kill.time)
		text = f"In the last day the kernel killed processes because memory ran out: {listed([kill_text(kill, now) for kill in newest_first])}."
		yield Finding("kernel-oom", Severity.WARNING, "", text, REMEDY)


def kill_text(kill: OomKill, now: float) -> str:
	"""Which process the kernel killed and when. `now`: seconds since 1970."""
	memory = f", {size(kill.memory)}" if kill.memory else ""
	limit = ", at its group's limit" if kill.is_group_limit else ""
	return f"{kill.name} (pid {kill.pid}{memory}{limit}, {span(max(0.0, now - kill.time))} ago)"
