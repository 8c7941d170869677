"""What an operation's report says, as the fields and child rows of a Restart Operation."""

from __future__ import annotations

from typing import Any

from fmx_restart.engine.ledger import Account
from fmx_restart.engine.migration import SiteMigration
from fmx_restart.engine.ports import Job, Setting
from fmx_restart.engine.report import Report

Row = dict[str, Any]
MOST_WAITED = 200  # jobs that were waited for and are named; jobs_waited_for counts them all


def told_by_report(report: Report, before: Row) -> Row:
	"""`before`: what single facts told. They know when a process failed, and which ghosts were put back."""
	told = {
		"requested_by": report.requested_by or before.get("requested_by"),
		"web_outage": report.web_outage or 0.0,  # a column holds no null; where nobody knows nothing is shown
		"phases": phase_rows(report),
		"processes": process_rows(report, before["processes"]),
		"jobs": job_rows(report, before["jobs"]),
		"jobs_waited_for": len(report.waited_for),
		"jobs_interrupted": len(report.interrupted),
		"jobs_requeued": len(report.requeued),
		"migrations": [migration_row(migration) for migration in report.migrations],
		"settings": [
			{**setting_row(kept.found), "restored": kept.is_restored, "reason": kept.reason}
			for kept in report.settings
		],
	}
	return told | (counts(report.account) if report.account else {})


def counts(account: Account) -> Row:
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
	rows, at = [], report.started
	for passed in report.phases:
		rows.append({"phase": passed.phase.value, "started": at, "seconds": passed.seconds})
		at += passed.seconds
	return rows


def process_rows(report: Report, before: list[Row]) -> list[Row]:
	known = {row["program"]: row for row in before}
	for change in report.processes:
		row = known.setdefault(change.name, {"program": change.name})
		row |= {"kind": change.kind.value, "old_pid": change.old_pid, "new_pid": change.new_pid}
		row |= {"seconds_down": change.seconds_down}
		if change.new_pid and row.get("outcome") != "Failed":
			row["outcome"] = "Replaced"
	return list(known.values())


def job_rows(report: Report, before: list[Row]) -> list[Row]:
	back, lost = set(report.requeued), report.account.lost if report.account else []
	rows = [
		{**job_row(wait.job, "Waited For"), "seconds": wait.seconds}
		for wait in report.waited_for[:MOST_WAITED]
	]
	rows += [job_row(job, "Still Running") for job in report.still_running]
	rows += [job_row(job, "Interrupted") for job in report.interrupted]
	rows += [job_row(job, "Requeued") for job in report.interrupted if job.id in back]
	rows += [row for row in before if row["part"] == "Put Back"]
	return rows + [{"part": "Lost", "job_id": id} for id in lost]


def job_row(job: Job, part: str) -> Row:
	return {"part": part, "site": job.site, "method": job.method, "queue": job.queue, "job_id": job.id}


def setting_row(found: Setting) -> Row:
	value = str(found.value) if found.is_present else "not set"
	return {"site": found.site, "setting": found.key, "found": value}


def migration_row(migration: SiteMigration) -> Row:
	names = ("site", "seconds", "exit_code", "culprit", "backup", "log")
	return {"result": migration.result.value, **{name: getattr(migration, name) for name in names}}
