"""One story per strategy: which steps, in which order."""

from fmx_restart.engine.options import Strategy
from fmx_restart.engine.strategies.wait_workers import wait_workers

STORIES = {Strategy.WAIT_WORKERS: wait_workers}
