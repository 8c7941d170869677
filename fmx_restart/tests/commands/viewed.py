"""
A stand-in for an operation, in a process of its own, with a real viewer on a real journal:
python -m fmx_restart.tests.commands.viewed FOLDER SHOWN STORY. It needs no bench. What happens when is decided by files
that a test makes in FOLDER.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from pathlib import Path

import click

from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.machine import this_machine
from fmx_restart.commands import viewer
from fmx_restart.commands.operate import watch_apart
from fmx_restart.commands.operation_process import Reporter
from fmx_restart.commands.parameters import Invocation
from fmx_restart.commands.restart import exit_on_error, leaving, listener
from fmx_restart.commands.viewer import MigrationLogs, Moment, Viewer
from fmx_restart.engine import events
from fmx_restart.engine.emitter import Emitter
from fmx_restart.engine.errors import Interrupted, JournalFault, ProcessFault, WrongEnvironment
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, Job, Worker, WorkerState
from fmx_restart.engine.report import Failure, Report

ID = "20000101-000000-0000"
BEAT = 0.002  # seconds between two facts
LONG = "x" * 4000  # a fact that fills a terminal's buffer soon


class Stage:
	"""What the stories of operations have in common."""

	def __init__(self, folder: Path, reporter: Reporter, stop_requested: threading.Event) -> None:
		self.folder, self.reporter, self.stop_requested = folder, reporter, stop_requested

	def begin(self, journal=None) -> None:
		self.emit = Emitter(journal or Journal(self.folder, ID), [self.reporter])
		self.reporter.begins()
		me = HostProcess(os.getpid(), "an-identity")
		self.emit(events.OperationStarted(ID, "a-bench", "wait-workers", this_machine().name, me))

	def work(self, until: str, fact: events.Event | None = None, beat: float = BEAT) -> None:
		"""Tells a long fact every few milliseconds until the test makes that file; or another one, as often as it says."""
		while not (self.folder / until).exists() and self.folder.exists():
			if self.stop_requested.is_set() and not (self.folder / "deaf").exists():
				error = Interrupted(
					"Stopped on request during the wait for running jobs. Nothing was restarted; the queue keeps running."
				)
				self.end(Phase.ABORTED, error)
			self.emit(fact or events.QueueAway(LONG))
			time.sleep(beat)

	def end(self, outcome: Phase = Phase.DONE, error: Exception | None = None) -> None:
		failure = Failure(type(error).__name__, str(error), getattr(error, "hint", "")) if error else None
		self.emit(events.Ended(Report(ID, "a-bench", "wait-workers", 0.0, outcome=outcome, failure=failure)))
		if error:
			raise error


def works(stage: Stage) -> None:
	stage.begin()
	stage.work(until="end")
	stage.end()


def drains(stage: Stage) -> None:
	"""Waits for two jobs with long names until the test lets it go on, then restarts."""
	stage.begin()
	stage.emit(events.PhaseEntered(Phase.DRAIN))
	jobs = tuple(running_job(number) for number in (1, 2))
	workers = tuple(
		Worker(run.worker, "a-host", run.pid, ("long", "default"), WorkerState.BUSY, run.job.id, 1.0, 1.0)
		for run in jobs
	)
	stage.work(
		until="restart", fact=events.StillRunning(workers, jobs, (), {"long": 7}, 300.0, 42.0), beat=0.3
	)
	stage.emit(events.Drained(1.0, 2))
	stage.emit(events.PhaseEntered(Phase.RESTART))
	stage.work(until="end", fact=events.PhaseEntered(Phase.VERIFY), beat=0.3)
	stage.end()


def running_job(number: int) -> events.RunningJob:
	site = f"a-site-with-a-rather-long-name-{number}.example.com"
	job = Job(f"{site}::1", site, "an_app.with.a_long_path.to.its.method", "long", 1.0, 1500.0)
	return events.RunningJob(job, f"worker-{number}", 4710 + number, 12.5, 1200.0)


def does_not_come_back(stage: Stage) -> None:
	stage.begin()
	stage.work(until="end")
	stage.end(Phase.FAILED, ProcessFault("Not as it should be: web.", hint="Read its log."))


def migrates(stage: Stage) -> None:
	stage.begin()
	log = stage.folder / "migration.log"
	log.write_text("line 1\nadmin_password: hunter2\n")
	stage.emit(events.MigrationStarted("a-site", str(log), 600.0))
	stage.work(until="more")
	with log.open("a") as file:
		file.write("line 3\nno end")
	stage.emit(events.BackupEnded("a-site", "a-file", 1.0))
	stage.end()


def hands_over(stage: Stage) -> None:
	stage.begin()
	stage.emit(events.PhaseEntered(Phase.HANDOVER))
	stage.emit(events.HandedOver(("worker",), (), 4))
	stage.work(until="end")
	stage.end()


def recovers_another_one_first(stage: Stage) -> None:
	stage.reporter(events.RecoveryStarted("another", Phase.DRAIN, HostProcess(1)))
	stage.reporter(events.PhaseEntered(Phase.LIFT))
	stage.reporter(events.Ended(Report("another", "a-bench", "fast", 0.0, outcome=Phase.RECOVERED)))
	stage.begin()
	stage.work(until="end")
	stage.end()


def cannot_begin(stage: Stage) -> None:
	raise WrongEnvironment("Redis is not there. Nothing was changed.", hint="Start Redis.")


def breaks(stage: Stage) -> None:
	print("so it goes", flush=True)  # noqa: T201
	raise KeyError("an error that nobody foresaw")


def loses_its_journal(stage: Stage, disk: type[DiskThatFills] | None = None) -> None:
	"""As an engine's operation does once processes are being restarted: it goes on without the journal."""
	stage.begin((disk or DiskThatFills)(Journal(stage.folder, ID)))
	for phase in (Phase.RESTART, Phase.LIFT, Phase.VERIFY):
		try:
			stage.emit(events.PhaseEntered(phase))
		except JournalFault as fault:
			stage.emit(events.JournalLost(str(fault)))
	stage.end()


