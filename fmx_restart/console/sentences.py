"""The sentence of each event: whole, without colour. SENTENCES is the one place that joins the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fmx_restart.console.plan import plan_sentence
from fmx_restart.console.process_sentences import (
	configuration_changed,
	group_updated,
	handed_over,
	hosts_begun,
	hosts_done,
	hosts_stopped,
	live_messages_sent,
	old_web_serves,
	orphans_found,
	process_down,
	process_failed,
	process_up,
	programs_stay,
	rolling_stopped,
	still_verifying,
	web_answers_again,
	web_cannot_linger,
	web_silent,
	worker_reloaded,
)
from fmx_restart.console.program_names import short_program
from fmx_restart.engine import events
from fmx_restart.engine.events import Level
from fmx_restart.engine.format import count, following, span
from fmx_restart.engine.migration import Finding, Gravity, Result
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Job, RequestKind, Setting, UnreadableRecords
from fmx_restart.engine.queue_hold import by_whom

OF_PROGRAMS = ("name", "program", "process")  # fields
NAMED = 5  # records that cannot be read, by name
PREFIXES = {Level.INFO: "", Level.NOTE: "Note: ", Level.WARNING: "Warning: ", Level.ERROR: "Error: "}
PHASES = {
	Phase.FENCE: "Fence: from now on no worker starts a job; new jobs wait in their queues",
	Phase.PARK: "Park: idle workers leave their queues",
	Phase.DRAIN: "Drain: waiting for running jobs to end",
	Phase.BACKUP: "Backup: backing up each database before its migration",
	Phase.MIGRATE: "Migrate: migrating one site after the other",
	Phase.RESTART: "Restart: stopping the processes, and starting each again, web first",
	Phase.LIFT: "Lift: counting every job, then letting the queue run again",
	Phase.VERIFY: "Verify: waiting until every process is up, workers have registered and web answers",
	Phase.HANDOVER: "Handover: replacing each busy worker when its own job ends",
	Phase.AUDIT: "Audit: comparing the jobs before and after",
}


def sentence(event: events.Event) -> str:
	"""With its level in front, as in "Warning: …". Empty for an event that is shown otherwise."""
	words = SENTENCES[type(event)]
	text = words.format_map(with_short_names(event)) if isinstance(words, str) else words(event)
	return f"{PREFIXES[event.level]}{text}" if text else ""


def with_short_names(event: events.Event) -> dict[str, Any]:
	"""Its fields, with programs as people call them."""
	values = vars(event)
	names = {name: short_program(values[name]) for name in OF_PROGRAMS if isinstance(values.get(name), str)}
	return {**values, **names}


def details(event: events.Event) -> list[str]:
	"""What else there is to say of an event to someone who asked for more: full names, and each worker's state."""
	if isinstance(event, events.Planned):
		plan = event.plan
		names = ", ".join(process.name for process in (*plan.restart, *plan.reloads, *plan.left_alone))
		return [f"Programs: {names}"] if names else []
	if isinstance(event, events.StillRunning):
		return [
			f"{worker.name[:12]} pid {worker.pid} {worker.state.value}: {', '.join(worker.queues)}"
			for worker in event.workers
		]
	return []


def on_ctrl_c(phase: Phase, group: int = 0) -> str:
	"""What Ctrl-C does to the operation that this terminal shows. `group`: the number of the hosts whose turn it is; 0: there are no groups."""
	if phase.can_be_undone and group < 2:
		return "Ctrl-C: stop; nothing is restarted yet"
	if phase.can_be_undone:
		return "Ctrl-C: stop; these hosts and those after them keep the old code"
	if phase is Phase.MIGRATE:
		return "Ctrl-C: stop after this site; then everything is restarted"
	if phase is Phase.HANDOVER and group:
		return "Ctrl-C: stop here; what is not restarted yet keeps the old code"
	if phase is Phase.HANDOVER:
		return "Ctrl-C: stop before the next worker; the others keep the old code"
	return "Ctrl-C: too late to stop, the restart runs to its end; twice: leave it running"


def on_ctrl_c_in_view(phase: Phase, group: int = 0) -> str:
	"""Of a terminal that only watches."""
	return "Ctrl-C: end this view; the operation continues"


