"""What the person asked for: built once at the edge, never changed after."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Strategy(str, Enum):
	WAIT_WORKERS = "wait-workers"


@dataclass(frozen=True)
class Options:
	strategy: Strategy = Strategy.WAIT_WORKERS
	drain_timeout: float = 300.0  # seconds that running jobs get to finish
	report_every: float = 5.0  # seconds between two StillRunning facts when nothing changes
	requested_by: str = ""  # shown to whoever is told that the bench is held
