"""What every strategy that stops the queue does before and after its own part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fmx_restart.engine.phases import Phase
from fmx_restart.engine.steps.audit import close_ledger, open_ledger
from fmx_restart.engine.steps.park import park

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


@contextmanager
def under_fence(operation: Operation) -> Iterator[None]:
	"""Inside the block no idle worker takes a job. At its good end every job is counted, and the queue moves again."""
	operation.enter(Phase.FENCE)
	open_ledger(operation)
	with operation.fenced():
		park(operation)
		yield
		operation.enter(Phase.LIFT)
		operation.insist(lambda: close_ledger(operation))
