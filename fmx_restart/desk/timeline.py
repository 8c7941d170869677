"""Who ran what around an operation, and when each process was replaced: what Desk draws as bars over time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

from fmx_restart.engine import events
from fmx_restart.engine.ports import GroupChange, Job, ProcessKind, Worker
from fmx_restart.engine.report import GroupResult, GroupUpdate, UpdateResult
from fmx_restart.engine.state import SILENCE

Row = dict[str, Any]
MOST_BARS = 200  # jobs that are drawn
RUNNING, ENDED, KILLED, PUT_BACK, LEFT = "running", "ended", "killed", "put back", "left running"
STOPPED, NEW, RELOADED, FAILED = "stopped", "new", "reloaded", "failed"
TO_COME, UNDER_WAY = "to come", "under way"
#: What became of a group of programs whose configuration changed is as in UpdateResult, once that is settled
#: What became of a group of hosts, once that is settled
GROUP_STATES = {
	GroupResult.REPLACED: "done",
	GroupResult.FAILED: "failed",
	GroupResult.UNTOUCHED: "not restarted",
}


class Timeline:
	"""
	Rows of programs with their jobs, as far as the journal tells. Instants are seconds since the epoch. A job whose worker
	nobody knows has no bar, and a worker that is in no program has a row of its own. Never a job's arguments.
	"""

	def __init__(self) -> None:
		self._host = ""
		self._began: float | None = None
		self._ended: float | None = None
		self._rows: dict[str, Row] = {}
		self._programs: dict[tuple[str, int], str] = {}  # by host and pid, as they were at the beginning
		self._runs: dict[str, str] = {}  # by a job's id: the program that ran it at the beginning
		self._bars: list[Row] = []
		self._newest: dict[str, Row] = {}  # by a job's id: a job that was put back may run again
		self._silent: dict[str, Row] = {}  # by the address at which users get no answer just now
		self._outages: list[Row] = []
		self._updates: dict[str, Row] = {}  # groups of programs whose configuration changed, by name
		self._groups: list[Row] = []  # of hosts, in their order, where they come one after the other

	def add(self, time: float, fact: events.Event) -> None:
		"""Take in one event of the journal. `time`: seconds since 1970."""
		if take := TAKES.get(type(fact)):
			take(self, fact, time)

	def as_json(self, phases: Iterable[Row]) -> str:
		"""`phases`: the rows of the operation's phases, with `started` and, once they are over, `seconds`."""
		rows = {name: {**row, "jobs": [], **self._outages_of(row)} for name, row in self._rows.items()}
		for bar in self._bars:
			rows[bar["row"]]["jobs"].append(
				{name: value for name, value in bar.items() if name not in ("id", "row")}
			)
		return json.dumps(
			{
				"from": self._began,
				"to": self._ended,
				"phases": list(map(phase_band, phases)),
				"rows": list(rows.values()),
				"hosts": self._groups,
				"configuration": list(self._updates.values()),
			}
		)

	def _started(self, fact: events.OperationStarted, time: float) -> None:
		self._began, self._host = time, fact.host

	def _planned(self, fact: events.Planned, time: float) -> None:
		for process in fact.plan.replaced:
			self._row(process.name, process.kind.value)
			if process.pid:
				self._programs[process.host or self._host, process.pid] = process.name
		self._groups = [
			{"hosts": list(hosts), "state": TO_COME, "seconds": None} for hosts in fact.plan.hosts
		]
		self._runs = dict(fact.plan.runs)
		for job in fact.plan.jobs:
			self._note(job, self._runs.get(job.id, ""), time)

	def _still_running(self, fact: events.StillRunning, time: float) -> None:
		workers = {worker.name: worker for worker in fact.workers}
		for running in fact.jobs:
			name = self._runs.get(running.job.id) or self._name_of(workers.get(running.worker))
			self._note(running.job, name, time)
		ids = {running.job.id for running in fact.jobs}
		self._close((bar for bar in self._open() if bar["id"] not in ids), time)

	def _drained(self, _fact: events.Drained, time: float) -> None:
		self._close(self._open(), time)

	def _handed_over(self, fact: events.HandedOver, time: float) -> None:
		for job in fact.jobs:
			self._note(job, self._runs.get(job.id, ""), time)

	def _interrupted(self, fact: events.JobsInterrupted, time: float) -> None:
		back = set(fact.requeued)
		for job in fact.jobs:
			self._settle(job, PUT_BACK if job.id in back else KILLED, time)

	def _abandoned(self, fact: events.JobsAbandoned, time: float) -> None:
		for job in fact.jobs:
			self._settle(job, KILLED, time)

	def _put_back(self, fact: events.JobsPutBack, time: float) -> None:
		for id in fact.ids:
			if bar := self._newest.get(id):
				self._close([bar], time)
				bar["fate"] = PUT_BACK

	def _down(self, fact: events.ProcessDown, time: float) -> None:
		self._close(self._open(fact.name), time)
		self._mark(fact.name, STOPPED, time)

	def _up(self, fact: events.ProcessUp, time: float) -> None:
		self._row(fact.name, fact.kind.value)
		self._mark(fact.name, NEW, time)

	def _reloaded(self, fact: events.WorkerReloaded, time: float) -> None:
		"""`seconds` since it had no job any more, but for a pool, whose workers have left one by one until now."""
		self._row(fact.name, fact.kind.value)
		self._close(self._open(fact.name), time if fact.workers else time - fact.seconds)
		self._mark(fact.name, RELOADED, time)

	def _failed(self, fact: events.ProcessFailed, time: float) -> None:
		self._mark(fact.name, FAILED, time)

	def _web_silent(self, fact: events.WebSilent, time: float) -> None:
		"""When that began is known to the instant only once it is over."""
		self._silent[fact.address] = {"from": time - SILENCE, "to": None}
		self._outages.append(self._silent[fact.address])

	def _web_answers(self, fact: events.WebAnswersAgain, time: float) -> None:
		if outage := self._silent.pop(fact.address, None):
			outage |= {"from": time - fact.seconds, "to": time}

	def _outages_of(self, row: Row) -> Row:
		"""What users got is web's: at which of several programs nobody can tell."""
		return {"outages": joined(self._outages)} if row["kind"] == ProcessKind.WEB.value else {}

	def _hosts_begun(self, fact: events.HostsBegun, _time: float) -> None:
		"""The groups before it are new and well, or there would be no next one."""
		for number, group in enumerate(self._groups, 1):
			if number <= fact.number:
				group["state"] = UNDER_WAY if number == fact.number else GROUP_STATES[GroupResult.REPLACED]

	def _hosts_done(self, fact: events.HostsDone, _time: float) -> None:
		"""A pause may follow, in which no group's turn is."""
		for group in self._groups:
			if group["hosts"] == list(fact.hosts):
				group["state"] = GROUP_STATES[GroupResult.REPLACED]

	def _configuration(self, fact: events.ConfigurationChanged, _time: float) -> None:
		"""Told again where the manager's own word, after the drain, is another one."""
		for change in fact.plan.changes:
			reason = fact.plan.left.get(change.group, "")
			is_left = reason or not fact.plan.is_applied
			self._settle_group(change, UpdateResult.LEFT.value if is_left else TO_COME, reason)

	def _group_updated(self, fact: events.GroupUpdated, _time: float) -> None:
		self._settle_group(fact.change, UpdateResult.UPDATED.value)

	def _group_not_updated(self, fact: events.GroupNotUpdated, _time: float) -> None:
		self._settle_group(fact.change, UpdateResult.FAILED.value, fact.reason)

	def _settle_group(self, change: GroupChange | GroupUpdate, state: str, reason: str = "") -> None:
		row = {"group": change.group, "change": change.change.value, "state": state, "reason": reason}
		self._updates[change.group] = row

	def _over(self, fact: events.Ended, _time: float) -> None:
		"""What still runs was left running: nothing has ended it, as far as is known."""
		self._ended = fact.report.started + fact.report.seconds
		untouched = {"state": GROUP_STATES[GroupResult.UNTOUCHED], "seconds": None}
		told = [{"state": GROUP_STATES[it.result], "seconds": it.seconds or None} for it in fact.report.hosts]
		for group, state in zip_longest(self._groups, told, fillvalue=untouched):
			group |= state
		for update in fact.report.configuration:
			self._settle_group(update, update.result.value, update.reason)
		for bar in self._open():
			bar["fate"] = LEFT

	def _row(self, name: str, kind: str = "") -> Row:
		row = self._rows.setdefault(name, {"name": name, "kind": kind, "marks": []})
		row["kind"] = row["kind"] or kind
		return row

	def _mark(self, name: str, what: str, time: float) -> None:
		self._row(name)["marks"].append({"what": what, "at": time})

	def _name_of(self, worker: Worker | None) -> str:
		"""Of the row: that of its program, else one by its queues and its pid. Empty where the worker is not known."""
		if worker is None:
			return ""
		lone = f"{', '.join(worker.queues)} (pid {worker.pid})"
		return self._programs.get((worker.host, worker.pid), lone)

	def _note(self, job: Job, name: str, time: float) -> None:
		"""It runs. Known by its beginning: the same job may run twice."""
		known = self._newest.get(job.id)
		is_known = known and (known["to"] is None or known["from"] == (job.started or known["from"]))
		if not name or is_known or len(self._bars) == MOST_BARS:
			return
		self._row(name, "worker")
		bar = {"id": job.id, "row": name, "method": job.method, "site": job.site}
		bar |= {"from": job.started or time, "to": None, "fate": RUNNING}
		self._newest[job.id] = bar
		self._bars.append(bar)

	def _settle(self, job: Job, fate: str, time: float) -> None:
		self._note(job, self._runs.get(job.id, ""), time)
		if bar := self._newest.get(job.id):
			self._close([bar], time)
			bar["fate"] = fate

	def _open(self, name: str | None = None) -> list[Row]:
		"""Those that go on; of one row only, where it is named."""
		return [bar for bar in self._bars if bar["to"] is None and name in (None, bar["row"])]

	def _close(self, bars: Iterable[Row], time: float) -> None:
		for bar in bars:
			if bar["to"] is None:
				bar |= {"to": max(bar["from"], time), "fate": ENDED}


