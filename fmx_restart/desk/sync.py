"""The rows of this site, brought to where the journals are; and rows that no journal brings any further."""

from __future__ import annotations

import time
from pathlib import Path

import frappe
from frappe import _
from frappe.utils import now_datetime

from fmx_restart.adapters.control_sites import Mode
from fmx_restart.adapters.guardian_process import GUARDIAN_WITHIN
from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.adapters.journals import left_by
from fmx_restart.adapters.site_config import file_lock
from fmx_restart.desk import access, bench, rows, start_order
from fmx_restart.desk.access import current
from fmx_restart.desk.launch import never_launched
from fmx_restart.desk.notify import notify
from fmx_restart.desk.own_view import FAILURES, REMEDY
from fmx_restart.desk.projection import JournalProjection, Row
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.identity import is_operation_id

LONGEST = 4000  # characters of what an operation printed
NOBODY = "No worker was free to launch it in time, or Redis was restarted and forgot that it waited."
COULD_NOT_BEGIN = "The bench was not ready for it. The people who run the bench find the cause in its logs."
DIED = "Its process died{where}, and what it left was not recovered yet."
RECOVER = (
	"Type{where}: bench safe-restart recover. The next operation there does so as well, before it begins."
)


def settle() -> list[str]:
	"""Names of the rows that were written. Nothing can be said while Redis is away."""
	try:
		waiting, held = bench.ticket().waiting(), bench.held()
	except OperationError:
		return []
	coming = {ticket.operation for ticket in (waiting, held) if ticket}
	open_rows = frappe.get_all(rows.DOCTYPE, {"status": ("in", rows.OPEN)}, ["name", "status"])
	outcomes = {
		row.name: outcome(row.name, row.status, row.name in coming)
		for row in open_rows
		if is_operation_id(row.name)
	}
	return [name for name, values in outcomes.items() if values and close_row(name, values)]


def outcome(operation: str, status: str, is_coming: bool) -> rows.Row | None:
	"""How it ended, as far as can be told without its journal's end. None while it may still go on."""
	journal = bench.journal_of(operation)
	was_launched = bench.output_of(operation).exists()  # such a one has ended when its process has
	is_hopeless = bench.is_over(operation) or not (is_coming or was_launched)
	if status == "Queued" and not journal.exists() and is_hopeless:
		return never_launched(launch_failure(operation))
	if status == "Running" and not is_coming and is_abandoned(journal):
		return {
			"status": "Failed",
			"failure": "ProcessDied",
			"finished": time.time(),
			**death_reason(journal),
		}
	return None


def close_row(operation: str, values: rows.Row) -> bool:
	"""The operation is over. The order of one that never began is removed with it."""
	if values.get("failure") == rows.NEVER_LAUNCHED:
		start_order.remove(bench.journal_folder(), operation)
	before = rows.update(operation, values)
	rows.run(operation, before)
	# other control sites have a row of it, too
	is_own = access.starter_of(operation) in (
		None,
		frappe.local.site,
	)
	if before.origin == "Schedule" and is_own:  # whoever scheduled it does not watch
		notify(
			before.user,
			_("The scheduled restart {0} has failed").format(operation),
			operation,
			values["reason"],
		)
		frappe.db.commit()
	return True


def launch_failure(operation: str) -> str:
	"""Why it did not begin. What it printed may name hosts, paths and other sites, so only a control site sees that."""
	printed = own_account(operation)
	if printed and not current().is_control:
		return COULD_NOT_BEGIN
	return printed or NOBODY


def death_reason(journal: Path) -> rows.Row:
	"""Fields `reason` and `remedy`. Only a control site sees on which host it died, and what to type there."""
	if not current().is_control:
		return {"reason": FAILURES["ProcessDied"], "remedy": REMEDY}
	return {"reason": DIED.format(where=where(journal)), "remedy": RECOVER.format(where=where(journal))}


def own_account(operation: str) -> str:
	"""What the launched process has printed, its end; empty where it printed nothing."""
	try:
		return bench.output_of(operation).read_text(errors="replace").strip()[-LONGEST:]
	except OSError:
		return ""


def where(journal: Path) -> str:
	"""Empty for this machine. Any other has to recover it itself."""
	operation = left_by(journal) if journal.exists() else None
	return "" if operation is None or operation.is_ours else f" on {operation.host}"


def is_abandoned(journal: Path) -> bool:
	"""Nobody works on it, and that for a while. One that was pruned away says nothing any more, either."""
	try:
		return not is_worked_on(journal) and time.time() - journal.stat().st_mtime > GUARDIAN_WITHIN
	except OSError:
		return True


PATIENCE = 10.0  # seconds that we wait for another one that is catching up
DAY = 24 * 60 * 60
KEPT = 8  # journals whose projection stays in memory
#: By site, its mode and path, the one used last at the end
projections: dict[tuple[str, Mode, str], JournalProjection] = {}
PAUSE = 10.0  # seconds between two writes of a running operation's row, unless its phase changes
AT_ONCE = 256 * 1024  # bytes of a running operation's journal that one answer reads: some hundred facts
FAILED = "fmx_restart_failed"  # key of the site's cache: how much of the journal there was when it could not be told


