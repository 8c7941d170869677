"""The sentence of each fact: whole, without colour."""

from __future__ import annotations

from functools import singledispatch

from fmx_restart.engine import events
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import ProcessState, RequestKind, UnreadableRecords

#: What a strategy does, in the order in which it does it: for the dry run
STORIES = {
	Strategy.FAST: "Running jobs get a short grace period, then they are killed; everything is restarted side by side.",
	Strategy.WAIT_WORKERS: "Running jobs finish first, then everything is restarted side by side.",
	Strategy.NO_WAIT_WORKERS: "Web, scheduler and idle workers are restarted at once; each busy worker when its own job ends.",
	Strategy.SUSPEND_RQ: "The queue is suspended and everything is told to stop at once; running jobs get a grace period, then"
	" they are killed.",
	Strategy.ROLLING: "Web and scheduler are restarted at once, then one worker after the other; the queue keeps running.",
}
MIGRATION_STORY = "The sites are migrated before the restart. {}"
SHOWN = 5  # records that cannot be read, by name
DOWN_ALREADY = {ProcessState.FAILED, ProcessState.RETRYING}
PHASES = {
	Phase.FENCE: "Fence: from now on no worker starts a job; new jobs wait in their queues",
	Phase.PARK: "Park: idle workers leave their queues",
	Phase.DRAIN: "Drain: waiting until no job runs",
	Phase.BACKUP: "Backup: of each database, before it is migrated",
	Phase.MIGRATE: "Migrate: one site after the other",
	Phase.RESTART: "Restart: stopping and starting the processes side by side",
	Phase.LIFT: "Lift: every job is counted, then the queue moves again",
	Phase.VERIFY: "Verify: waiting until every process is up, workers have registered and web answers",
	Phase.HANDOVER: "Handover: busy workers are replaced when their own job ends",
	Phase.AUDIT: "Audit: comparing the jobs before and after",
}


def story(options: Options) -> str:
	"""What an operation with these options does."""
	text = STORIES[options.strategy]
	return MIGRATION_STORY.format(text) if options.migration else text


def span(seconds: float | None) -> str:
	"""A duration as people say it; "no limit" for None."""
	if seconds is None:
		return "no limit"
	if seconds < 10:
		return f"{seconds:.1f} s" if seconds >= 0.1 or seconds == 0 else f"{seconds:.2f} s"
	minutes, rest = divmod(round(seconds), 60)
	return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count(number: int, noun: str) -> str:
	return f"{number} {noun}" if number == 1 else f"{number} {plural(noun)}"


def following(join: str, text: str) -> str:
	"""What an end of a sentence says; nothing where the text is left out, as on sites that may not see it."""
	return f"{join}{text}" if text else ""


def plural(noun: str) -> str:
	return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def order(plan: Plan, strategy: Strategy) -> list[tuple[str, list[str]]]:
	"""When which processes are restarted, step by step, as things are now."""
	workers = [process.name for process in plan.restart if process.runs_jobs]
	busy = [name for name in workers if name in plan.busy]
	idle = [name for name in workers if name not in busy]
	others = [process.name for process in plan.restart if process.name not in workers]
	steps = {
		Strategy.NO_WAIT_WORKERS: [("at once", others + idle), ("when its own job ends", busy)],
		Strategy.ROLLING: [("at once", others), ("one at a time", idle), ("when its own job ends", busy)],
	}.get(strategy, [("side by side", others + workers)])
	return [(when, names) for when, names in steps if names]


@singledispatch
def sentence(event: events.Event) -> str:
	"""Empty for facts that are shown in another way."""
	return ""


@sentence.register
def _(event: events.OperationStarted) -> str:
	migrates = event.options is not None and event.options.migration is not None
	return f"Operation {event.operation}: {'migrate, ' if migrates else ''}{event.strategy} on {event.bench}"


@sentence.register
def _(event: events.Planned) -> str:
	return plan_sentence(event.plan)


