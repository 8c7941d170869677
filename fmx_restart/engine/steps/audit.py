"""The ledger: opened before the fence, closed under it, and the account that comes of it judged afterwards."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import FenceFault, JobsLost, ProcessFault
from fmx_restart.engine.format import following
from fmx_restart.engine.group_updates import cost_of
from fmx_restart.engine.ledger import LISTED, Account, Inventory, Ledger, Place, count
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import remedies_of, why_they_stay
from fmx_restart.engine.ports import Process, WebFault
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.report import GroupUpdate, Report, UpdateResult
from fmx_restart.engine.steps.web import left_stopped
from fmx_restart.engine.waiting import MARGIN, Patience
from fmx_restart.engine.workers import running_ids

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


READ_LOGS = "Read the log of each failed process (the last lines are above), repair the cause, and type the same command again."
REASONS = 3  # of failed processes in one message
SETTLING = Patience(timeout=5.0, poll=0.2)
ONCE = Patience(timeout=0.0)
OPEN = {"queued", "started"}  # RQ's words for a job that is not over
MOST_WITNESSES = 10_000  # of a random choice: a bucket holds what its ids' hashes put there


def open_ledger(operation: Operation) -> None:
	"""Note where every job stands. May take seconds; lock and fence are renewed meanwhile."""
	older = abandoned_before(operation)
	operation.ledger_opened = operation.bench.clock.now()
	operation.ledger = Ledger(operation.bench.queue.inventory(operation.keep_alive), older)


def close_ledger(operation: Operation) -> None:
	"""
	Count every job, put ghosts back, lift the fence. All of it under the fence: nobody pops a job meanwhile,
	so a hash that says queued while its id is in no list was lost for certain, and cannot run twice. Where the fence
	lapsed meanwhile someone may be popping just now: then nothing is put back.
	"""
	if operation.fence_stood:
		close_under_fence(operation)
	if not operation.fence_stood and operation.report.account is None:
		close_ledger_on_the_move(operation)
	operation.unfence()


def close_under_fence(operation: Operation) -> None:
	"""Leaves the report without an account where the fence lapsed meanwhile."""
	account, ghosts, opened = count_under_fence(operation)
	operation.keep_alive(now=True)
	if not operation.fence_stood:
		return
	lost = set(account.lost)
	newer = [id for id, since in ghosts.items() if since >= opened and id not in lost]
	account.arrived += len(newer)
	account.older_ghosts = len(ghosts.keys() - lost.union(newer))
	put_back(operation, account, [*account.lost, *newer])
	operation.report.account = account
	report_abandoned(operation, account)


def count_under_fence(operation: Operation) -> tuple[Account, dict[str, float], float]:
	"""
	The account; ghosts that were not waiting before, id → enqueued at; and when the ledger was opened, by the clock as it
	goes now. At a million jobs this takes seconds, so lock and fence are renewed between its steps.
	"""
	queue, ledger, beat = operation.bench.queue, operation.ledger, operation.keep_alive
	ledger.seen_running |= operation.running.keys()
	hashes = queue.hashes(beat)
	ledger.discard_known(hashes, beat)
	elapsed = operation.bench.clock.now() - operation.ledger_opened
	after = queue.inventory(beat)
	compared = ledger.compare(after, abandoned=abandoned_jobs(operation), beat=beat)
	statuses = queue.statuses(compared.unplaced, beat)
	account = ledger.close(compared, statuses, data_lost=is_data_lost(operation))
	ghosts = queue.queued(ledger.unlisted(hashes, after, beat), beat)
	return account, ghosts, ledger.before.time - set_back_by(elapsed, ledger.before, after)


def set_back_by(elapsed: float, before: Inventory, after: Inventory) -> float:
	"""Seconds by which Redis' clock was set back in between: jobs that came since look older by so much."""
	missing = elapsed - (after.time - before.time)
	return missing if missing > MARGIN else 0.0


def close_ledger_on_the_move(operation: Operation) -> None:
	"""
	Count every job while workers run. A job that is just being popped stands in no list for some milliseconds: whoever
	is in none is asked for again, and only reported, never put back: without a fence it could run twice.
	"""
	queue, ledger, beat = operation.bench.queue, operation.ledger, operation.keep_alive
	ledger.seen_running |= operation.running.keys()

	def is_settled() -> bool:
		compared = ledger.compare(queue.inventory(beat), beat=beat)
		statuses = queue.statuses(compared.unplaced, beat)
		operation.report.account = ledger.close(compared, statuses, data_lost=is_data_lost(operation))
		return OPEN.isdisjoint(statuses.values())

	if not operation.wait(is_settled, SETTLING) and operation.report.account is None:
		operation.insist(is_settled)