class Reasons:
	"""Which reasons a person has read: the same one is not given again when what it announced happens."""

	def __init__(self) -> None:
		self._told: set[tuple[str, str]] = set()

	def without_repetition(self, event: events.Event, text: str) -> str:
		"""The sentence of the event, or a shorter one where its reason was told before."""
		reason = getattr(event, "reason", ""), getattr(event, "program", "")
		if not isinstance(event, (events.WebCannotLinger, events.WebRequestsFail)):
			return text
		is_known = reason in self._told
		self._told.add(reason)
		return text.replace(f", as {event.reason}", "") if is_known else text


def plan_warnings(plan: Plan) -> list[str]:
	"""What a person should know of a plan apart from its findings; none of it ends a restart before its first change."""
	warnings: list[events.Event] = [events.CodeBroken(fault) for fault in plan.code_faults]
	if plan.web_taken:
		warnings.append(events.WebTaken(plan.web_taken))
	for program, way in plan.web_ways.items():
		if way.is_worth_telling:
			warnings.append(events.WebCannotLinger(program, way.reason, way.remedy, way.is_holding))
	if plan.stays:
		warnings.append(events.ProgramsStay(plan.stays))
	warnings += [] if plan.configuration.is_empty else [events.ConfigurationChanged(plan.configuration)]
	if plan.held:
		warnings.append(events.QueueHeld(plan.held))
	if plan.unmanaged:
		warnings.append(events.WorkersUnmanaged(plan.unmanaged))
	warnings += map(events.Advised, plan.advice)
	if plan.unreadable:
		warnings.append(events.RecordsUnreadable(plan.unreadable))
	return [sentence(event) for event in warnings]


def unreadable(records: UnreadableRecords) -> str:
	"""Which records count as unknown; a few of them by name."""
	names = "; ".join(f"{record.kind} {record.name}: {record.reason}" for record in records.named[:NAMED])
	more = f"; and {records.count - NAMED} more" if records.count > NAMED else ""
	number = f"{records.count} or more records" if records.is_more else count(records.count, "record")
	return f"{number} in Redis cannot be read, and count as unknown: {names}{more}."


def shown_otherwise(event: events.Event) -> str:
	"""A moving table or the report shows these events."""
	return ""


def operation_started(event: events.OperationStarted) -> str:
	"""Its id, its strategy, and where it runs; a journal of an older version has no options."""
	migrates = event.options is not None and event.options.migration is not None
	return f"Operation {event.operation}: {'migrate, ' if migrates else ''}{event.strategy} on {event.bench}"


def planned(event: events.Planned) -> str:
	"""What the preflight found."""
	return plan_sentence(event.plan)


def phase_entered(event: events.PhaseEntered) -> str:
	"""What a phase is for; its bare name if this version does not know it."""
	return PHASES.get(event.phase, event.phase.value)


def records_unreadable(event: events.RecordsUnreadable) -> str:
	"""Jobs or workers that Redis has and nobody can read."""
	return unreadable(event.records)


def workers_unmanaged(event: events.WorkersUnmanaged) -> str:
	"""Workers that no process manager runs, so nothing restarts them."""
	names = ", ".join(f"pid {w.pid} on {w.host} ({','.join(w.queues)})" for w in event.workers)
	return f"the process manager does not run these workers, so they keep the old code: {names}."


def advised(event: events.Advised) -> str:
	"""What a person may set up, and the command."""
	return f"{event.advice.text} To change that: {event.advice.remedy}"


def queue_held(event: events.QueueHeld) -> str:
	"""Until when and by whom, and that it stays so."""
	return f"the queue is held {by_whom(event.holds)}. It stays held after this operation."


def other_benches_pause(event: events.OtherBenchesPause) -> str:
	"""Whose workers wait as well, and which strategy spares them."""
	names = ", ".join(
		f"{count(workers, 'worker')} of {bench}" for bench, workers in sorted(event.benches.items())
	)
	return f"the fence also pauses other benches on this Redis: {names}. --rolling does not disturb them."


def clock_set(event: events.ClockSet) -> str:
	"""Someone set Redis' clock. `seconds` below 0: back."""
	by = span(abs(event.seconds))
	if event.seconds < 0:
		return f"Redis' clock was set back by {by}."
	return (
		f"Redis' clock was set forward by {by}. Worker records that were due to expire in that time are gone."
	)


