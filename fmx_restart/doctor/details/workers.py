"""Workers, and the jobs that they run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fmx_restart.doctor.detail import BYTES, HIDDEN, SECONDS, detail
from fmx_restart.doctor.host_parts import process_table
from fmx_restart.doctor.patient import Patient
from fmx_restart.engine.ports import Worker


@dataclass(frozen=True)
class WorkerRow:
	name: str = field(metadata=HIDDEN)
	host: str
	pid: int
	queues: str
	state: str  # idle, busy, suspended, started; stale: registered, and gone
	job: str | None = field(metadata=HIDDEN)  # its id
	age: float = field(metadata=SECONDS)
	heartbeat: float = field(metadata=SECONDS)  # since the last sign of life
	memory: int | None = field(metadata=BYTES)  # with the process of its job; None on other machines


@dataclass(frozen=True)
class RunningJobRow:
	id: str = field(metadata=HIDDEN)
	site: str
	method: str
	queue: str
	elapsed: float | None = field(metadata=SECONDS)
	limit: float | None = field(metadata=SECONDS)
	worker: str = field(metadata=HIDDEN)
	pid: int | None  # of its worker


@detail("workers", "Workers")
def workers(patient: Patient) -> Iterator[WorkerRow]:
	alive = {worker.name for worker in patient.live_workers}
	now = patient.look.time
	for worker in sorted(patient.look.workers, key=lambda worker: (worker.host, worker.queues, worker.pid)):
		yield WorkerRow(
			name=worker.name,
			host=worker.host,
			pid=worker.pid,
			queues=",".join(worker.queues),
			state=worker.state.value if worker.name in alive else "stale",
			job=worker.job_id,
			age=max(0.0, now - worker.born),
			heartbeat=max(0.0, now - worker.heartbeat),
			memory=memory_of(worker, patient) if worker.name in alive else None,
		)


def memory_of(worker: Worker, patient: Patient) -> int | None:
	if worker not in patient.look.local:
		return None
	table = process_table(patient)
	row = table.rows.get(worker.pid)
	return table.memory(row) if row else None


@detail("running-jobs", "Running jobs")
def running_jobs(patient: Patient) -> Iterator[RunningJobRow]:
	runners = {worker.job_id: worker for worker in patient.look.workers if worker.job_id}
	for id, job in patient.running.items():
		worker = runners.get(id)
		yield RunningJobRow(
			id=id,
			site=job.site,
			method=job.method,
			queue=job.queue,
			elapsed=max(0.0, patient.look.time - job.started) if job.started else None,
			limit=job.timeout,
			worker=worker.name if worker else "",
			pid=worker.pid if worker else None,
		)
