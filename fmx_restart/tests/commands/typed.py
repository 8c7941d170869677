"""What becomes of words that someone types after `bench safe-restart`, read by click itself."""

from __future__ import annotations

import click

from fmx_restart.commands import parameters, safe_restart
from fmx_restart.engine.options import Options


def context_of(*words: str) -> click.Context:
	return safe_restart.make_context("safe-restart", list(words))


def options_of(*words: str) -> Options:
	"""Raises UsageError."""
	context = context_of(*words)
	return parameters.options(context, context.params)