def abandoned_jobs(operation: Operation) -> set[str]:
	"""Their workers were killed by someone else: RQ lists them as running until it gives them up minutes later."""
	look = operation.look()
	ids = {job.id for job in look.started} - running_ids(look)
	statuses = operation.bench.queue.statuses(ids) if ids else {}
	# RQ can leave entries of other jobs behind
	return {id for id, status in statuses.items() if status == "started"}


def abandoned_before(operation: Operation) -> set[str]:
	"""Ids of jobs that were abandoned before we began. None while a job's process without its worker runs: it may be theirs."""
	abandoned = abandoned_jobs(operation)
	return set() if abandoned and operation.orphans(operation.look()) else abandoned


def report_abandoned(operation: Operation, account: Account) -> None:
	"""Emit which jobs were interrupted by someone else."""
	killed = {job.id for job in operation.report.interrupted}
	abandoned = [*account.interrupted, *account.older_interrupted]
	ids = [id for id in abandoned if id not in killed and id in operation.running]
	if ids:
		operation.emit(events.JobsAbandoned(tuple(operation.running[id] for id in ids)))


def is_data_lost(operation: Operation) -> bool:
	"""Our lock was gone before its time, and so is every job that nobody but Redis could have touched."""
	if operation.lock_stood:
		return False
	witnesses = list(islice(operation.ledger.witnesses(), MOST_WITNESSES))
	statuses = operation.bench.queue.statuses(witnesses, operation.keep_alive)
	return bool(statuses) and not any(statuses.values())


def put_back(operation: Operation, account: Account, ghosts: list[str]) -> None:
	"""
	One that someone else put back, or removed, just before us is not lost either. Where the fence lapsed just now the rest
	stays as it is: a worker may be popping it.
	"""
	if not ghosts:
		return
	outcome = operation.bench.queue.put_back(ghosts, operation.bench.fence, operation.keep_alive)
	account.requeued += len(outcome.pushed)
	account.lost = []
	if outcome.pushed:
		operation.emit(events.JobsPutBack(tuple(outcome.pushed)))
	if outcome.refused:
		operation.emit(events.JobsNotPutBack(tuple(outcome.refused)))
	if others := set(ghosts).difference(outcome.pushed):
		judge_again(operation, account, others, SETTLING if outcome.refused else ONCE)


def judge_again(operation: Operation, account: Account, ids: set[str], patience: Patience) -> None:
	"""Where they are now; for one that is just being popped that is known a moment later."""
	queue, beat = operation.bench.queue, operation.keep_alive
	places: dict[str, Place] = {}
	statuses: dict[str, str | None] = {}

	def is_settled() -> bool:
		places.clear()
		places.update(queue.inventory(beat).places.of(ids, beat))
		statuses.update(queue.statuses(ids, beat))
		return all(id in places or statuses[id] not in OPEN for id in ids)

	if not operation.wait(is_settled, patience) and not statuses:
		operation.insist(is_settled)
	for id in sorted(ids):
		place = places.get(id, Place.STRANDED)
		if place is Place.STRANDED:
			operation.ledger.judge(account, id, statuses[id])
		else:
			count(account, LISTED[place])


def audit(operation: Operation, replacements: list[Replacement]) -> None:
	"""Raises ProcessFault, JobsLost, FenceFault or NginxFault when the operation must not be called Done."""
	operation.enter(Phase.AUDIT)
	account = operation.report.account or Account()
	failed = [replacement for replacement in replacements if replacement.stage is Stage.FAILED]
	if failed:
		raise ProcessFault(
			f"{len(failed)} of {len(replacements)} processes failed: {with_reasons(failed)}. {outcome_of_the_rest(operation, replacements)}"
			f" The queue {operation.queue_goes_on}; {len(account.lost)} of {account.total} jobs were lost.",
			hint=" ".join(dict.fromkeys(filter(None, (replacement.remedy for replacement in failed))))
			or READ_LOGS,
		)
	if account.lost or not account.is_balanced:
		raise JobsLost(
			f"{len(account.lost)} of {account.total} jobs lost: {', '.join(account.lost[:10])}."
			f" {what_was_restarted(operation.report)} The queue is running.",
			hint="Type bench doctor --fix: it puts back those that no worker started. The journal lists them all.",
		)
	if old := with_old_code(operation):
		raise ProcessFault(
			f"Not restarted: {why_they_stay(old)}. {replaced(replacements)} The queue {operation.queue_goes_on};"
			f" {len(account.lost)} of {account.total} jobs were lost.",
			hint=remedies_of(old),
		)
	if stopped := left_stopped(operation, replacements):
		raise web_fault(operation, *stopped, f"{len(account.lost)} of {account.total} jobs were lost")
	if operation.report.lapses:
		raise fence_fault(operation.report)
	if failed := [it for it in operation.report.configuration if it.result is UpdateResult.FAILED]:
		raise update_fault(operation, failed, replacements)
	if operation.nginx_fault:
		raise operation.nginx_fault


