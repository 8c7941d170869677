"""A line for a person, or for a program. Apart from the listeners, as it is there before what they import."""

from __future__ import annotations

import os
from typing import Any

import click

from fmx_restart.console.wrapping import terminal_width, wrapped
from fmx_restart.engine.plain_text import printable_lines

#: Terminals that show escape sequences instead of following them: an editor's shell, a serial line, a CI that fakes one
DUMB = ("", "dumb", "unknown")
STDOUT, STDERR = 1, 2
#: Of the sentence that says whether a restart can begin, by its level
VERDICT_COLOURS = {"info": "green", "note": "cyan", "warning": "yellow", "error": "red"}


def say(text: str, *, err: bool = False, **style: Any) -> None:
	"""
	Control characters, and bytes that are no text, are shown as escapes; long lines are broken where a terminal ends.
	`style`: of click, where there are colours.
	"""
	put(styled(wrapped(printable_lines(text), terminal_width(err=err)), **style), err=err)


def put(text: str, *, err: bool = False) -> None:
	"""
	As it stands. Whoever has closed the pipe, as head does, has seen enough: the rest goes nowhere, and the command ends as it
	would have ended.
	"""
	try:
		click.echo(text, err=err)
	except BrokenPipeError:
		go_nowhere(STDERR if err else STDOUT)


def go_nowhere(number: int) -> None:
	"""Nothing more that is written to this stream arrives, or fails. What Python holds back for it is dropped at the end."""
	nowhere = os.open(os.devnull, os.O_WRONLY)
	os.dup2(nowhere, number)
	os.close(nowhere)


def styled(text: str, **style: Any) -> str:
	"""Plain where someone wants no colours (NO_COLOR), or the terminal has none."""
	return click.style(text, **style) if style and has_colours() else text


def has_colours() -> bool:
	"""What is no terminal is looked at by click itself."""
	return not os.environ.get("NO_COLOR") and not is_dumb()


def is_dumb() -> bool:
	"""The terminal cannot draw in place."""
	return os.environ.get("TERM", "").lower() in DUMB
