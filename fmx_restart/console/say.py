"""A text to a terminal that nothing in it can deceive: names in it were chosen by other programs."""

from __future__ import annotations

import click

from fmx_restart.engine.plain_text import printable_lines


def say(text: str, *, err: bool = False) -> None:
	"""Control characters, and bytes that are no text, are shown as escapes."""
	click.echo(printable_lines(text), err=err)
