"""A journal's facts and its report as the row that shows them. Nothing of Frappe here."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from fmx_restart.adapters.journal import Fact, facts_in, without_repetitions
from fmx_restart.console.headline import headline
from fmx_restart.console.report import ending
from fmx_restart.console.sentences import sentence
from fmx_restart.console.web_answers import web_sentence
from fmx_restart.desk.awaited_jobs import MOST_WAITED, RUNNING, WAITED_FOR, AwaitedJobs, job_row
from fmx_restart.desk.json_safe import json_safe
from fmx_restart.desk.own_view import OwnView
from fmx_restart.desk.timeline import Timeline
from fmx_restart.engine import events
from fmx_restart.engine.errors import exit_code_of
from fmx_restart.engine.ledger import Account
from fmx_restart.engine.migration import SiteMigration
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Job, Setting
from fmx_restart.engine.report import ReplacedBy, Report, outcome_name, put_back, waited_to_their_end
from fmx_restart.engine.web_answers import outage

FIRST, LAST = 500, 1000  # lines that are kept


class OperationLog:
	"""`zone`: of the clock times. The journal has every line; those in the middle of a long one are only counted here."""

	def __init__(self, zone: tzinfo | None = None) -> None:
		self.zone = zone
		self._first: list[str] = []
		self._last: deque[str] = deque(maxlen=LAST)
		self._count = 0

	def add(self, time: float, text: str) -> None:
		"""One line with the clock time of the site's time zone. Of a long log the beginning and the end are kept."""
		line = f"{datetime.fromtimestamp(time, self.zone):%H:%M:%S}  {text}\n"
		self._count += 1
		(self._first if len(self._first) < FIRST else self._last).append(line)

	def text(self) -> str:
		"""The log, and how many lines are left out of its middle."""
		left_out = self._count - len(self._first) - len(self._last)
		middle = [f"… {left_out} entries are left out here. The journal has them all.\n"] if left_out else []
		return "".join([*self._first, *middle, *self._last])


Row = dict[str, Any]  # fields of a Restart Operation; instants in seconds since the epoch


def report_fields(report: Report, before: Row) -> Row:
	"""
	Row fields of a finished operation. `before`: the row that its single facts gave; only they know when a process failed,
	and which ghosts were put back.
	"""
	fields = {
		"requested_by": report.requested_by or before.get("requested_by"),
		"web_answers": "\n".join(map(web_sentence, report.web)),
		"web_outage": outage(report.web)
		or 0.0,  # a column holds no null; where nobody knows nothing is shown
		"phases": phase_rows(report),
		"processes": process_rows(report, before["processes"]),
		"jobs": job_rows(report, before["jobs"]),
		"jobs_waited_for": len(waited_to_their_end(report)),
		"jobs_interrupted": len(report.interrupted),
		"jobs_requeued": len(report.requeued),
		"migrations": [migration_row(migration) for migration in report.migrations],
		"settings": [
			{**setting_row(kept.found), "restored": kept.is_restored, "reason": kept.reason}
			for kept in report.settings
		],
	}
	return fields | (counts(report.account) if report.account else {})


def counts(account: Account) -> Row:
	"""The ledger as fields of a row."""
	return {
		"jobs_before": account.before,
		"jobs_arrived": account.arrived,
		"jobs_finished": account.finished,
		"jobs_failed": account.failed,
		"jobs_queued": account.waiting,
		"jobs_running": account.running,
		"jobs_removed": account.removed,
		"jobs_lost": len(account.lost),
		"jobs_lost_before": account.older_ghosts,
	}


def phase_rows(report: Report) -> list[Row]:
	"""Each phase with its beginning, in seconds since 1970, and its seconds."""
	rows, at = [], report.started
	for passed in report.phases:
		rows.append({"phase": passed.phase.value, "started": at, "seconds": passed.seconds})
		at += passed.seconds
	return rows


def process_rows(report: Report, before: list[Row]) -> list[Row]:
	"""What the report says of each program, in addition to what events said."""
	known = {row["program"]: row for row in before}
	for change in report.processes:
		row = known.setdefault(change.name, {"program": change.name})
		row |= {"kind": change.kind.value, "old_pid": change.old_pid, "new_pid": change.new_pid}
		row |= {"seconds_down": change.seconds_down}
		if change.new_pid and row.get("outcome") != "Failed":
			row["outcome"] = "Reloaded" if change.by is ReplacedBy.RELOAD else "Replaced"
		if change.former_workers and not row.get("reason"):
			row["reason"] = f"{change.former_workers} of {change.workers} workers still have the old code"
	return list(known.values())


