"""Where an operation stands, its events, which there were, and what a restart would do."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import frappe
from frappe import _
from frappe.utils import get_datetime, now_datetime

from fmx_restart.adapters.journal import fact_in
from fmx_restart.console.headline import headline
from fmx_restart.console.plan import order, plan_sentence
from fmx_restart.console.sentences import finding_sentence, plan_warnings, sentence
from fmx_restart.desk import access, bench, rows, verdict
from fmx_restart.desk.access import current, for_desk, holder_text
from fmx_restart.desk.consequences import consequences
from fmx_restart.desk.json_safe import json_safe
from fmx_restart.desk.own_view import BENCH, OwnView
from fmx_restart.desk.projection import end_of
from fmx_restart.desk.refusals import refuse
from fmx_restart.desk.scheduled_entry import starts_at
from fmx_restart.desk.start import StartArguments
from fmx_restart.desk.vocabulary import offered_strategies
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.identity import is_operation_id
from fmx_restart.engine.migration import Finding
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.plan import Plan, elapsed, most_left
from fmx_restart.engine.ports import Job
from fmx_restart.engine.steps.findings import refusals
from fmx_restart.engine.verdict import recommended, situation_of_plan
from fmx_restart.wiring import plan_restart

MOST_BYTES = 512 * 1024  # bytes in one answer


def feed_of(operation: str, cursor: int) -> dict[str, Any]:
	"""`cursor` is a byte offset: it means the same after every restart of the web server."""
	row = row_of(operation)
	facts, cursor = facts_since(operation, max(0, cursor))
	phase = phase_of(row, held_by())
	return {
		"operation": row.name,
		"status": row.status,
		"phase": phase,
		"is_over": row.is_over,
		"may": access.requests_to(operation, row.status, phase),
		"cursor": cursor,
		"facts": facts,
	}


def facts_since(operation: str, cursor: int) -> tuple[list[dict], int]:
	"""Whole lines only: the last one may be half written."""
	try:
		with bench.journal_of(operation).open("rb") as journal:
			journal.seek(cursor)
			text = journal.read(MOST_BYTES)
			if b"\n" not in text:
				text += journal.readline()  # one line may be longer
	except FileNotFoundError:
		return [], cursor
	whole = text[: text.rfind(b"\n") + 1]
	view, lines = access.view_of(operation), whole.decode(errors="replace").split("\n")[:-1]
	entries = [feed_line(line, view) for line in lines]
	return [entry for entry in entries if entry], cursor + len(whole)


def feed_line(line: str, view: OwnView | None) -> dict[str, Any] | None:
	"""None for one that this site does not see. Of one that is not understood only the sentence, on control sites."""
	time, fact = fact_in(line)
	if view:
		if (fact := view.fact(fact)) is None:
			return None
		line = json_line(fact, time)
	text = "\n".join(end_of(fact)) if isinstance(fact, events.Ended) else sentence(fact)
	fields = {} if isinstance(fact, events.NotUnderstood) else json_safe(json.loads(line))
	level = headline(fact.report).level if isinstance(fact, events.Ended) else fact.level
	answer = {"time": time or None, "event": type(fact).__name__, "level": level.value}
	return {**answer, "sentence": text, "fact": fields}


def preview_of(asked: StartArguments) -> dict[str, Any]:
	"""What these options would do now, and what to type for the same. Nothing is changed. Raises OperationError."""
	options = asked.options
	plan, held = plan_restart(options), bench.held()
	is_control = current().is_control
	found = verdict.of_plan(plan, options, held)
	if not is_control:
		plan = OwnView(current().site).plan(plan)
	answer = {
		"verdict": found.as_dict(),
		"bench": bench.bench_id() if is_control else BENCH,
		"holder": holder_text(held),
		"access": for_desk(),
		"command": asked.command,
		"scheduled": starts_at(asked.when) if asked.when else None,
		**preview_of_plan(plan, options.strategy),
		"findings": findings_of(plan, options),
		**preview_of_options(plan, options),
	}
	return json_safe(answer)


def preview_of_plan(plan: Plan, strategy: Strategy) -> dict[str, Any]:
	"""What the bench does just now, and what would be done with it."""
	now = time.time()
	return {
		"sentence": plan_sentence(plan),
		"steps": [
			{"hosts": list(step.hosts), "when": _(step.when), "processes": list(step.processes)}
			for step in order(plan, strategy)
		],
		"left_alone": [process.name for process in plan.left_alone],
		"hosts": list(plan.every_host),
		"host_groups": [list(hosts) for hosts in plan.hosts],
		"can_update_config": plan.configuration.is_possible,
		"jobs": [job_entry(job, now) for job in plan.jobs],
		"queued": plan.depths,
		"idle_workers": plan.idle_workers,
		"likely": plan.likely,
		"longest": plan.longest,
		"suspension": plan.strangers_suspension,
		"warnings": plan_warnings(plan),
	}


def findings_of(plan: Plan, options: Options) -> list[dict[str, Any]]:
	"""What speaks against a migration. `refuses`: the preflight would end with it."""
	refused = refusals(options, plan.findings, is_drained=False)
	return [
		{**asdict(finding), "sentence": alone(finding), "refuses": finding in refused}
		for finding in plan.findings
	]


def alone(finding: Finding) -> str:
	"""Its sentence where none of ours comes before it: with a capital, unless it begins with a site's name."""
	text = finding_sentence(finding)
	return text if finding.site else text[:1].upper() + text[1:]


def preview_of_options(plan: Plan, options: Options) -> dict[str, Any]:
	"""What was chosen, what we would choose, and what follows."""
	strategy, why = recommended(situation_of_plan(plan, options), options, _)
	return {
		"drain_timeout": options.drain_timeout,
		"strategy": options.strategy.value,
		"recommended": strategy.value,
		"why": why,
		"consequences": consequences(options, plan),
		"strategies": offered_strategies(),
	}