def plan_sentence(plan: Plan) -> str:
	names = ", ".join(process.name for process in plan.restart)
	text = (
		f"{count(len(plan.restart), 'process')} to restart: {names}." if names else "No process to restart."
	)
	if plan.left_alone:
		stopped = ", ".join(process.name for process in plan.left_alone)
		text += f" Already stopped, left alone: {stopped}."
	if plan.stopped_web:
		text += " Web stays down: the exit code will be 4."
	down = [f"{p.name} ({p.detail or p.state.value})" for p in plan.restart if p.state in DOWN_ALREADY]
	if down:
		text += f" Down already: {', '.join(down)}."
	if plan.migrate:
		text += f" {count(len(plan.migrate), 'site')} to migrate before: {', '.join(plan.migrate)}."
	if not plan.jobs:
		return f"{text} No job is running."
	bound = "with no limit of their own" if plan.longest is None else f"at most {span(plan.longest)} more"
	guess = "" if plan.likely is None else f", likely {span(plan.likely)}"
	return f"{text} {count(len(plan.jobs), 'job')} running, {bound}{guess}."


@sentence.register
def _(event: events.PhaseEntered) -> str:
	return PHASES.get(event.phase, event.phase.value)


@sentence.register
def _(event: events.TroubleFound) -> str:
	return f"Warning: {event.trouble.text} {event.trouble.remedy}"


@sentence.register
def _(event: events.RecordsUnreadable) -> str:
	return f"Warning: {unreadable(event.records)}"


def unreadable(records: UnreadableRecords) -> str:
	"""What counts as not known, and which records that are; a few of them by name."""
	names = "; ".join(f"{record.kind} {record.name}: {record.reason}" for record in records.named[:SHOWN])
	more = f"; and {records.count - SHOWN} more" if records.count > SHOWN else ""
	number = f"{records.count} or more records" if records.is_more else count(records.count, "record")
	return f"{number} in Redis cannot be read, and count as unknown: {names}{more}."


@sentence.register
def _(event: events.NoWorkersFound) -> str:
	return "Warning: Redis lists no worker of this bench; there is nothing to drain."


@sentence.register
def _(event: events.WorkersUnmanaged) -> str:
	names = ", ".join(f"pid {w.pid} on {w.host} ({','.join(w.queues)})" for w in event.workers)
	return f"Warning: workers that the process manager does not run are left as they are, with old code: {names}."


@sentence.register
def _(event: events.CodeBroken) -> str:
	return f"Warning: {event.fault.module} cannot be loaded: {event.fault.error}\n{event.fault.traceback}"


@sentence.register
def _(event: events.CodeNotChecked) -> str:
	return f"Warning: whether web and workers can load the code on the disk is not known: {event.reason}."


@sentence.register
def _(event: events.OtherBenchesPause) -> str:
	names = ", ".join(
		f"{count(workers, 'worker')} of {bench}" for bench, workers in sorted(event.benches.items())
	)
	return f"Warning: on this Redis the fence pauses other benches too: {names}. --rolling does not disturb them."


@sentence.register
def _(event: events.ForeignSuspension) -> str:
	return f"Warning: someone else suspended the queue ({event.holder}). It will stay suspended after this operation."


@sentence.register
def _(event: events.FenceShared) -> str:
	return f"Another operation also suspends the queue: {event.holder}. The queue runs again when both have ended."


@sentence.register
def _(event: events.ClockSet) -> str:
	by = span(abs(event.seconds))
	if event.seconds < 0:
		return f"Warning: Redis' clock was set back by {by}."
	return f"Warning: Redis' clock was set forward by {by}. Records of workers that were to expire in that time are gone."


@sentence.register
def _(event: events.FenceLapsed) -> str:
	lapsed = f"the fence had lapsed {span(event.seconds)} after its last renewal. It stands again"
	if event.phase.can_be_undone:
		return f"Warning: {lapsed}, and workers are parked once more."
	return f"Error: {lapsed}. Jobs may have started in {event.phase.value}."


@sentence.register
def _(event: events.QueueAway) -> str:
	return f"Warning: {event.reason} Still asking."