def job_rows(report: Report, before: list[Row]) -> list[Row]:
	"""Jobs by what happened to them. Ids only for those that were put back or lost: the journal has no more."""
	lost = report.account.lost if report.account else []
	rows = [
		{**job_row(wait.job, WAITED_FOR), "seconds": wait.seconds}
		for wait in waited_to_their_end(report)[:MOST_WAITED]
	]
	seconds = {wait.job.id: wait.seconds for wait in report.waited_for}
	others = [
		*(job_row(job, "Still Running") for job in report.still_running),
		*interrupted_rows(report.interrupted, report.requeued),
	]
	rows += [{**row, "seconds": seconds.get(row["job_id"], 0.0)} for row in others]
	rows += [row for row in before if row["part"] == "Put Back"]
	return rows + [{"part": "Lost", "job_id": id} for id in lost]


def interrupted_rows(jobs: Iterable[Job], requeued: Iterable[str]) -> list[Row]:
	"""One that was put back has two rows."""
	jobs = list(jobs)
	rows = [job_row(job, "Interrupted") for job in jobs]
	return rows + [job_row(job, "Requeued") for job in put_back(jobs, requeued)]


def setting_row(setting: Setting) -> Row:
	"""The value as found, so that a person could set it back."""
	value = str(setting.value) if setting.is_present else "not set"
	return {"site": setting.site, "setting": setting.key, "found": value}


def migration_row(migration: SiteMigration) -> Row:
	"""Without its output, which is in the log's file."""
	names = ("site", "seconds", "exit_code", "culprit", "backup", "log")
	return {"result": migration.result.value, **{name: getattr(migration, name) for name in names}}


ORIGINS = {"terminal": "Terminal", "desk": "Desk", "api": "API", "schedule": "Schedule"}


def project(facts: Iterable[Fact], zone: tzinfo | None = None) -> Row:
	"""`zone`: of the clock times in the log. A journal without a beginning gives a row without one."""
	builder = RowBuilder(zone)
	for time, fact in facts:
		builder.add(time, fact)
	return builder.as_row()