def loses_its_journal_too_late(stage: Stage) -> None:
	"""As over NFS: what was written is there, and then the order to keep it fails."""
	loses_its_journal(stage, DiskThatFillsLate)


class DiskThatFills:
	"""Has room for two facts."""

	def __init__(self, journal: Journal) -> None:
		self.journal, self.room = journal, 2

	def __call__(self, event: events.Event) -> None:
		if not self.room:
			raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
		self.room -= 1
		self.journal(event)


class DiskThatFillsLate(DiskThatFills):
	def __call__(self, event: events.Event) -> None:
		if not self.room:
			self.journal(event)
		super().__call__(event)


STORIES = {
	story.__name__: story
	for story in (
		works,
		drains,
		does_not_come_back,
		migrates,
		hands_over,
		recovers_another_one_first,
		cannot_begin,
		breaks,
		loses_its_journal,
		loses_its_journal_too_late,
	)
}


@click.command()
@click.argument("folder", type=Path)
@click.argument("shown", type=click.Choice(["json", "text", "detach"]))
@click.argument("story", type=click.Choice(list(STORIES)))
def main(folder: Path, shown: str, story: str) -> None:
	viewer.GUARDIAN_WITHIN = 0.5
	moment = Moment()
	called = Invocation(as_json=shown == "json", detach=shown == "detach")
	with exit_on_error():
		watch_apart(
			lambda reporter, stop_requested: STORIES[story](Stage(folder, reporter, stop_requested)),
			folder / f"{ID}.jsonl",
			lambda: Viewer(listener(called, moment), moment, MigrationLogs()),
			leaving(called, ID),
		)


if __name__ == "__main__":
	main(prog_name=sys.argv[0])
