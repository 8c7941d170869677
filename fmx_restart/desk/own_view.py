"""An operation, and the bench now, as a site sees them that does not command the bench."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from fmx_restart.adapters.journal import Fact
from fmx_restart.engine import events
from fmx_restart.engine.format import count
from fmx_restart.engine.ledger import Account
from fmx_restart.engine.migration import SiteMigration
from fmx_restart.engine.options import Options
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Job, Process, ProcessKind, Request, WebWay
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.report import Failure, JobWait, Report

OTHER_SITE = "another site"
NOT_SHOWN = "(not shown)"
SOMEBODY = "someone"
BENCH = "this bench"
REMEDY = "The people who run this bench see the whole report."
FAILURES = {
	"BenchBusy": "Another operation held the bench.",
	"DrainTimeout": "Jobs were still running at the timeout.",
	"Interrupted": "It was stopped.",
	"MigrationFailed": "A migration failed.",
	"ProcessFault": "A process of the bench did not come back as it should.",
	"ProcessDied": "Its process died.",
	"JobsLost": "Not every job could be accounted for.",
}
FAILED = "It did not succeed."


class OwnView:
	"""`is_starter`: this site started the operation, so it may see who did."""

	def __init__(self, site: str, *, is_starter: bool = False) -> None:
		self.site, self.is_starter = site, is_starter
		self._aliases: dict[str, str] = {}

	def facts(self, facts: Iterable[Fact]) -> Iterator[Fact]:
		"""Those that this site sees, each as it sees it."""
		for time, fact in facts:
			if (shown := self.fact(fact)) is not None:
				yield time, shown

	def fact(self, fact: events.Event) -> events.Event | None:
		"""None for one that this site does not see."""
		if isinstance(fact, AS_IT_IS):
			return fact
		if isinstance(fact, OF_A_SITE):
			return self.of_a_site(fact)
		show = SHOWN.get(type(fact))
		return show(self, fact) if show else None

	def started(self, fact: events.OperationStarted) -> events.OperationStarted:
		"""Without the bench's folder and the process."""
		return events.OperationStarted(
			fact.operation, BENCH, fact.strategy, options=fact.options and self.options(fact.options)
		)

	def options(self, options: Options) -> Options:
		"""No command of --migrate-command: it is typed on the bench, and may hold anything."""
		migration = options.migration and replace(options.migration, command=())
		who = options.requested_by if self.is_starter else ""
		shown = {name: getattr(options, name) for name in SHOWN_OPTIONS}
		sites = {"sites": self.own(options.sites), "web_sites": self.own(options.web_sites)}
		return Options(**shown, **sites, migration=migration, requested_by=who)

	def requested(self, fact: events.Requested) -> events.Requested:
		"""Somebody asked: not who."""
		return events.Requested(Request(fact.request.wish, SOMEBODY, fact.request.seconds), fact.refusal)

	def still_running(self, fact: events.StillRunning) -> events.StillRunning:
		"""Without workers and pids."""
		jobs = tuple(replace(it, job=self.job(it.job), worker="", pid=None) for it in fact.jobs)
		return replace(fact, workers=(), jobs=jobs, orphans=())

	def queue_held(self, fact: events.QueueHeld) -> events.QueueHeld:
		"""Until when: not by whom."""
		return events.QueueHeld(tuple(map(anonymous, fact.holds)))

	def interrupted(self, fact: events.JobsInterrupted) -> events.JobsInterrupted:
		"""Jobs of other sites go by an alias."""
		return events.JobsInterrupted(self.jobs(fact.jobs), tuple(map(self.id, fact.requeued)))

	def abandoned(self, fact: events.JobsAbandoned) -> events.JobsAbandoned:
		"""Jobs of other sites go by an alias."""
		return events.JobsAbandoned(self.jobs(fact.jobs))

	def put_back(self, fact: events.JobsPutBack) -> events.JobsPutBack:
		return events.JobsPutBack(tuple(map(self.id, fact.ids)))

	def migrations(self, fact: events.MigrationsPlanned | events.MigrationsStopped) -> events.Event | None:
		"""None where this site is not migrated."""
		own = self.own(fact.sites)
		return replace(fact, sites=own) if own else None

	def migration_finding(self, fact: events.MigrationFinding) -> events.MigrationFinding | None:
		"""None for one about another site, or about the whole bench."""
		return fact if fact.finding.site == self.site else None

	def migration_ended(self, fact: events.MigrationEnded) -> events.MigrationEnded | None:
		"""None for another site's."""
		is_own = fact.migration.site == self.site
		return events.MigrationEnded(self.migration(fact.migration)) if is_own else None

	def setting(
		self, fact: events.SettingChanged | events.SettingRestored | events.SettingLeft
	) -> events.Event | None:
		"""None for another site's."""
		return fact if fact.found.site == self.site else None

	def of_a_site(self, fact: events.Event) -> events.Event | None:
		"""Without the paths of logs and backups, and without a reason, which may hold some."""
		if fact.site != self.site:
			return None
		return replace(fact, **{name: "" for name in ("log", "file", "reason") if hasattr(fact, name)})

	def ended(self, fact: events.Ended) -> events.Ended:
		"""The report as this site may see it."""
		return events.Ended(self.report(fact.report))

	def report(self, report: Report) -> Report:
		"""Jobs of other sites without names, no processes, and no path of the bench."""
		return Report(
			operation=report.operation,
			bench=BENCH,
			strategy=report.strategy,
			started=report.started,
			requested_by=report.requested_by if self.is_starter else "",
			outcome=report.outcome,
			seconds=report.seconds,
			phases=report.phases,
			waited_for=[JobWait(self.job(wait.job), wait.seconds) for wait in report.waited_for],
			restarted=[count(len(report.restarted), "program")] if report.restarted else [],
			still_running=list(self.jobs(report.still_running)),
			interrupted=list(self.jobs(report.interrupted)),
			requeued=[self.id(id) for id in report.requeued],
			migrations=[self.migration(it) for it in report.migrations if it.site == self.site],
			settings=[replace(it, reason="") for it in report.settings if it.found.site == self.site],
			account=report.account and self.account(report.account),
			held=list(map(anonymous, report.held)),
			failure=report.failure and failure(report.failure),
			failed_in=report.failed_in,
		)

	def account(self, account: Account) -> Account:
		"""The numbers of the whole bench; ids of other sites' jobs go by an alias."""
		lists = ("interrupted", "lost", "gone", "older_interrupted")
		return replace(account, **{name: [self.id(id) for id in getattr(account, name)] for name in lists})

	def migration(self, migration: SiteMigration) -> SiteMigration:
		"""Without paths and output."""
		return replace(migration, log="", backup="", last_lines=[])

	def plan(self, plan: Plan) -> Plan:
		"""Programs by what they are, not by name."""
		return Plan(
			restart=tuple(map(unnamed, plan.restart)),
			reloads=tuple(map(unnamed, plan.reloads)),
			pools={f"pool-{number}": size for number, size in enumerate(plan.pools.values(), 1)},
			left_alone=(),
			stays=tuple(map(unnamed, plan.stays)),
			busy=(),
			idle_workers=plan.idle_workers,
			jobs=self.jobs(plan.jobs),
			depths=plan.depths,
			longest=plan.longest,
			likely=plan.likely,
			suspension=plan.strangers_suspension and NOT_SHOWN,
			held=tuple(map(anonymous, plan.held)),
			migrate=self.own(plan.migrate),
			findings=tuple(finding for finding in plan.findings if finding.site == self.site),
			web_ways=unnamed_ways(plan),
			web_outage=plan.web_outage,
		)

	def jobs(self, jobs: Iterable[Job]) -> tuple[Job, ...]:
		"""Each job as this site may see it."""
		return tuple(map(self.job, jobs))

	def job(self, job: Job) -> Job:
		"""Its queue, times and limit; of another site's job neither id, site nor method."""
		if job.site == self.site:
			return job
		return replace(job, id=self.alias(job.id), site=OTHER_SITE, method=NOT_SHOWN)

	def id(self, id: str) -> str:
		"""Frappe puts the site before the ids that it makes; whose job another one is cannot be told."""
		return id if id.startswith(f"{self.site}::") else self.alias(id)

	def alias(self, id: str) -> str:
		"""As "other-1": the same id has the same alias throughout an operation."""
		return self._aliases.setdefault(id, f"other-{len(self._aliases) + 1}")

	def own(self, sites: Iterable[str]) -> tuple[str, ...]:
		"""This site, if it is among them."""
		return tuple(site for site in sites if site == self.site)


