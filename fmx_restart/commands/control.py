"""What is done about an operation that is under way: attach, cancel, recover."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.adapters.journal_files import newest
from fmx_restart.commands.operation_process import Reporter, let_go_of_closed_streams, start
from fmx_restart.commands.viewer import JournalSource, MigrationLogs, Moment, ProcessSource, Viewer, batches
from fmx_restart.current_bench import journal_folder, requester
from fmx_restart.engine import events
from fmx_restart.engine.emitter import Listener
from fmx_restart.engine.errors import BenchBusy, OperationError, exit_code_of
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.identity import Holder
from fmx_restart.engine.phases import phase_named
from fmx_restart.engine.ports import Request, RequestKind
from fmx_restart.engine.requests import refusal_to_cancel
from fmx_restart.recover import died_on_another_machine, recover_unfinished_operations, unfinished_operations
from fmx_restart.wiring import lock_holder, mailbox

ANSWERS_WITHIN = 20.0  # seconds: an operation looks into its mailbox twice a second
LEFT = 130  # exit code: the viewer was ended by Ctrl-C


def attach(listener: Listener, moment: Moment) -> None:
	"""Shows every fact from the beginning, then each new one. Ends as the operation ends, with its exit code."""
	journal = under_way() or newest(journal_folder())
	if journal is None:
		click.echo("No operation is under way, and there was none before.")
		return
	has_ended = is_closed(journal)
	if has_ended:
		click.echo("No operation is under way. The last one:")
	viewer = Viewer(listener, moment, None if has_ended else MigrationLogs())
	with left_by_interrupt(f"Operation {journal.stem} continues. Watch it: bench safe-restart attach"):
		failure = viewer.watch(JournalSource(journal))
	if failure:
		raise click.exceptions.Exit(exit_code_of(failure.type))


@contextmanager
def left_by_interrupt(message: str) -> Iterator[None]:
	"""Ctrl-C ends a view, and nothing of what it shows."""
	try:
		yield
	except KeyboardInterrupt as interrupt:
		click.echo(f"\n{message}", err=True)
		raise click.exceptions.Exit(LEFT) from interrupt
	finally:
		let_go_of_closed_streams()


def cancel() -> None:
	"""Ask the running operation to stop, and wait for its answer. Raises BenchBusy where it cannot be stopped any more."""
	holding = lock_holder()
	if holding is None:
		click.echo("No operation holds this bench: there is nothing to cancel.")
		return
	if refusal := refusal_to_cancel(phase_named(holding.phase)):
		raise refused(holding, refusal)
	journal = journal_folder() / f"{holding.operation}.jsonl"
	offset = journal.stat().st_size if journal.exists() else 0
	mailbox(holding.operation).put(Request(RequestKind.CANCEL, requester()))
	click.echo(f"Asked {holding.operation} to stop.")
	if journal.exists():
		wait_for_answer(journal, offset, holding)
	else:
		click.echo("Its journal is not on this machine. To see how it ended, type: bench safe-restart status")


def wait_for_answer(journal: Path, offset: int, holding: Holder) -> None:
	"""Until it has ended or refused. Raises BenchBusy for a refusal, and where no answer comes in time."""
	until = time.monotonic() + ANSWERS_WITHIN
	for facts in batches(JournalSource(journal, offset)):
		for _, event in facts:
			if isinstance(event, events.Requested) and event.refusal:
				raise refused(holding, event.refusal)
			if isinstance(event, events.Ended):
				click.echo(
					event.report.failure.message if event.report.failure else "It had already ended: done."
				)
				return
		if not facts and time.monotonic() > until:
			raise BenchBusy(
				f"{holding} has not answered within {ANSWERS_WITHIN:.0f} s. It was asked to stop, and may still do so.",
				hint="Check again with: bench safe-restart attach",
			)


def refused(holding: Holder, reason: str) -> BenchBusy:
	"""The error for whoever asked, with the reason and how to go on watching."""
	return BenchBusy(
		f"{holding} cannot be cancelled: {reason}. It continues.", hint="Watch it: bench safe-restart attach"
	)


def recover(listener: Listener, moment: Moment, *, takes_over: bool) -> None:
	"""In a process of its own, as an operation. Raises what keeps an operation from being recovered."""
	left = unfinished_operations()
	if not (any(it.is_ours for it in left) or died_on_another_machine(left)):
		tell_that_none_died(takes_over=takes_over)
		return

	def work(reporter: Reporter, stop_requested: threading.Event) -> None:
		recover_unfinished_operations(reporter, is_wanted=True, takes_over=takes_over)

	output = journal_folder() / "recovery.log"
	process = start(work, output)
	with left_by_interrupt("The recovery continues. Check its outcome with: bench safe-restart status"):
		Viewer(listener, moment).watch(ProcessSource(process, Path(), output))


def tell_that_none_died(*, takes_over: bool) -> None:
	"""
	Raises BenchBusy while another process recovers one, as what it left is not put right yet, and while the one that is to be
	taken over may live: its lock outlives a machine that is gone.
	"""
	holding = None
	with suppress(OperationError):
		holding = lock_holder()
	if holding and holding.is_recovery:
		raise BenchBusy(
			f"Another process is already recovering it: {holding}. Nothing was changed.",
			hint="Watch it: bench safe-restart attach",
		)
	if holding and takes_over:
		raise BenchBusy(
			f"{holding} still holds this bench. Nothing was changed.",
			hint=f"If {holding.host} is gone, its lock ends within {LEASE:.0f} s. Type the same command again then.",
		)
	click.echo("Nothing to recover: no operation of this bench has died.")


def under_way() -> Path | None:
	"""The journal of whoever holds the bench, or of an operation that is just beginning."""
	folder = journal_folder()
	holding = lock_holder()
	if holding and (folder / f"{holding.operation}.jsonl").exists():
		return folder / f"{holding.operation}.jsonl"
	latest = newest(folder)
	return latest if latest and not is_closed(latest) else None
