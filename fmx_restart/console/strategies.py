"""What each strategy is called and what it does: the one place, for the plan, the dry run and Desk."""

from __future__ import annotations

from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.options import Strategy


def _(text: str) -> str:
	"""Marks it for the collection of translations. Desk translates it when it shows it; a terminal does not."""
	return text


@frozen
class StrategyText:
	label: str
	line: str  # whole sentences: what happens to running jobs and to the queue


#: In the order in which they are offered, the gentlest first
STRATEGY_TEXTS = {
	Strategy.WAIT_WORKERS: StrategyText(
		_("Wait for running jobs"),
		_("Running jobs finish first, then every process is restarted."),
	),
	Strategy.ROLLING: StrategyText(
		_("One worker after the other"),
		_(
			"Web and scheduler are restarted at once, then one worker after the other; the queue keeps running."
		),
	),
	Strategy.NO_WAIT_WORKERS: StrategyText(
		_("Restart now, busy workers when free"),
		_(
			"Web, scheduler and idle workers are restarted at once, and each busy worker when its own job ends."
		),
	),
	Strategy.SUSPEND_RQ: StrategyText(
		_("Suspend the queue and restart"),
		_(
			"Every process is restarted at once, without waiting for jobs; jobs that still run after a short grace period are killed and listed in the report."
		),
	),
	Strategy.FAST: StrategyText(
		_("Restart now, kill running jobs"),
		_(
			"Running jobs get a short grace period, then every process is restarted; jobs that still run then are killed and listed in the report."
		),
	),
}
