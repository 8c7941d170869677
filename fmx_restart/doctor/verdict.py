"""Whether a restart can begin now, by what the doctor sees of the bench. The code on the disk is not looked at."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.plan import is_worth_naming
from fmx_restart.engine.verdict import (
	AtWork,
	Situation,
	Verdict,
	first_sentence,
	refused,
	verdict_of_recommended,
)


def verdict_of_bench(view: BenchView) -> Verdict:
	"""Of a restart with the strategy that fits. Where the queue's Redis does not answer it would be refused."""
	try:
		return verdict_of_recommended(situation_of(view))
	except OperationError as error:
		return refused(first_sentence(str(error)))


def situation_of(view: BenchView) -> Situation:
	"""Raises OperationError."""
	now = view.look.time
	jobs = [job for job in view.running.values() if is_worth_naming(job, now)]
	usual = view.queue.usual_durations({job.method for job in jobs}) if jobs else {}
	at_work = AtWork.of_note(view.lock_note)
	return Situation.of_look(view.look, jobs, usual, at_work=at_work, refusals=refusals_of(view))


def refusals_of(view: BenchView) -> Iterator[str]:
	"""Why a restart cannot begin: no process manager answers."""
	try:
		_ = view.processes
	except OperationError as error:
		yield first_sentence(str(error))