@sentence.register
def _(event: events.ManagerAway) -> str:
	return f"Warning: {event.reason}. Still asking."


@sentence.register
def _(event: events.WorkerDoesNotAnswer) -> str:
	return (
		f"Warning: worker {event.name} on {event.host} (pid {event.pid}) does not answer; not waiting for it."
	)


@sentence.register
def _(event: events.WorkersParked) -> str:
	return f"Parked {count(event.idle, 'idle worker')} in {span(event.seconds)}; {event.busy} still at work"


@sentence.register
def _(event: events.StillRunning) -> str:
	if not event.jobs:
		waiting_for = (
			f"orphaned job processes {event.orphans}" if event.orphans else "a worker to come to rest"
		)
		return f"Waiting for {waiting_for}, {span(event.left)} left"
	jobs = "; ".join(job_sentence(running) for running in event.jobs)
	return f"Waiting for {count(len(event.jobs), 'job')}, {span(event.left)} left: {jobs}"


def job_sentence(running: events.RunningJob) -> str:
	job, most = running.job, running.most_left
	bound = "no limit" if most is None else f"at most {span(most)} more"
	where = f" (pid {running.pid})" if running.pid else ""
	return f"{job.site} / {job.method}{where} for {span(running.elapsed or 0)}, {bound}"


@sentence.register
def _(event: events.Drained) -> str:
	return f"Drained in {span(event.seconds)}, waited for {count(event.jobs, 'job')}"


@sentence.register
def _(event: events.QueueNearLimit) -> str:
	return f"Warning: {event.depth} jobs wait in {event.queue}; at {event.limit} enqueuing fails. Not waiting any longer."


@sentence.register
def _(event: events.JobsCondemned) -> str:
	return f"The time is over: ending {count(len(event.ids), 'job')}."


@sentence.register
def _(event: events.JobsAbandoned) -> str:
	names = "; ".join(f"{job.site} / {job.method} ({job.id})" for job in event.jobs)
	return (
		f"Warning: {count(len(event.jobs), 'job')} broken off by a worker that somebody else killed: {names}"
	)


@sentence.register
def _(event: events.JobsInterrupted) -> str:
	names = "; ".join(f"{job.site} / {job.method} ({job.id})" for job in event.jobs)
	back = f", {len(event.requeued)} put back at the front of their queue" if event.requeued else ""
	return f"Warning: killed {count(len(event.jobs), 'job')}{back}: {names}"


@sentence.register
def _(event: events.ProcessStopping) -> str:
	return ""  # where it counts is the journal; that it is down is told


@sentence.register
def _(event: events.ProcessDown) -> str:
	if event.pid is None:
		return f"{event.name} was down already"
	return f"{event.name} (pid {event.pid}) is down after {span(event.seconds)}"


@sentence.register
def _(event: events.ProcessUp) -> str:
	pids = event.new_pid if event.old_pid is None else f"{event.old_pid} → {event.new_pid}"
	return f"{event.name} is up: pid {pids} after {span(event.seconds)}"


@sentence.register
def _(event: events.ProcessRetried) -> str:
	return f"Warning: {event.name} ended soon after its start, and is tried again: {event.detail}"


@sentence.register
def _(event: events.ProcessFailed) -> str:
	tail = f"\nThe end of its log:\n{event.log_tail.rstrip()}" if event.log_tail.strip() else ""
	return f"Error: {event.name}: {event.reason}{tail}"


@sentence.register
def _(event: events.RollingStopped) -> str:
	return (
		f"Error: {', '.join(event.failed)} did not come back, so no further worker is replaced."
		f" In service with the old code: {', '.join(event.not_replaced)}."
	)


@sentence.register
def _(event: events.HandedOver) -> str:
	jobs = "; ".join(f"{job.site} / {job.method}" for job in event.jobs)
	waiting = f" They still run: {jobs}." if jobs else ""
	return (
		f"Everything else is new. In the background, each when its own job ends: {', '.join(event.processes)}."
		f"{waiting} Look with: bench safe-restart status"
	)


