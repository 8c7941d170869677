"""How often tests with chance repeat: a few in every run, many in `bin/test --long`. Each run prints the counts."""

from __future__ import annotations

import os

#: Set by bin/test --long, for what takes too long for every run
IS_LONG_RUN = "FMX_LONG_TESTS" in os.environ
#: What is repeated → how often in this run.
COUNTS: dict[str, int] = {}


def repetitions(what: str, few: int, *, long: int) -> int:
	"""Of what a person calls by that name in the plural."""
	COUNTS[what] = long if IS_LONG_RUN else few
	return COUNTS[what]