def fence_lapsed(event: events.FenceLapsed) -> str:
	"""How long after its last renewal, and whether jobs may have started."""
	lapsed = f"the fence had lapsed {span(event.seconds)} after its last renewal. It stands again"
	if event.phase.can_be_undone:
		return f"{lapsed}, and workers are parked once more."
	return f"{lapsed}. Jobs may have started during {event.phase.time}."


def workers_parked(event: events.WorkersParked) -> str:
	"""How many are parked and how many still run a job."""
	return f"Parked {count(event.idle, 'idle worker')} in {span(event.seconds)}; {event.busy} still busy"


def still_running(event: events.StillRunning) -> str:
	"""What the drain waits for and how long it still waits; without jobs, why it waits."""
	if not event.jobs:
		waiting_for = (
			f"orphaned job processes: pid {', '.join(map(str, event.orphans))}"
			if event.orphans
			else "a worker to become idle"
		)
		return f"Waiting for {waiting_for}; gives up in {span(event.left)}"
	jobs = "; ".join(running_job(running) for running in event.jobs)
	guess = "" if event.likely is None else f", likely {span(event.likely)} more"
	return f"Waiting for {count(len(event.jobs), 'job')}{guess}; gives up in {span(event.left)}: {jobs}"


def running_job(running: events.RunningJob) -> str:
	"""How long it has run and at most will, by its own limit."""
	job, most = running.job, running.most_left
	bound = "no limit" if most is None else f"at most {span(most)} more"
	where = f" (pid {running.pid})" if running.pid else ""
	return f"{job.site} / {job.method}{where} for {span(running.elapsed or 0)}, {bound}"


def drained(event: events.Drained) -> str:
	"""No job runs any more."""
	waited = f", waited for {count(event.jobs, 'job')}" if event.jobs else ""
	return f"Drained in {span(event.seconds)}{waited}"


def jobs_condemned(event: events.JobsCondemned) -> str:
	"""The deadline has come; the next event names the jobs."""
	return f"Timeout reached: killing {count(len(event.ids), 'job')}."


def jobs_abandoned(event: events.JobsAbandoned) -> str:
	"""Somebody else killed their workers while they ran."""
	whose = "its worker was" if len(event.jobs) == 1 else "their workers were"
	return (
		f"{count(len(event.jobs), 'job')} interrupted, because {whose} killed externally: {named(event.jobs)}"
	)


def jobs_interrupted(event: events.JobsInterrupted) -> str:
	"""Jobs that the operation killed, and how many are back in their queue."""
	back = f", {len(event.requeued)} put back at the front of their queue" if event.requeued else ""
	return f"killed {count(len(event.jobs), 'job')}{back}: {named(event.jobs)}"


def named(jobs: tuple[Job, ...]) -> str:
	"""Site, method and id of each job; never its arguments."""
	return "; ".join(f"{job.site} / {job.method} ({job.id})" for job in jobs)


def jobs_not_put_back(event: events.JobsNotPutBack) -> str:
	"""Lost jobs that another worker might be taking, so a push might run them twice."""
	jobs = f"{count(len(event.ids), 'job')} {'is' if len(event.ids) == 1 else 'are'}"
	return f"{jobs} in no queue and not put back: the fence had lapsed, so a worker may be taking them right now."


def jobs_put_back(event: events.JobsPutBack) -> str:
	"""Jobs that were in no list and are back at the front of their queue."""
	return f"Put back {count(len(event.ids), 'job')} that a worker had popped and never started"


def requested(event: events.Requested) -> str:
	"""Who asked for what; why it was refused."""
	request = event.request
	text = {
		RequestKind.CANCEL: f"{request.by} asks it to stop",
		RequestKind.EXTEND: f"{request.by} gives running jobs {span(request.seconds)} more",
		RequestKind.FORCE: f"{request.by} asks it to kill the running jobs now",
	}[request.wish]
	return f"{text}. Refused: {event.refusal}." if event.refusal else text


def requests_ignored(event: events.RequestsIgnored) -> str:
	"""How many, and why; nothing of them is quoted."""
	return f"ignored {count(event.count, 'request')} that cannot be read ({'; '.join(event.reasons)})."


def migration_finding(event: events.MigrationFinding) -> str:
	"""The site's state before a migration; what to do about it unless it is a note."""
	return finding_sentence(event.finding)