def joined(spans: Iterable[Row]) -> list[Row]:
	"""Those that overlap, as at web itself and at the proxy in front of it, are one. `to` is None for one that goes on."""
	told: list[Row] = []
	for span in sorted(spans, key=lambda one: one["from"]):
		last = told[-1] if told else None
		if last is None or (last["to"] is not None and last["to"] < span["from"]):
			told.append(dict(span))
		elif last["to"] is not None:
			last["to"] = span["to"] and max(last["to"], span["to"])
	return told


def phase_band(phase: Row) -> Row:
	"""From when to when; `to` is None for the current one."""
	seconds = phase.get("seconds")
	end = None if seconds is None else phase["started"] + seconds
	return {"phase": phase["phase"], "from": phase["started"], "to": end}


TAKES: dict[type[events.Event], Callable[[Timeline, Any, float], None]] = {
	events.OperationStarted: Timeline._started,
	events.Planned: Timeline._planned,
	events.StillRunning: Timeline._still_running,
	events.Drained: Timeline._drained,
	events.HandedOver: Timeline._handed_over,
	events.JobsInterrupted: Timeline._interrupted,
	events.JobsAbandoned: Timeline._abandoned,
	events.JobsPutBack: Timeline._put_back,
	events.ProcessDown: Timeline._down,
	events.ProcessUp: Timeline._up,
	events.WorkerReloaded: Timeline._reloaded,
	events.ProcessFailed: Timeline._failed,
	events.WebSilent: Timeline._web_silent,
	events.WebAnswersAgain: Timeline._web_answers,
	events.HostsBegun: Timeline._hosts_begun,
	events.HostsDone: Timeline._hosts_done,
	events.ConfigurationChanged: Timeline._configuration,
	events.GroupUpdated: Timeline._group_updated,
	events.GroupNotUpdated: Timeline._group_not_updated,
	events.Ended: Timeline._over,
}
