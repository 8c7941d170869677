"""A line for a person. Apart from the listeners, as it is there before what they import."""

from __future__ import annotations

import click

from fmx_restart.engine.plain_text import printable_lines


def say(text: str, *, err: bool = False) -> None:
	"""Control characters, and bytes that are no text, are shown as escapes."""
	click.echo(printable_lines(text), err=err)