def failure(failure: Failure) -> Failure:
	"""A sentence by the kind of failure: the real one may name files and other sites."""
	return Failure(failure.type, FAILURES.get(failure.type, FAILED), REMEDY)


def unnamed_ways(plan: Plan) -> dict[str, WebWay]:
	"""Without a reason, which may name files of the bench."""
	ways = enumerate(plan.web_ways.values(), 1)
	return {
		f"{ProcessKind.WEB.value} {number}": WebWay(way.method, is_coming=way.is_coming)
		for number, way in ways
	}


def anonymous(hold: QueueHold) -> QueueHold:
	"""That somebody holds the queue, and until when."""
	return QueueHold(BENCH, SOMEBODY, "", "", hold.since, hold.until, has_stood=hold.has_stood)


def unnamed(process: Process) -> Process:
	"""A program by what it is."""
	return Process(process.kind.value, process.kind, process.state)


SHOWN_OPTIONS = (
	*("strategy", "drain_timeout", "on_timeout", "force_kill_timeout", "web", "workers", "rolling_share"),
	*("rolling_timeout", "rolling_max_failures", "maintenance", "queue_limit", "report_every", "origin"),
)
AS_IT_IS = (
	events.LaunchedFromWeb,
	events.PhaseEntered,
	events.NoWorkersFound,
	events.FenceLapsed,
	events.WorkersParked,
	events.Drained,
	events.QueueNearLimit,
)
OF_A_SITE = (
	events.MigrationAdopted,
	events.BackupStarted,
	events.BackupEnded,
	events.MigrationStarted,
	events.SettingWasOn,
	events.SettingFault,
)
SHOWN: dict[type[events.Event], Callable[[OwnView, events.Event], events.Event | None]] = {
	events.OperationStarted: OwnView.started,
	events.Requested: OwnView.requested,
	events.StillRunning: OwnView.still_running,
	events.QueueHeld: OwnView.queue_held,
	events.JobsInterrupted: OwnView.interrupted,
	events.JobsAbandoned: OwnView.abandoned,
	events.JobsPutBack: OwnView.put_back,
	events.MigrationsPlanned: OwnView.migrations,
	events.MigrationsStopped: OwnView.migrations,
	events.MigrationFinding: OwnView.migration_finding,
	events.MigrationEnded: OwnView.migration_ended,
	events.SettingChanged: OwnView.setting,
	events.SettingRestored: OwnView.setting,
	events.SettingLeft: OwnView.setting,
	events.Ended: OwnView.ended,
}


