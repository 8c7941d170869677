"""What --json prints, for programs: facts and answers with a schema version, sentences beside them, numbers that JSON can hold."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from fmx_restart.console.headline import headline
from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError, exit_code_of
from fmx_restart.engine.report import outcome_name

#: Of the lines and objects that --json prints. Names are only added within one version; another number means that one was
#: renamed, left out, or means something else.
SCHEMA = 1
DIGITS = 3  # of floats: milliseconds


class JsonLines:
	def __init__(self, clock: Callable[[], float] = time.time) -> None:
		"""`clock`: when a fact happened, in seconds since the epoch."""
		self.clock = clock

	def __call__(self, event: events.Event) -> None:
		click.echo(fact_line(event, self.clock()))


def fact_line(event: events.Event, at: float) -> str:
	"""One line: what every fact has, then its own fields; the last fact also has how the operation ended."""
	every = {
		"event": type(event).__name__,
		"time": at,
		"schema": SCHEMA,
		"level": event.level.value,
		"sentence": sentence(event),
	}
	end = ending(event) if isinstance(event, events.Ended) else {}
	return dumped({**every, **asdict(event), **end})


def ending(event: events.Ended) -> dict[str, Any]:
	"""Of the last fact: in one sentence, with the level that this sentence has, the outcome, and the exit code of the command."""
	report, line = event.report, headline(event.report)
	code = exit_code_of(report.failure.type) if report.failure else 0
	return {
		"level": line.level.value,
		"sentence": line.text,
		"outcome": outcome_name(report),
		"exit_code": code,
	}


def error_line(error: OperationError) -> str:
	"""In place of a last fact, or of an answer: why there is none, what to type, and the exit code."""
	fault = {"sentence": str(error), "remedy": error.hint, "failure": error.name or type(error).__name__}
	ended = {"event": "CommandFailed", "time": time.time(), "schema": SCHEMA, "level": "error"}
	return dumped({**ended, **fault, "exit_code": error.exit_code})


def answer_line(sentence: str, answer: dict[str, Any]) -> str:
	"""The answer of a command that only looks: one object. `sentence`: what a person is told first."""
	return dumped({"schema": SCHEMA, "sentence": sentence, **answer})


def dumped(value: dict[str, Any]) -> str:
	"""As JSON without line breaks. Sets become sorted lists, an infinite number null."""
	return json.dumps(rounded(value))


def rounded(value: Any) -> Any:
	"""The same value with floats of DIGITS digits; NaN and infinite numbers, which JSON has not, are None."""
	if isinstance(value, float):
		return round(value, DIGITS) if math.isfinite(value) else None
	if isinstance(value, dict):
		return {key: rounded(item) for key, item in value.items()}
	if isinstance(value, (set, frozenset)):
		return sorted(map(rounded, value))
	return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
