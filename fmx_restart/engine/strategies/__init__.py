"""One story per strategy: which steps, in which order."""

from fmx_restart.engine.options import Strategy
from fmx_restart.engine.strategies.no_wait_workers import no_wait_workers
from fmx_restart.engine.strategies.rolling import rolling
from fmx_restart.engine.strategies.suspend_rq import suspend_rq
from fmx_restart.engine.strategies.wait_workers import wait_workers

STORIES = {
	# the fast one differs in its options: a short grace, then force
	Strategy.FAST: wait_workers,
	Strategy.WAIT_WORKERS: wait_workers,
	Strategy.NO_WAIT_WORKERS: no_wait_workers,
	Strategy.ROLLING: rolling,
	Strategy.SUSPEND_RQ: suspend_rq,
}