def job_entry(job: Job, now: float) -> dict[str, Any]:
	"""Never its arguments: this dict is all that leaves the bench about a job."""
	names = {"id": job.id, "site": job.site, "method": job.method, "queue": job.queue}
	return {**names, "elapsed": elapsed(job, now), "most_left": most_left(job, now)}


PATIENCE = 10.0  # seconds for a worker to take the job that launches an operation
MOST = 100  # rows in one answer
STATUS = ("status", "phase", "strategy", "started", "finished", "duration", "exit_code")
FAILURE = ("failure", "reason", "remedy")
ENDING = ("headline", "failed_in")  # not there before the first migration to this version
HISTORY = (
	*("status", "phase", "strategy", "migrate", "origin", "requested_by", "started", "finished", "duration"),
	*("jobs_waited_for", "jobs_interrupted", "jobs_lost", "web_outage", "web_answers", "reason"),
)


def status_of(operation: str) -> dict[str, Any]:
	"""One operation, or without a name the running one, or the newest. Raises DoesNotExistError for a name of none."""
	held = held_by()
	name = operation or (held.operation if held else newest())
	if not name:
		return {
			"operation": None,
			"holder": None,
			"time_zone": bench.zone_name(),
			"access": access.for_desk(),
		}
	row = row_of(name)
	names = (*STATUS, *FAILURE, *ENDING)
	fields = {field: row.get(field) for field in names} | {"phase": phase_of(row, held)}
	if not row.finished:
		fields |= {"finished": None}
	if not row.finished or row.failure == rows.NEVER_LAUNCHED:
		fields |= {"duration": None, "exit_code": None}
	waited = queued_for(row)
	return {
		"operation": row.name,
		**fields,
		"is_over": row.is_over,
		"succeeded": row.status == "Done",
		"queued_for": waited,
		"may_start_from_web": waited is not None and waited > PATIENCE,
		"holder": access.holder_text(held),
		"time_zone": bench.zone_name(),
		"access": access.for_desk(),
	}


def phase_of(row: frappe._dict, held: bench.Held | None) -> str:
	"""A running operation's lock says it at once; its row follows within seconds."""
	return held.phase if rows.is_running(row, held) and held.phase else row.phase


def history_of(limit: int, offset: int, status: str) -> dict[str, Any]:
	"""Past operations, newest first; at most MOST at a time."""
	listed = frappe.get_all(
		rows.DOCTYPE,
		filters={"status": status} if status else {},
		fields=["name", *HISTORY],
		order_by="started desc",
		limit_start=max(0, offset),
		limit_page_length=min(max(1, limit), MOST),
	)
	operations = [{"operation": row.pop("name"), **with_known_outage(row)} for row in listed]
	return {"operations": operations, "time_zone": bench.zone_name()}


def with_known_outage(row: frappe._dict) -> frappe._dict:
	"""`web_outage` is None where nobody measured it: a column of numbers holds 0 there."""
	if not row.pop("web_answers"):
		row.web_outage = None
	return row


def row_of(operation: str) -> frappe._dict:
	"""One that another site asked for has no row here before its journal begins."""
	row = is_operation_id(operation) and (row_here(operation) or row_elsewhere(operation))
	if not row:
		text = _("There is no operation {0}.").format(operation)
		refuse(text, code="NotFound", kind=frappe.DoesNotExistError)
	row.is_over = row.status in rows.OVER
	return row


def row_here(operation: str) -> frappe._dict | None:
	"""The fields of the row in this site's database; None where there is none."""
	meta = frappe.get_meta(rows.DOCTYPE)
	ending = [name for name in ENDING if meta.has_field(name)]
	return frappe.db.get_value(rows.DOCTYPE, operation, ["name", *STATUS, *FAILURE, *ending], as_dict=True)


def changed_row(operation: str, modified: str) -> dict[str, Any] | None:
	"""The whole record, for whoever may read it, as Frappe's own client gets it. None where it is the one of `modified`."""
	found = frappe.db.get_value(rows.DOCTYPE, operation, "modified")
	if found is None or str(found) == modified:
		return None
	doc = frappe.get_doc(rows.DOCTYPE, operation)
	doc.check_permission("read")
	doc.apply_fieldlevel_read_permissions()
	return doc.as_dict()


def row_elsewhere(operation: str) -> frappe._dict | None:
	"""Another site asked for it, and it waits to be launched; None where that is not so."""
	waiting = bench.ticket().waiting()
	is_waiting = waiting and waiting.operation == operation
	return frappe._dict(name=operation, status="Queued") if is_waiting else None


def queued_for(row: frappe._dict) -> float | None:
	"""Seconds; None for one that is launched, or was never queued."""
	if row.status != "Queued" or not row.started:
		return None
	try:
		waiting = bench.ticket().waiting()
	except OperationError:
		return None
	is_waiting = waiting and waiting.operation == row.name and not waiting.is_launched
	return (now_datetime() - get_datetime(row.started)).total_seconds() if is_waiting else None


def held_by() -> bench.Held | None:
	"""The running operation; None also where Redis does not answer."""
	try:
		return bench.held()
	except OperationError:  # the rows are still worth telling
		return None


def newest() -> str | None:
	"""Rows whose name is no operation id are not ours."""
	names = frappe.get_all(
		rows.DOCTYPE,
		filters={"name": ("like", "________-______-____")},
		order_by="started desc",
		limit_page_length=MOST,
		pluck="name",
	)
	return next(filter(is_operation_id, names), None)