class RowBuilder:
	"""What is known so far. CHANGES names the method of each event that changes a field; the others are only in the log."""

	def __init__(self, zone: tzinfo | None = None) -> None:
		self.log = OperationLog(zone)
		self.row: Row = {"status": "Running", "phase": "Preflight"}
		self.row |= {name: [] for name in ("phases", "processes", "jobs", "migrations", "settings")}
		self.awaited, self.timeline = AwaitedJobs(), Timeline()
		self.programs: dict[str, Row] = {}
		self.running: frozenset[str] | None = None
		self.not_understood: set[str] = set()
		self.error_in = ""  # the phase in which the first error was told

	def as_row(self) -> Row:
		"""The row as it is after the events so far."""
		timeline = self.timeline.as_json(self.row["phases"])
		return {**self.row, "log": self.log.text(), "timeline": timeline}

	def add(self, time: float, fact: events.Event) -> None:
		"""Take in one event of the journal. `time`: seconds since 1970."""
		if fact.level is events.Level.ERROR and not self.error_in:
			self.error_in = self.row["failed_in"] = self.row["phase"]
		if change := CHANGES.get(type(fact)):
			change(self, fact, time)
		self.timeline.add(time, fact)
		self.write_log(fact, time)

	def write_log(self, fact: events.Event, time: float) -> None:
		"""Writes a wait that goes on once, until it is for others; what is not understood, once for each reason."""
		if isinstance(fact, events.NotUnderstood):
			if fact.reason in self.not_understood:
				return
			self.not_understood.add(fact.reason)
		if isinstance(fact, events.StillRunning):
			waiting = frozenset(running.job.id for running in fact.jobs)
			if waiting == self.running:
				return
			self.running = waiting
		text = "\n".join(end_of(fact)) if isinstance(fact, events.Ended) else sentence(fact)
		if text:
			self.log.add(time, text)

	def operation_started(self, fact: events.OperationStarted, time: float) -> None:
		"""What it is and who asked for it; the Preflight begins."""
		self.row |= {"bench": fact.bench, "strategy": fact.strategy, "started": time}
		if fact.options:
			self.row |= option_fields(fact.options)
		self.row["phases"].append({"phase": "Preflight", "started": time})

	def phase_entered(self, fact: events.PhaseEntered, time: float) -> None:
		"""The phase before ends now."""
		phases = self.row["phases"]
		if phases:
			phases[-1]["seconds"] = time - phases[-1]["started"]
		phases.append({"phase": fact.phase.value, "started": time})
		self.row["phase"] = fact.phase.value

	def planned(self, fact: events.Planned, _time: float) -> None:
		"""Each program with the pid it has before."""
		for process in fact.plan.replaced:
			self.program(process.name).update(kind=process.kind.value, old_pid=process.pid)
		for process in (*fact.plan.left_alone, *fact.plan.stays):
			self.program(process.name).update(kind=process.kind.value, outcome="Left Alone")

	def program(self, name: str) -> Row:
		"""The program's row, made where there is none."""
		if name not in self.programs:
			self.programs[name] = {"program": name}
			self.row["processes"].append(self.programs[name])
		return self.programs[name]

	def process_stopping(self, fact: events.ProcessStopping, _time: float) -> None:
		"""It got its stop order."""
		self.program(fact.name).update(kind=fact.kind.value, old_pid=fact.pid, outcome="Stopping")

	def process_down(self, fact: events.ProcessDown, _time: float) -> None:
		"""The old process is gone, and a new one is to come."""
		self.program(fact.name).update(old_pid=fact.pid, outcome="Starting")

	def process_up(self, fact: events.ProcessUp, _time: float) -> None:
		"""The new process is there."""
		pids = {"old_pid": fact.old_pid, "new_pid": fact.new_pid, "seconds_down": fact.seconds}
		self.program(fact.name).update(kind=fact.kind.value, outcome="Replaced", **pids)

	def worker_reloaded(self, fact: events.WorkerReloaded, _time: float) -> None:
		"""The same process has new code."""
		seconds = 0.0 if fact.workers else fact.seconds  # a pool serves all the while
		pids = {"old_pid": fact.pid, "new_pid": fact.pid, "seconds_down": seconds}
		self.program(fact.name).update(kind=fact.kind.value, outcome="Reloaded", **pids)

	def process_failed(self, fact: events.ProcessFailed, _time: float) -> None:
		"""It did not come back: the reason, and what it wrote since the restart."""
		self.program(fact.name).update(outcome="Failed", reason=fact.reason, log=fact.log_tail.rstrip())

	def handed_over(self, fact: events.HandedOver, _time: float) -> None:
		"""The programs that keep the old code until their job ends."""
		for name in fact.processes:
			self.program(name).update(outcome="Waiting for Its Job")

	def still_running(self, fact: events.StillRunning, time: float) -> None:
		"""For how long each job has been waited for, in seconds. Only the first ones get a row."""
		self.awaited.note(fact, time)
		self.show_awaited()
		self.row["jobs_queued"] = sum(fact.depths.values())

	def drained(self, _fact: events.Drained, time: float) -> None:
		"""No job runs any more."""
		self.awaited.all_ended(time)
		self.show_awaited()

	def show_awaited(self) -> None:
		"""In front of what became of other jobs."""
		others = [row for row in self.row["jobs"] if row["part"] not in (RUNNING, WAITED_FOR)]
		self.row["jobs"] = [*self.awaited.rows, *others]
		self.row["jobs_waited_for"] = self.awaited.ended
		self.row["jobs_running"] = self.awaited.running

	def jobs_interrupted(self, fact: events.JobsInterrupted, _time: float) -> None:
		"""Jobs that were killed, and which of them are back in their queue."""
		self.awaited.leave(job.id for job in fact.jobs)
		self.show_awaited()
		self.row["jobs"] += interrupted_rows(fact.jobs, fact.requeued)
		self.row["jobs_interrupted"] = self.row.get("jobs_interrupted", 0) + len(fact.jobs)
		self.row["jobs_requeued"] = self.row.get("jobs_requeued", 0) + len(fact.requeued)

	def jobs_put_back(self, fact: events.JobsPutBack, _time: float) -> None:
		"""Jobs that had been in no list."""
		self.row["jobs"] += [{"part": "Put Back", "job_id": id} for id in fact.ids]
		self.row["jobs_put_back"] = self.row.get("jobs_put_back", 0) + len(fact.ids)

	def setting_changed(self, fact: events.SettingChanged, _time: float) -> None:
		"""The value as found; it counts as not restored yet."""
		self.row["settings"].append(setting_row(fact.found))

	def setting_restored(self, fact: events.SettingRestored, _time: float) -> None:
		"""It is as it was found."""
		self.setting(fact.found.site, fact.found.key)["restored"] = True

	def setting_left(self, fact: events.SettingLeft, _time: float) -> None:
		"""It was not restored, as somebody else has changed it."""
		self.setting(fact.found.site, fact.found.key)["reason"] = "Someone else has changed it since."

	def setting_fault(self, fact: events.SettingFault, _time: float) -> None:
		"""It could not be written, and why."""
		self.setting(fact.site, fact.key)["reason"] = fact.reason

	def setting(self, site: str, key: str) -> Row:
		"""The last change of it; a fault may come before any."""
		for row in reversed(self.row["settings"]):
			if (row["site"], row["setting"]) == (site, key):
				return row
		self.row["settings"].append({"site": site, "setting": key})
		return self.row["settings"][-1]

	def migrations_planned(self, fact: events.MigrationsPlanned, _time: float) -> None:
		"""Every site counts as not tried until its migration ends."""
		self.row["migrations"] = [{"site": site, "result": "not tried"} for site in fact.sites]

	def migration_ended(self, fact: events.MigrationEnded, _time: float) -> None:
		"""The site's result, in place of "not tried"."""
		ended = migration_row(fact.migration)
		others = [row for row in self.row["migrations"] if row["site"] != ended["site"]]
		self.row["migrations"] = [*others, ended]

	def ended(self, fact: events.Ended, _time: float) -> None:
		"""Outcome, exit code and failure. The report corrects what the events have said."""
		report = fact.report
		outcome = outcome_name(report)
		self.row |= {"status": outcome, "phase": outcome, "headline": headline(report).text}
		self.row["failed_in"] = self.failed_in(report)
		self.row |= {"finished": report.started + report.seconds, "duration": report.seconds, "exit_code": 0}
		if report.failure:
			self.row |= {"failure": report.failure.type, "reason": report.failure.message}
			self.row |= {"remedy": report.failure.hint, "exit_code": exit_code_of(report.failure.type)}
		self.row |= report_fields(report, self.row)

	def failed_in(self, report: Report) -> str:
		"""The phase of the first error; journals of older versions have it in no report. Empty where nothing failed."""
		if report.outcome is not Phase.FAILED:
			return ""
		if report.failed_in:
			return report.failed_in.value
		return self.error_in or (report.phases[-1].phase.value if report.phases else "")