Answer = dict[str, Any]


def own_workers(answer: Answer, site: str, failed_jobs: list[Answer], holder: str | None) -> Answer:
	"""The part of a control site's `answer` that this site may see. `failed_jobs`: the newest of this site."""
	return {
		**{name: answer[name] for name in ("verdict", "recommended", "why")},
		"time": answer["time"],
		"bench": BENCH,
		"suspension": answer["suspension"] and NOT_SHOWN,
		"holds": [own_hold(hold) for hold in answer["holds"]],
		"suspended_by_us": answer["suspended_by_us"],
		"holder": holder,
		"operation": answer["operation"],
		"workers": [own_worker(worker, site, number) for number, worker in enumerate(answer["workers"], 1)],
		"queues": answer["queues"],
		"failed_jobs": failed_jobs,
		"other_benches": {},
		"scheduler": answer["scheduler"],
	}


def own_hold(hold: Answer) -> Answer:
	"""That somebody holds the queue, and until when."""
	kept = {name: hold[name] for name in ("since", "until", "is_beginning", "has_stood")}
	return {"bench": BENCH, "owner": SOMEBODY, "reason": "", "by": "", **kept}


def own_worker(worker: Answer, site: str, number: int) -> Answer:
	"""`number`: in place of its name, which holds host and pid."""
	kept = ("queues", "state", "is_alive", "is_leaving", "born", "heartbeat")
	job = worker["job"]
	if job and job["site"] != site:
		job = {**job, "id": f"other-{number}", "site": OTHER_SITE, "method": NOT_SHOWN}
	hidden = {"name": f"worker {number}", "host": "", "pid": None, "memory": None}
	return {**{name: worker[name] for name in kept}, **hidden, "job": job}


def own_findings(answer: Answer, site: str) -> Answer:
	"""The findings about this site. `others`: how many other findings there are."""
	own = [finding for finding in answer["findings"] if finding["subject"] == site]
	error = answer["error"] and "The bench cannot be examined now."
	return {
		"findings": own,
		"web": [],
		"others": len(answer["findings"]) - len(own),
		"error": error,
		"seconds": answer["seconds"],
	}
