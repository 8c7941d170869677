"""The ledger: opened before the fence, closed under it, told afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.clock_steps import MARGIN
from fmx_restart.engine.errors import JobsLost, ProcessFault
from fmx_restart.engine.ledger import Account, Ledger
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Inventory
from fmx_restart.engine.relay import Leg, Relay
from fmx_restart.engine.steps.web import left_stopped
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import running_jobs

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


READ_LOGS = "Read the log of each failed process (the last lines are above), repair the cause, and type the same command again."
REASONS = 3  # of failed processes in one message
SETTLING = Patience(timeout=5.0, poll=0.2)


def open_ledger(operation: Operation) -> None:
	older = abandoned_before(operation)
	operation.ledger = Ledger(operation.bench.queue.inventory(), older)
	operation.ledger_opened = operation.bench.clock.now()


def close_ledger(operation: Operation) -> None:
	"""
	Count every job, put ghosts back, lift the fence. All of it under the fence: nobody pops a job meanwhile,
	so a hash that says queued while its id is in no list was lost for certain, and cannot run twice. Where the fence
	lapsed meanwhile somebody may be popping just now: then nothing is put back.
	"""
	if not operation.fence_stood:
		close_ledger_on_the_move(operation)
		operation.unfence()
		return
	queue, ledger = operation.bench.queue, operation.ledger
	ledger.seen_running |= operation.running.keys()
	suspects = queue.unlisted(ledger.waiting_before)
	after = queue.inventory()
	statuses = queue.statuses(ledger.unplaced(after))
	abandoned = abandoned_jobs(operation)
	account = ledger.close(after, statuses, data_lost=is_data_lost(operation), abandoned=abandoned)
	ghosts = {id: since for id, since in suspects.items() if id not in after.places}
	opened = ledger.before.time - set_back_by(operation, after)
	newer = [id for id, since in ghosts.items() if since >= opened and id not in account.lost]
	account.arrived += len(newer)
	account.older_ghosts = len(ghosts.keys() - {*account.lost, *newer})
	put_back(operation, account, [*account.lost, *newer])
	operation.report.account = account
	tell_abandoned(operation, account)
	operation.unfence()


def set_back_by(operation: Operation, after: Inventory) -> float:
	"""Seconds by which Redis' clock was set back since the ledger was opened: jobs that came since look older by so much."""
	elapsed = operation.bench.clock.now() - operation.ledger_opened
	missing = elapsed - (after.time - operation.ledger.before.time)
	return missing if missing > MARGIN else 0.0


def close_ledger_on_the_move(operation: Operation) -> None:
	"""
	Count every job while workers run. A job that is just being popped stands in no list for some milliseconds: whoever
	is in none is asked for again, and only told, never put back: without a fence it could run twice.
	"""
	queue, ledger = operation.bench.queue, operation.ledger
	ledger.seen_running |= operation.running.keys()

	def is_settled() -> bool:
		after = queue.inventory()
		statuses = queue.statuses(ledger.unplaced(after))
		operation.report.account = ledger.close(after, statuses, data_lost=is_data_lost(operation))
		return not {"queued", "started"} & set(statuses.values())

	if not operation.wait(is_settled, SETTLING) and operation.report.account is None:
		operation.insist(is_settled)


def abandoned_jobs(operation: Operation) -> set[str]:
	"""Their workers were killed by somebody else: RQ lists them as running until it gives them up minutes later."""
	look = operation.look()
	ids = {job.id for job in look.started} - {job.id for job in running_jobs(look)}
	statuses = operation.bench.queue.statuses(ids) if ids else {}
	return {
		id for id, status in statuses.items() if status == "started"
	}  # RQ can leave entries of others behind


def abandoned_before(operation: Operation) -> set[str]:
	"""By an accident of earlier. Where a job's process is left without its worker, that may be theirs: then none is."""
	found = abandoned_jobs(operation)
	return set() if found and operation.orphans(operation.look()) else found


def tell_abandoned(operation: Operation, account: Account) -> None:
	killed = {job.id for job in operation.report.interrupted}
	abandoned = [*account.interrupted, *account.older_interrupted]
	ids = [id for id in abandoned if id not in killed and id in operation.running]
	if ids:
		operation.emit(events.JobsAbandoned(tuple(operation.running[id] for id in ids)))


def is_data_lost(operation: Operation) -> bool:
	"""Our lock was gone before its time, and so is every job that nobody but Redis could have touched."""
	if operation.lock_stood:
		return False
	statuses = operation.bench.queue.statuses(operation.ledger.witnesses)
	return bool(statuses) and not any(statuses.values())


def put_back(operation: Operation, account: Account, ghosts: list[str]) -> None:
	"""One that somebody else put back, or removed, just before us is not lost either."""
	if not ghosts:
		return
	queue = operation.bench.queue
	returned = queue.put_back(ghosts)
	account.requeued += len(returned)
	others = set(ghosts) - set(returned)
	statuses, places = queue.statuses(others), queue.inventory().places if others else {}
	account.lost = sorted(id for id in others if statuses[id] == "queued" and id not in places)
	found = others - set(account.lost)
	account.waiting += len(found & places.keys())
	account.removed += len(found - places.keys())
	if returned:
		operation.emit(events.JobsPutBack(tuple(returned)))


def audit(operation: Operation, relays: list[Relay]) -> None:
	"""Raises ProcessFault or JobsLost when the operation must not be called Done."""
	operation.enter(Phase.AUDIT)
	account = operation.report.account or Account()
	failed = [relay for relay in relays if relay.leg is Leg.FAILED]
	if failed:
		raise ProcessFault(
			f"{len(failed)} of {len(relays)} processes failed: {with_reasons(failed)}. {outcome_of_the_rest(operation, relays)}"
			f" The queue keeps running; {len(account.lost)} of {account.total} jobs were lost.",
			hint=" ".join(dict.fromkeys(filter(None, (relay.remedy for relay in failed)))) or READ_LOGS,
		)
	if account.lost or not account.is_balanced:
		raise JobsLost(
			f"{len(account.lost)} of {account.total} jobs lost: {', '.join(account.lost[:10])}."
			" All processes were restarted, the queue moves.",
			hint="Their hashes are still in Redis (rq:job:<id>); the journal lists them all.",
		)
	if stopped := left_stopped(operation, relays):
		command = operation.bench.processes.start_command(stopped)
		raise ProcessFault(
			f"Web does not answer: {', '.join(stopped)} is stopped, and was left alone."
			f" All others were restarted. The queue keeps running; {len(account.lost)} of {account.total} jobs were lost.",
			hint=f"Start it: {command}. To restart the bench without web, add --no-web.",
		)


def with_reasons(failed: list[Relay]) -> str:
	"""Of the first few; those of all were told when they failed."""
	first = [f"{relay.old.name} ({relay.reason})" for relay in failed[:REASONS]]
	return "; ".join([*first, *(relay.old.name for relay in failed[REASONS:])])


def outcome_of_the_rest(operation: Operation, relays: list[Relay]) -> str:
	"""A rolling restart that stopped leaves some processes as they were; every other strategy restarts all."""
	untouched = operation.report.not_replaced
	if not untouched:
		return "All others were restarted."
	replaced = [relay.old.name for relay in relays if relay.leg is Leg.UP]
	return (
		f"Replaced: {', '.join(replaced) or 'none'}."
		f" Not touched, in service with the old code: {', '.join(untouched)}."
	)
