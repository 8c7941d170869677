"""Jobs that a worker popped and never started go back to the front of their queue. Those that started never do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from fmx_restart.adapters.redis_queue.lost import LostJob
from fmx_restart.doctor.fix import Step, fix
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.standstill import standstill
from fmx_restart.doctor.words import count, job_name, listed, span

ONE_BY_ONE = 10  # more jobs than these are asked for by queue


@fix("put-back")
def put_back(patient: Patient) -> Iterator[Step]:
	lost = sorted((*patient.lost_jobs.ghosts, *patient.lost_jobs.stranded), key=lambda job: job.queue)
	batches = [[job] for job in lost]
	if len(lost) > ONE_BY_ONE:
		batches = [list(jobs) for _, jobs in groupby(lost, key=lambda job: job.queue)]
	for batch in batches:
		yield Step(describe(patient, batch), partial(push, patient, [job.id for job in batch]))


def describe(patient: Patient, batch: Sequence[LostJob]) -> str:
	known = patient.queue.describe([job.id for job in batch])
	names = listed([job_name(known.get(job.id), job.id) for job in batch])
	ages = sorted({span(time.time() - job.enqueued) for job in (batch[0], batch[-1]) if job.enqueued})
	told = f", enqueued {' to '.join(ages)} ago" if ages else ""
	return f"Put {count(len(batch), 'job')} back to the front of {batch[0].queue}{told}: {names}"


def push(patient: Patient, ids: Sequence[str]) -> str:
	"""Only those that are still in no list then: the script looks and pushes in one act (adapters put_back)."""
	with standstill(patient) as held:
		outcome = patient.queue.put_back(ids, held.fence, held.beat)
	others = len(ids) - len(outcome.pushed) - len(outcome.refused)
	rest = f"; {count(others, 'job')} had been put back or removed by somebody else" if others else ""
	refused = (
		f"; {count(len(outcome.refused), 'job')} left, because the suspension ended too early"
		if outcome.refused
		else ""
	)
	return f"{count(len(outcome.pushed), 'job')} put back{rest}{refused}."
