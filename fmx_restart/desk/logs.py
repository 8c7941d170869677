"""What a person looks up about a fault: the end of a program's log, and the page of one of the doctor's checks."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from typing import Any

import frappe
from frappe import _

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.log_text import lines_to_show
from fmx_restart.desk import access, bench
from fmx_restart.desk.live import look_at_jobs
from fmx_restart.desk.refusals import refuse
from fmx_restart.doctor.explain import explain
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import LogTail, Process, Processes, Survey
from fmx_restart.engine.workers import runners
from fmx_restart.wiring import process_manager

MOST_LINES = 10_000  # of one log: as many as bench safe-restart logs shows, and as many as are looked at


def explanation(check: str) -> dict[str, Any]:
	"""Raises DoesNotExistError. Where Redis is, a site that does not command the bench need not know."""
	try:
		return {"check": check, "text": explain(check, has_address=access.current().is_control)}
	except WrongEnvironment as error:
		return refuse(str(error), code="NotFound", remedy=error.hint, kind=frappe.DoesNotExistError)


def log_of(program: str, worker: str, count: int) -> dict[str, Any]:
	"""
	A worker's log has what its jobs wrote and the arguments that they were called with: that is for a person with a shell on
	the bench. Raises PermissionError, ValidationError, DoesNotExistError, WrongEnvironment, ProcessFault.
	"""
	check(program or worker, count)
	manager = process_manager()
	survey = manager.survey()
	processes = answering(survey)
	name = name_of(program, processes) if program else program_of(worker, processes)
	shared = files_of(manager, (process.name for process in processes if process.name != name))
	tails = manager.log_tails(name, MOST_LINES)
	return {
		"program": name,
		"logs": [shown(tail, count, is_shared=bool(survey.away) or tail.source in shared) for tail in tails],
		"note": note(tails),
		"command": f"bench safe-restart logs {shlex.quote(name)}",
	}


def answering(survey: Survey) -> Collection[Process]:
	"""
	The programs of the managers that answer: what those of another one write into is not known, so that every log may be
	shared then. Raises ProcessFault where none answers.
	"""
	if survey.away and not survey.processes:
		raise next(iter(survey.away.values()))
	return survey.processes


def check(wanted: str, count: int) -> None:
	"""Raises PermissionError and ValidationError."""
	access.only_for(access.MANAGER)
	access.check_control()
	if not wanted:
		refuse(_("The argument {0} is missing.").format("program"), code="MissingArgument")
	if not 1 <= count <= MOST_LINES:
		refuse(_("A number of lines is from 1 to {0}.").format(MOST_LINES), code="InvalidArgument")


def note(tails: Collection[LogTail]) -> str:
	"""What a reader of the answer should know."""
	if not tails:
		return _("This program has no log of its own.")
	return _("Lines from and about jobs are left out.")


def name_of(program: str, processes: Collection[Process]) -> str:
	"""Raises DoesNotExistError for one that this bench does not have."""
	names = sorted(process.name for process in processes)
	if program not in names:
		text = _("This bench has no program {0}.").format(program[:140])
		known = _("Its programs: {0}.").format(", ".join(names))
		refuse(text, code="NotFound", remedy=known, kind=frappe.DoesNotExistError)
	return program


def program_of(worker: str, processes: Collection[Process]) -> str:
	"""The one that runs the worker of this name. Raises DoesNotExistError where no manager of this bench does."""
	look, _jobs, _queue = look_at_jobs()
	process = runners(processes, look, ThisHost(bench.bench_folder())).get(worker)
	if process is None:
		text = _("No program of this bench runs the worker {0}.").format(worker[:140])
		reason = _("It has ended, was started by hand, or runs on another machine.")
		refuse(text, code="NotFound", remedy=reason, kind=frappe.DoesNotExistError)
	return process.name


def files_of(manager: Processes, names: Iterable[str]) -> set[str]:
	"""The paths of their logs."""
	return {path for name in names for path in manager.log_files(name) if path}


def shown(tail: LogTail, count: int, *, is_shared: bool) -> dict[str, Any]:
	"""As the API answers it."""
	lines = lines_to_show(tail, count, is_shared=is_shared)
	return {"source": tail.source, "lines": lines, "fault": tail.fault}