def with_old_code(operation: Operation) -> list[Process]:
	"""Those that the operation could not replace, though they run the code of the bench's apps."""
	planned = (*operation.plan.stays, *operation.plan.reloads)
	return [process for process in planned if process.name in operation.report.stays and process.runs_apps]


def replaced(replacements: list[Replacement]) -> str:
	"""A sentence about what has new code."""
	names = ", ".join(replacement.old.name for replacement in replacements)
	return f"Restarted: {names}." if names else "Nothing else was to be restarted."


def web_fault(operation: Operation, stopped: list[str], fault: WebFault, jobs: str) -> ProcessFault:
	"""Someone may serve the sites by hand in place of the stopped program: that one is not restarted by anybody."""
	names, command = ", ".join(stopped), operation.bench.processes.start_command(stopped)
	start, without = f"Start it: {command}.", "To restart the bench without web, add --no-web."
	text = f"Web does not answer: {names} is stopped, and was left alone."
	if fault.is_taken:
		end = f"kill {fault.holder.pid}" if fault.holder else "sudo ss -ltnp names it"
		text = f"{names} is stopped, and was left alone. Another process has its address: {fault}. It was not restarted."
		start = f"To bring web back, end that process ({end}), then start web: {command}."
	return ProcessFault(
		f"{text} All others were restarted. The queue {operation.queue_goes_on}; {jobs}.",
		hint=f"{start} {without}",
	)


def update_fault(
	operation: Operation, failed: list[GroupUpdate], replacements: list[Replacement]
) -> ProcessFault:
	"""Every process is new, but some run by their former configuration."""
	names = "; ".join(f"{update.group} ({update.reason})" for update in failed)
	changes = operation.updates.failed
	command = operation.bench.processes.update_command(changes)
	by_hand = f", or: {command}.{following(' ', cost_of(changes))}" if command else "."
	left = f" {what_was_restarted(operation.report)}" if operation.report.not_replaced else ""
	return ProcessFault(
		f"The new configuration was not taken over: {names}. {replaced(replacements)}{left} The queue {operation.queue_goes_on}.",
		hint=f"Type the same command again{by_hand}",
	)


def what_was_restarted(report: Report) -> str:
	"""A sentence: all, or which programs of hosts whose turn did not come keep the old code."""
	if not report.not_replaced:
		return "Every process was restarted."
	return f"Not restarted, in service with the old code: {', '.join(report.not_replaced)}."


def fence_fault(report: Report) -> FenceFault:
	"""An error whatever came of it: that no job met a worker being replaced was luck, or is not so."""
	names = ", ".join(
		f"during {lapse.phase.time}, {lapse.seconds:.0f} s after its last renewal" for lapse in report.lapses
	)
	effect = "Jobs may have started while workers were being replaced."
	look_at = " Look at the jobs of that time."
	if all(lapse.phase is Phase.MIGRATE for lapse in report.lapses):
		effect, look_at = "No worker with old code was alive then, so no job ran on the changing schema.", ""
		if report.old_workers:
			effect = f"These workers with old code were alive then, and may have run jobs: {', '.join(report.old_workers)}."
			look_at = " Look at the jobs of that time."
	return FenceFault(
		f"The fence had lapsed {names}. {effect} {what_was_restarted(report)} The queue is running.",
		hint=f"Nothing needs to be repeated.{look_at} Either the operation's process was paused for longer than the fence"
		" lasts, as by a file server that does not answer, or Redis lost its data. Check the bench with: bench doctor",
	)


def with_reasons(failed: list[Replacement]) -> str:
	"""Of the first few; those of all were told when they failed."""
	first = [f"{replacement.old.name} ({replacement.reason})" for replacement in failed[:REASONS]]
	return "; ".join([*first, *(replacement.old.name for replacement in failed[REASONS:])])


def outcome_of_the_rest(operation: Operation, replacements: list[Replacement]) -> str:
	"""A rolling restart that stopped leaves some processes as they were; every other strategy restarts all."""
	untouched = operation.report.not_replaced
	if not untouched:
		return "All others were restarted."
	replaced = [f"{it.old.name}{it.remark}" for it in replacements if it.stage is Stage.UP or it.remark]
	return (
		f"Replaced: {', '.join(replaced) or 'none'}."
		f" Not touched, in service with the old code: {', '.join(untouched)}."
	)