#: What an event changes in a row
CHANGES: dict[type[events.Event], Callable[[RowBuilder, Any, float], None]] = {
	events.OperationStarted: RowBuilder.operation_started,
	events.PhaseEntered: RowBuilder.phase_entered,
	events.Planned: RowBuilder.planned,
	events.ProcessStopping: RowBuilder.process_stopping,
	events.ProcessDown: RowBuilder.process_down,
	events.ProcessUp: RowBuilder.process_up,
	events.WorkerReloaded: RowBuilder.worker_reloaded,
	events.ProcessFailed: RowBuilder.process_failed,
	events.HandedOver: RowBuilder.handed_over,
	events.StillRunning: RowBuilder.still_running,
	events.Drained: RowBuilder.drained,
	events.JobsInterrupted: RowBuilder.jobs_interrupted,
	events.JobsPutBack: RowBuilder.jobs_put_back,
	events.SettingChanged: RowBuilder.setting_changed,
	events.SettingRestored: RowBuilder.setting_restored,
	events.SettingLeft: RowBuilder.setting_left,
	events.SettingFault: RowBuilder.setting_fault,
	events.MigrationsPlanned: RowBuilder.migrations_planned,
	events.MigrationEnded: RowBuilder.migration_ended,
	events.Ended: RowBuilder.ended,
}


class JournalProjection:
	"""
	A journal's row, brought up to date by reading only what was written since: a journal may have any length. `view`: what
	of it is told, for a site that may not see everything.
	"""

	def __init__(self, path: Path, zone: tzinfo | None = None, view: OwnView | None = None) -> None:
		self.path, self.builder, self.view = path, RowBuilder(zone), view
		self.size = 0  # bytes of the journal at the last reading
		self.is_complete = False  # whether the row told all that the journal held at the last reading
		self._offset = 0  # where the first line begins that was not read as a whole

	def read(self, most: int = -1) -> Row:
		"""`most`: bytes, where there is no time for all of them now. One line is always read whole."""
		with self.path.open("rb") as journal:
			journal.seek(self._offset)
			data = journal.read(most)
			if b"\n" not in data:
				data += journal.readline()
			self.size = self._offset + len(data)
			self.is_complete = self.size == os.fstat(journal.fileno()).st_size
		whole = data[: data.rfind(b"\n") + 1]
		self._offset += len(whole)
		lines = whole.decode(errors="replace").split("\n")[:-1]
		facts = facts_in(without_repetitions(lines))
		for time, fact in self.view.facts(facts) if self.view else facts:
			self.builder.add(time, fact)
		return self.builder.as_row()


def end_of(fact: events.Ended) -> list[str]:
	"""The lines of a log's end: outcome, reason, what to type."""
	report = fact.report
	reasons = ending(report)[1:] if report.failure else []
	return [headline(report).text, *filter(None, reasons)]


def option_fields(options: Options) -> Row:
	"""The options as fields of a row, and all of them as JSON for a person."""
	return {
		"requested_by": options.requested_by,
		"origin": ORIGINS.get(options.origin, "Terminal"),
		"migrate": bool(options.migration),
		"sites": "\n".join(options.sites),
		"options": json.dumps(json_safe(asdict(options)), indent=1, default=sorted),
	}