def catch_up() -> list[str]:
	"""Names of the operations whose rows were written. Commits: what a GET request writes would be rolled back."""
	if not rows.is_here() or frappe.flags.read_only or access.current().mode is Mode.OFF:
		return []
	if not behind() and not has_open_rows():
		return []
	try:
		with file_lock(Path(frappe.get_site_path("locks", "fmx_restart_record.lock")), PATIENCE):
			frappe.db.commit()  # ends our view of the database: rows that another one wrote just now must be seen
			return [name for name, path in behind().items() if write_journal(name, path)] + settle()
	except WrongEnvironment:  # someone else is at it
		return []


def behind() -> dict[str, Path]:
	"""Journals that say more than their rows, or have none: operation → path."""
	journals = {path.stem: path for path in bench.journal_folder().glob("*.jsonl")}
	known, current = rows.known(journals), current_operation()
	new = [name for name in journals if name not in known]
	unwanted = rows.deleted() if new else set()
	oldest = time.time() - rows.retention_days() * DAY if new else 0.0
	return {
		name: path
		for name, path in sorted(journals.items())
		if not has_failed(name, path)
		and (is_behind(known[name], path, current) if name in known else is_wanted(path, unwanted, oldest))
	}


def current_operation() -> bench.Held | None:
	"""Unknown while Redis is away: rows are written all the same."""
	try:
		return bench.held()
	except OperationError:
		return None


def is_behind(row: frappe._dict, path: Path, current: bench.Held | None) -> bool:
	"""A running operation tells something new at every poll; its row need not follow each line of its journal."""
	if row.journal_size == size(path):
		return False
	if not rows.is_running(row, current) or row.phase != current.phase:
		return True
	return (now_datetime() - row.modified).total_seconds() >= PAUSE


def has_failed(operation: str, path: Path) -> bool:
	"""Told in the error log once, not at every look: until its journal says more."""
	return frappe.cache().get_value(f"{FAILED}:{operation}") == size(path)


def is_wanted(path: Path, unwanted: set[str], oldest: float) -> bool:
	"""A journal with something in it that is not too old and that no row was deleted of."""
	return path.stem not in unwanted and size(path) > 0 and path.stat().st_mtime > oldest


def has_open_rows() -> bool:
	"""Some operation is not over yet, by this site's rows."""
	return bool(frappe.db.exists(rows.DOCTYPE, {"status": ("in", rows.OPEN)}))


def size(path: Path) -> int:
	"""Bytes."""
	return path.stat().st_size


def write_journal(operation: str, path: Path) -> bool:
	"""Whether its row was written. One journal that cannot be recorded does not keep the others from being recorded."""
	try:
		values = values_of(path)
		if values is None:
			return False
		before = rows.write(operation, values)
	except frappe.DuplicateEntryError:
		frappe.db.rollback()
		return False
	except Exception:  # noqa: BLE001 - whatever is wrong with this one is logged, the rest goes on
		frappe.db.rollback()
		projections.clear()  # one of them may have stopped in the middle
		log_fault(operation)
		frappe.cache().set_value(f"{FAILED}:{operation}", size(path), expires_in_sec=DAY)
		frappe.db.commit()
		return False
	rows.run(operation, before)
	return True


def log_fault(operation: str) -> None:
	"""Frappe's traceback holds the values of variables, and so the journal: only for those who may see all of it."""
	message = (
		None
		if access.current().is_control
		else "The people who run this bench find the cause in its journal."
	)
	frappe.log_error(title=f"Restart Operation {operation} cannot be recorded", message=message)


def values_of(path: Path) -> Row | None:
	"""
	None where there is no first line yet, or more of a running operation's journal than one answer has time for: the next
	one goes on where this one ended. Where such an operation stands now is known from its lock.
	"""
	projection = projection_of(path)
	may_wait = not is_closed(path) and frappe.db.exists(rows.DOCTYPE, path.stem)
	values = projection.read(AT_ONCE if may_wait else -1)
	if "started" not in values or (may_wait and not projection.is_complete):
		return None
	is_shown = access.current().is_control
	return {
		**values,
		"journal": str(path.relative_to(bench.bench_folder())) if is_shown else "",
		"journal_size": projection.size,
	}


def projection_of(path: Path) -> JournalProjection:
	"""Kept in this process: who polls a long operation waits only for what is new. Called under the site's lock."""
	mode = access.current().mode
	key = frappe.local.site, mode, str(path)
	kept = projections.pop(key, None)
	if kept is None or kept.size > size(path):  # a journal only grows: this is another file of the same name
		kept = JournalProjection(path, bench.site_zone(), access.view_of(path.stem))
	projections[key] = kept
	while len(projections) > KEPT:
		del projections[next(iter(projections))]
	return kept
