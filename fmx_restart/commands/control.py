"""Another terminal's view of an operation: watch it, stop it, put right what it left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.adapters.journal_reader import fact_in, follow, is_closed, newest
from fmx_restart.engine import events
from fmx_restart.engine.emitting import Listener
from fmx_restart.engine.errors import BenchBusy, ProcessDied, exit_code_of
from fmx_restart.engine.holder import Holder
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Request, Wish
from fmx_restart.engine.wishes import refusal_to_cancel
from fmx_restart.recovering import recover_left
from fmx_restart.this_bench import journals_here, mailbox, requester, status_here

LOOK_EVERY = 0.1  # seconds
ANSWERS_WITHIN = 20.0  # seconds: an operation looks into its mailbox twice a second
GUARDIAN_WITHIN = 10.0  # seconds after which a dead operation that nobody puts right is told


class Moment:
	"""When the fact that is shown just now was told, in seconds since the epoch."""

	def __init__(self) -> None:
		self.time = time.time()

	def __call__(self) -> float:
		return self.time


def attach(listener: Listener, moment: Moment) -> None:
	"""Everything it told, from the beginning, then what it tells now. Ends as the operation ends, with its exit code."""
	journal = under_way() or newest(journals_here())
	if journal is None:
		click.echo("No operation is under way, and there was none before.")
		return
	if is_closed(journal):
		click.echo("No operation is under way. The last one:")
	for moment.time, event in facts_until_end(journal):
		if event is not None:
			listener(event)
		if isinstance(event, events.Ended) and event.report.failure:
			raise click.exceptions.Exit(exit_code_of(event.report.failure.type))


def cancel() -> None:
	holding = status_here().holding
	if holding is None:
		click.echo("No operation holds this bench: there is nothing to cancel.")
		return
	if refusal := refusal_to_cancel(Phase(holding.phase)):
		raise refused(holding, refusal)
	journal = journals_here() / f"{holding.operation}.jsonl"
	offset = journal.stat().st_size if journal.exists() else 0
	mailbox(holding.operation).put(Request(Wish.CANCEL, requester()))
	click.echo(f"Asked {holding.operation} to stop.")
	wait_for_answer(journal, offset, holding)


def wait_for_answer(journal: Path, offset: int, holding: Holder) -> None:
	until = time.monotonic() + ANSWERS_WITHIN
	for _, event in facts_until_end(journal, offset):
		if isinstance(event, events.Requested) and event.refusal:
			raise refused(holding, event.refusal)
		if isinstance(event, events.Ended):
			click.echo(event.report.failure.message if event.report.failure else "It had just ended: done.")
			return
		if event is None and time.monotonic() > until:
			raise BenchBusy(
				f"{holding} has not answered within {ANSWERS_WITHIN:.0f} s. It was asked, and may still stop.",
				hint="Look again with bench safe-restart --attach.",
			)


def refused(holding: Holder, reason: str) -> BenchBusy:
	return BenchBusy(
		f"{holding} cannot be cancelled: {reason}. It goes on.", hint="Watch it: bench safe-restart --attach"
	)


def recover_all(listener: Listener, *, takes_over: bool = False) -> None:
	"""Raises what keeps an operation from being recovered."""
	if not recover_left(listener, is_wanted=True, takes_over=takes_over):
		click.echo("Nothing to recover: no operation of this bench has died.")


def under_way() -> Path | None:
	"""The journal of whoever holds the bench, or of an operation that is just beginning."""
	folder = journals_here()
	holding = status_here().holding
	if holding and (folder / f"{holding.operation}.jsonl").exists():
		return folder / f"{holding.operation}.jsonl"
	latest = newest(folder)
	return latest if latest and not is_closed(latest) else None


def facts_until_end(journal: Path, offset: int = 0) -> Iterator[tuple[float, events.Event | None]]:
	"""Each with its instant; None now and then while nothing happens. Raises ProcessDied when nobody works on it any more."""
	alone_since = None
	for line in follow(journal, offset):
		fact = fact_in(line, time.time()) if line else (time.time(), None)
		yield fact
		if isinstance(fact[1], events.Ended):
			return
		if line is not None:
			continue
		time.sleep(LOOK_EVERY)
		alone_since = None if is_worked_on(journal) else alone_since or time.monotonic()
		if alone_since and time.monotonic() - alone_since > GUARDIAN_WITHIN:
			raise ProcessDied(
				f"The process of operation {journal.stem} died, and nobody has put right what it left.",
				hint="Type: bench safe-restart --recover",
			)
