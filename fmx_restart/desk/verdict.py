"""Whether a restart can begin now, for Desk and the API, in the user's language and as this site may see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from frappe import _

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.desk import access
from fmx_restart.desk.bench import Held, cached
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Job, Look
from fmx_restart.engine.verdict import (
	AtWork,
	Situation,
	Verdict,
	first_sentence,
	for_other_sites,
	recommended,
	refused,
	verdict,
	verdict_of_plan,
)
from fmx_restart.wiring import process_manager

MANAGER_FOR = 5  # seconds that an answer of the process manager is good for


def now(queue: RedisQueue, look: Look, jobs: Iterable[Job], held: Held | None) -> dict[str, Any]:
	"""
	Of a restart with the strategy that is recommended, which strategy that is, and why. The code on the disk is looked at by
	the preview only. Raises OperationError.
	"""
	jobs = tuple(jobs)
	usual = queue.usual_durations({job.method for job in jobs}) if jobs else {}
	fault = cached("manager", MANAGER_FOR, manager_fault)
	situation = Situation.of_look(look, jobs, usual, at_work=at_work(held), refusals=[fault] if fault else [])
	strategy, why = recommended(situation, Options(), _)
	found = verdict(situation, Options(strategy), _)
	return {
		"verdict": shown(found, is_known=bool(held) or not fault).as_dict(),
		"recommended": strategy.value,
		"why": why,
	}


def of_error(error: OperationError) -> dict[str, Any]:
	"""As `now`, where the bench could not be looked at."""
	found = refused(first_sentence(str(error)), _)
	return {
		"verdict": shown(found, is_known=False).as_dict(),
		"recommended": Strategy.WAIT_WORKERS.value,
		"why": "",
	}


def of_plan(plan: Plan, options: Options, held: Held | None) -> Verdict:
	"""`plan`: all of it. A reason that may name what other sites must not see is left out there."""
	found = verdict_of_plan(plan, options, at_work(held), _)
	return shown(found, is_known=bool(held))


def shown(found: Verdict, *, is_known: bool) -> Verdict:
	"""On other sites than a control site a refusal that is not known to everybody says only where to ask."""
	return found if access.current().is_control or is_known else for_other_sites(found, _)


def at_work(held: Held | None) -> AtWork | None:
	"""Who holds the bench, as a verdict names it."""
	return AtWork(held.operation, held.phase) if held else None


def manager_fault() -> str:
	"""Why no process manager answers; empty where one does."""
	try:
		process_manager().list()
	except OperationError as error:
		return first_sentence(str(error))
	return ""