def finding_sentence(finding: Finding) -> str:
	"""Site, text and remedy. It begins in lower case, as it follows a level; a note has no remedy."""
	text = f"{finding.site}: {finding.text}" if finding.site else finding.text
	return text if finding.gravity is Gravity.NOTE else f"{text}. {finding.remedy}".rstrip()


def setting_changed(event: events.SettingChanged) -> str:
	"""What it was before, so that a person could set it back."""
	return f"{event.new.key} of {event.new.site} is now {event.new.value} (before: {value_of(event.found)})"


def setting_restored(event: events.SettingRestored) -> str:
	"""It is as it was found."""
	return f"{event.found.key} of {event.found.site} is back at its former value ({value_of(event.found)})"


def value_of(setting: Setting) -> str:
	"""The value, or "not set"."""
	return str(setting.value) if setting.is_present else "not set"


def setting_fault(event: events.SettingFault) -> str:
	"""A setting that could not be written."""
	return f"{event.key} of {event.site} could not be set{following(': ', event.reason)}"


def backup_ended(event: events.BackupEnded) -> str:
	"""How long it took, and the file."""
	return f"Backed up {event.site} in {span(event.seconds)}{following(': ', event.file)}"


def migrations_planned(event: events.MigrationsPlanned) -> str:
	"""The sites in their order."""
	return f"{count(len(event.sites), 'site')} to migrate: {', '.join(event.sites)}"


def migration_started(event: events.MigrationStarted) -> str:
	"""How long it may take, and where its output is."""
	return f"Migrating {event.site}, at most {span(event.timeout)}{following('; all output: ', event.log)}"


def migration_ended(event: events.MigrationEnded) -> str:
	"""The result, the patch at which it failed, and that workers start with new code anyway."""
	migration = event.migration
	if migration.result is Result.DONE:
		return f"Migrated {migration.site} in {span(migration.seconds)}"
	at = f" at {migration.culprit}" if migration.culprit else ""
	after = f"after {span(migration.seconds)}"
	return (
		f"migration of {migration.site} {migration.result.value}{at} {after}; everything is restarted anyway"
	)


def migrations_stopped(event: events.MigrationsStopped) -> str:
	"""Which sites were left as they are."""
	return f"stopping as requested; not migrated: {', '.join(event.sites)}"


def migration_adopted(event: events.MigrationAdopted) -> str:
	"""A recovery found a migration of the dead operation that still runs, and waits for it."""
	log = following(". Output: ", event.log)
	return f"The migration of {event.site} is still running; the fence stays up until it ends{log}"


