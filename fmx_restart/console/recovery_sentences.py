"""Sentences about operations that are asked for something, go into the background, or whose process died."""

from __future__ import annotations

from fmx_restart.console.sentences import count, following, sentence, span
from fmx_restart.engine import events
from fmx_restart.engine.ports import Wish


@sentence.register
def _(event: events.WentIntoBackground) -> str:
	return f"Goes on in the background, pid {event.process.pid}"


@sentence.register
def _(event: events.Requested) -> str:
	request = event.request
	asked = {
		Wish.CANCEL: f"{request.by} asks it to stop",
		Wish.EXTEND: f"{request.by} gives running jobs {span(request.seconds)} more",
		Wish.FORCE: f"{request.by} gives running jobs no more time",
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
		f" To close it, type there: bench safe-restart --recover"
	)


@sentence.register
def _(event: events.RecoveryFailed) -> str:
	return f"Error: it could not be put right yet: {event.reason} Try: bench safe-restart --recover"


@sentence.register
def _(event: events.MigrationAdopted) -> str:
	return f"Its migration of {event.site} goes on; waiting for the end of it under the fence{following('. Output: ', event.log)}"
