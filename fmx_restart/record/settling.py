"""Rows that no journal brings any further: never launched, or their process is gone."""

from __future__ import annotations

import time
from pathlib import Path

import frappe

from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.adapters.unfinished import left_by
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.operation_id import is_operation_id
from fmx_restart.record import here, row_events, rows, start_order
from fmx_restart.record.access import current
from fmx_restart.record.launching import never_launched
from fmx_restart.record.own_view import FAILURES, REMEDY

#: Seconds after the death of an operation's process in which its guardian begins to put things right
GUARDIAN_WITHIN = 15.0
LONGEST = 4000  # characters of what an operation printed
NOBODY = "No worker was free to launch it in time, or Redis was restarted and forgot that it waited."
COULD_NOT_BEGIN = "The bench was not ready for it. The people who run the bench find the cause in its logs."
DIED = "Its process died{where}, and what it left was not recovered yet."
RECOVER = (
	"Type{where}: bench safe-restart --recover. The next operation there does so as well, before it begins."
)


def settle() -> list[str]:
	"""Names of the rows that were written. Nothing can be said while Redis is away."""
	try:
		waiting, held = here.ticket().waiting(), here.held()
	except OperationError:
		return []
	coming = {thing.operation for thing in (waiting, held) if thing}
	found = frappe.get_all(rows.DOCTYPE, {"status": ("in", ("Queued", "Running"))}, ["name", "status"])
	fates = {
		row.name: fate(row.name, row.status, row.name in coming) for row in found if is_operation_id(row.name)
	}
	return [name for name, values in fates.items() if values and write(name, values)]


def fate(operation: str, status: str, is_coming: bool) -> rows.Row | None:
	"""How it ended, as far as can be told without its journal's end. None while it may still go on."""
	journal = here.journal_of(operation)
	was_launched = here.output_of(operation).exists()  # such a one has ended when its process has
	is_hopeless = here.is_over(operation) or not (is_coming or was_launched)
	if status == "Queued" and not journal.exists() and is_hopeless:
		return never_launched(why_not(operation))
	if status == "Running" and not is_coming and is_abandoned(journal):
		return {"status": "Failed", "failure": "ProcessDied", "finished": time.time(), **why_dead(journal)}
	return None


def write(operation: str, values: rows.Row) -> bool:
	if values.get("failure") == rows.NEVER_LAUNCHED:
		start_order.remove(here.journal_folder(), operation)
	row_events.run(operation, rows.update(operation, values))
	return True


def why_not(operation: str) -> str:
	"""What it printed may name hosts, paths and other sites."""
	told = told_by_itself(operation)
	if told and not current().is_control:
		return COULD_NOT_BEGIN
	return told or NOBODY


def why_dead(journal: Path) -> rows.Row:
	"""On which host, and what to type there, is for control sites."""
	if not current().is_control:
		return {"reason": FAILURES["ProcessDied"], "remedy": REMEDY}
	return {"reason": DIED.format(where=where(journal)), "remedy": RECOVER.format(where=where(journal))}


def told_by_itself(operation: str) -> str:
	try:
		return here.output_of(operation).read_text(errors="replace").strip()[-LONGEST:]
	except OSError:
		return ""


def where(journal: Path) -> str:
	"""Empty for this machine. Any other has to recover it itself."""
	left = left_by(journal) if journal.exists() else None
	return "" if left is None or left.is_ours else f" on {left.host}"


def is_abandoned(journal: Path) -> bool:
	"""Nobody works on it, and that for a while. One that was pruned away says nothing any more, either."""
	try:
		return not is_worked_on(journal) and time.time() - journal.stat().st_mtime > GUARDIAN_WITHIN
	except OSError:
		return True
