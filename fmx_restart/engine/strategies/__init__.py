"""One story per strategy: which steps, in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.strategies.no_wait_workers import no_wait_workers
from fmx_restart.engine.strategies.rolling import rolling
from fmx_restart.engine.strategies.suspend_rq import suspend_rq
from fmx_restart.engine.strategies.wait_workers import wait_workers
from fmx_restart.engine.strategies.without_workers import without_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

STORIES = {
	# the fast one differs in its options: a short grace, then force
	Strategy.FAST: wait_workers,
	Strategy.WAIT_WORKERS: wait_workers,
	Strategy.NO_WAIT_WORKERS: no_wait_workers,
	Strategy.ROLLING: rolling,
	Strategy.SUSPEND_RQ: suspend_rq,
}


def story_of(options: Options) -> Callable[[Operation], None]:
	return STORIES[options.strategy] if options.touches_jobs else without_workers