#: Every event. Text holds fields of the event by name; where there is more to say than that, a function says it.
SENTENCES: dict[type[events.Event], str | Callable[[Any], str]] = {
	events.OperationStarted: operation_started,
	events.LaunchedFromWeb: "Launched from the web process: no worker launched it",
	events.WentIntoBackground: "Continues in the background, pid {process.pid}",
	events.Requested: requested,
	events.RequestsIgnored: requests_ignored,
	events.JournalLost: "{reason}",
	events.NotUnderstood: "an event cannot be read ({reason}): another version wrote it, or its line is damaged",
	events.RecoveryStarted: "Operation {operation} died during {phase.time}: cleaning up after it (pid {by.pid})",
	events.TakenOver: "{by} takes over operation {operation} of {host}; the programs of {host} are not examined",
	events.JournalsNotOurs: "{reason} {remedy}",
	events.LeftElsewhere: "operation {operation} died on {host} and left nothing behind."
	" To close it, type on {host}: bench safe-restart recover",
	events.RecoveryFailed: "recovery failed; it will be retried: {reason} To retry now, type: bench safe-restart recover",
	events.PhaseEntered: phase_entered,
	events.Planned: planned,
	events.TroubleFound: "{trouble.text} {trouble.remedy}",
	events.CodeBroken: "{fault.module} cannot be loaded: {fault.error}\n{fault.traceback}",
	events.CodeNotChecked: "it is unknown whether web and workers can load the code on the disk: {reason}.",
	events.OtherBenchesPause: other_benches_pause,
	events.ForeignSuspension: "someone else suspended the queue ({holder})."
	" It will stay suspended after this operation.",
	events.FenceShared: "Another operation also suspends the queue: {holder}. The queue runs again when both have ended.",
	events.QueueHeld: queue_held,
	events.FenceLapsed: fence_lapsed,
	events.ClockSet: clock_set,
	events.QueueAway: "{reason} Trying again.",
	events.ManagerAway: "{reason}. Trying again.",
	events.Ended: shown_otherwise,  # by the report
	events.RecordsUnreadable: records_unreadable,
	events.NoWorkersFound: "Redis lists no worker of this bench; there is nothing to drain.",
	events.WorkersUnmanaged: workers_unmanaged,
	events.Advised: advised,
	events.WorkerDoesNotAnswer: "worker {name} on {host} (pid {pid}) does not answer; not waiting for it.",
	events.WorkersParked: workers_parked,
	events.StillRunning: still_running,
	events.Drained: drained,
	events.QueueNearLimit: "{depth} jobs wait in {queue}; at {limit} enqueuing fails. Not waiting any longer.",
	events.JobsCondemned: jobs_condemned,
	events.JobsInterrupted: jobs_interrupted,
	events.JobsAbandoned: jobs_abandoned,
	events.JobsPutBack: jobs_put_back,
	events.JobsNotPutBack: jobs_not_put_back,
	events.ProcessStopping: shown_otherwise,  # by ProcessDown, which follows
	events.ProcessDown: process_down,
	events.ProcessUp: process_up,
	events.ReloadAsked: shown_otherwise,  # by WorkerReloaded or ProcessFailed, which follows
	events.WorkerReloaded: worker_reloaded,
	events.SchedulerAsked: "the scheduler ({process}) was asked to reload in place. It does so within seconds, or after its next tick.",
	events.ProcessRetried: "{name} ended soon after its start, and is being retried: {detail}",
	events.ProcessFailed: process_failed,
	events.RollingStopped: rolling_stopped,
	events.ProgramsStay: programs_stay,
	events.ConfigurationChanged: configuration_changed,
	events.GroupUpdating: shown_otherwise,  # by GroupUpdated or GroupNotUpdated, which follow
	events.GroupUpdated: group_updated,
	events.GroupNotUpdated: "{change.group} goes on by its former configuration: {reason}",
	events.HostsBegun: hosts_begun,
	events.HostsDone: hosts_done,
	events.HostsStopped: hosts_stopped,
	events.HandedOver: handed_over,
	events.NginxReloaded: "nginx has passed its test and was reloaded",
	events.NginxNotReloaded: "nginx was not reloaded: {reason}",
	events.WebSilent: web_silent,
	events.WebAnswersAgain: web_answers_again,
	events.WebTaken: "web cannot come up at {fault}. {fault.remedy}",
	events.WebUnproved: "web answers at {address}, but it is unknown whether the new process answers: {reason}.",
	events.WebCannotLinger: web_cannot_linger,
	events.WebRequestsWait: "{program}: requests wait from now on, until it is back.",
	events.WebRequestsServed: "{program}: new code answers the requests that have waited, {seconds:.1f} s at most.",
	events.WebRequestsFail: "{program}: requests fail until it is back, as {reason}.",
	events.NewWebAnswers: "{program}: new code answers after {seconds:.1f} s; old workers have served until now.",
	events.LiveMessagesSent: live_messages_sent,
	events.LiveMessagesNotKept: "what Frappe publishes for browsers while socketio restarts is lost, because {reason}.",
	events.PauseNotAnnounced: "pages of Desk are not told of the pause, because {reason}.",
	events.OldWebServes: old_web_serves,
	events.StillVerifying: still_verifying,
	events.OrphansFound: orphans_found,
	events.MigrationAdopted: migration_adopted,
	events.MigrationFinding: migration_finding,
	events.SettingChanged: setting_changed,
	events.SettingWasOn: "{key} of {site} is already on, and stays on",
	events.SettingRestored: setting_restored,
	events.SettingLeft: "someone changed {found.key} of {found.site} in the meantime; their value stays.",
	events.SettingFault: setting_fault,
	events.BackupStarted: "Backing up {site}",
	events.BackupEnded: backup_ended,
	events.MigrationsPlanned: migrations_planned,
	events.MigrationStarted: migration_started,
	events.MigrationOutput: "  {site}  {line}",
	events.MigrationEnded: migration_ended,
	events.MigrationsStopped: migrations_stopped,
}
