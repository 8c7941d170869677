"""Memory: enough now, and enough for what the workers may come to need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from fmx_restart.adapters.machine_memory import Memory, read_memory
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.host_parts import bench_processes, process_table, registered_pids, size
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import count, span
from fmx_restart.engine.ports import WorkerState

LOW = 0.05  # of the memory there is
FULL = 0.9
GROWTH = 2.0  # a job's process begins as a copy of its worker, and then takes memory of its own
PATIENCE = 600.0  # seconds that a job waits before somebody asks for another worker
SPARE = 0.5  # of the memory, unused even with one more worker


@dataclass(frozen=True)
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
def memory_low(patient: Patient) -> Iterator[Finding]:
	memory = memory_of(patient)
	if memory.available < LOW * memory.total:
		text = f"{size(memory.available)} of {size(memory.total)} memory are left{limit(memory)}: soon the kernel kills something."
		yield Finding("memory-low", Severity.WARNING, "", text, "ps -eo pid,rss,args --sort=-rss | head")


@check("too-many-workers")
def too_many_workers(patient: Patient) -> Iterator[Finding]:
	memory, appetite = memory_of(patient), appetite_of(patient)
	if appetite.workers and appetite.possible > FULL * memory.total:
		text = (
			f"If each of {count(appetite.workers, 'worker')} runs a job of {size(appetite.job)}, as one does now or may, the "
			f"bench takes {size(appetite.possible)} of {size(memory.total)}{limit(memory)}."
		)
		remedy = "fewer background_workers in common_site_config.json, then bench setup supervisor"
		yield Finding("too-many-workers", Severity.WARNING, "", text, remedy)


@check("too-few-workers")
def too_few_workers(patient: Patient) -> Iterator[Finding]:
	"""Only where another one has memory and a processor to run on."""
	memory, appetite = memory_of(patient), appetite_of(patient)
	if patient.parts.get("load", load) >= 1 or memory.available - appetite.job < SPARE * memory.total:
		return
	for queue in patient.surveys:
		workers = [worker for worker in patient.live_workers if queue.name in worker.queues]
		waited = patient.look.time - queue.oldest if queue.oldest else 0.0
		if workers and waited > PATIENCE and all(worker.state is WorkerState.BUSY for worker in workers):
			text = (
				f"A job has waited {span(waited)} in {queue.name} while its {count(len(workers), 'worker')} were busy and half of "
				"the memory unused."
			)
			remedy = "more background_workers in common_site_config.json, then bench setup supervisor"
			yield Finding("too-few-workers", Severity.WARNING, queue.name, text, remedy)


def load() -> float:
	"""Processes that want to run, for each processor; of the last minute."""
	return os.getloadavg()[0] / (os.cpu_count() or 1)


def memory_of(patient: Patient) -> Memory:
	return patient.parts.get("memory", read_memory)


def limit(memory: Memory) -> str:
	return ", its limit," if memory.is_limited else ""


def appetite_of(patient: Patient) -> Appetite:
	"""By the processes of this machine. A worker that Redis knows has one child while it runs a job."""
	table, roles = process_table(patient), bench_processes(patient)
	registered = registered_pids(patient) or set()
	rows = [table.rows[pid] for pid in roles]
	workers = [row for row in rows if row.pid in registered]
	jobs = [row for row in rows if row.parent in registered]
	likely = int(max((row.memory for row in workers), default=0) * GROWTH)
	rest = sum(row.memory for row in rows if row not in jobs)
	return Appetite(len(workers), rest, max([likely, *(table.memory(row) for row in jobs)]))
