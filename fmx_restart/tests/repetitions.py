"""How often tests with chance repeat: a few in every run, many in `bin/test --long`. Each run prints the counts."""

from __future__ import annotations

import os
import unittest
from collections.abc import Callable

#: Set by bin/test --long, for what takes too long for every run
IS_LONG_RUN = "FMX_LONG_TESTS" in os.environ
#: What is repeated → how often in this run.
COUNTS: dict[str, int] = {}


def repetitions(what: str, few: int, *, long: int) -> int:
	"""Of what a person calls by that name in the plural."""
	COUNTS[what] = long if IS_LONG_RUN else few
	return COUNTS[what]


def in_long_runs(other: str) -> Callable[[Callable], Callable]:
	"""For a test that tries in another situation what a test of every run does. `other`: what that one is called."""
	return unittest.skipUnless(IS_LONG_RUN, f"as {other}, in another situation: bin/test --long")