@sentence.register
def _(event: events.WebTaken) -> str:
	return f"Warning: web cannot come up at {event.fault}. {event.fault.remedy}"


@sentence.register
def _(event: events.WebUnproved) -> str:
	return f"Note: web answers at {event.address}, but whether the new process answers is unknown: {event.reason}."


@sentence.register
def _(event: events.StillVerifying) -> str:
	parts = [f"{', '.join(event.programs)} to be up"] if event.programs else []
	if event.unregistered:
		names = ", ".join(event.unregistered)
		parts.append(f"{count(len(event.unregistered), 'worker')} to register with Redis: {names}")
	if event.leftovers:
		pids = ", ".join(str(pid) for pid in event.leftovers)
		parts.append(f"{count(len(event.leftovers), 'old process')} to end: pid {pids}")
	if event.web:
		parts.append(f"web to answer at {'; '.join(map(str, event.web))}")
	return f"Waiting for {'; '.join(parts)}"


@sentence.register
def _(event: events.OrphansFound) -> str:
	pids = ", ".join(str(pid) for pid in event.pids)
	return f"Warning: job processes without a worker go on with old code: pid {pids}. Look at each with: ps -fp PID"


@sentence.register
def _(event: events.JobsNotPutBack) -> str:
	jobs = count(len(event.ids), "job")
	return f"Warning: {jobs} in no queue not put back: the fence had lapsed, so a worker may be taking them just now."


@sentence.register
def _(event: events.JobsPutBack) -> str:
	return f"Put back {count(len(event.ids), 'job')} that a worker had popped and never started"


def plan_warnings(plan: Plan) -> list[str]:
	"""What a person should know of a plan beside its findings; none of it ends a restart before its first change."""
	facts: list[events.Event] = [events.CodeBroken(fault) for fault in plan.code_faults]
	if plan.web_taken:
		facts.append(events.WebTaken(plan.web_taken))
	if plan.unmanaged:
		facts.append(events.WorkersUnmanaged(plan.unmanaged))
	if plan.unreadable:
		facts.append(events.RecordsUnreadable(plan.unreadable))
	return [sentence(fact) for fact in facts]


@sentence.register
def _(event: events.WentIntoBackground) -> str:
	return f"Goes on in the background, pid {event.process.pid}"


@sentence.register
def _(event: events.Requested) -> str:
	request = event.request
	asked = {
		RequestKind.CANCEL: f"{request.by} asks it to stop",
		RequestKind.EXTEND: f"{request.by} gives running jobs {span(request.seconds)} more",
		RequestKind.FORCE: f"{request.by} gives running jobs no more time",
	}[request.wish]
	return f"{asked}. Refused: {event.refusal}." if event.refusal else asked


@sentence.register
def _(event: events.RequestsIgnored) -> str:
	return (
		f"Warning: ignored {count(event.count, 'request')} that cannot be read ({'; '.join(event.reasons)})."
	)


@sentence.register
def _(event: events.JournalLost) -> str:
	return f"Warning: {event.reason}"


@sentence.register
def _(event: events.NotUnderstood) -> str:
	return f"Warning: a fact is not understood ({event.reason}): another version wrote it, or its line is damaged"


@sentence.register
def _(event: events.RecoveryStarted) -> str:
	return f"Operation {event.operation} died in {event.phase.value}: putting right what it left (pid {event.by.pid})"


@sentence.register
def _(event: events.TakenOver) -> str:
	return f"{event.by} takes over operation {event.operation} of {event.host}; the programs of {event.host} are not looked at"


@sentence.register
def _(event: events.LeftElsewhere) -> str:
	return (
		f"Note: operation {event.operation} died on {event.host} and left nothing that stays."
		f" To close it, type there: bench safe-restart recover"
	)


@sentence.register
def _(event: events.RecoveryFailed) -> str:
	return f"Error: it could not be put right yet: {event.reason} Try: bench safe-restart recover"


@sentence.register
def _(event: events.MigrationAdopted) -> str:
	return f"Its migration of {event.site} goes on; waiting for the end of it under the fence{following('. Output: ', event.log)}"
