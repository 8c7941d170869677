"""
bench safe-restart. This module is imported on every bench command and by every worker: click only, the rest
inside the functions (measured by tests/test_layers.py).
"""

from __future__ import annotations

import click


@click.command("safe-restart")
@click.option(
	"--site", help="The site whose web answer is checked; `bench --site x safe-restart` does the same."
)
@click.option(
	"--wait-workers", is_flag=True, help="Let running jobs finish, restart, then go on. Loses no job."
)
@click.option(
	"--wait-workers-timeout",
	type=click.FloatRange(min=0),
	default=300.0,
	show_default=True,
	metavar="SECONDS",
	help="How long running jobs get to finish. When it is over nothing is restarted.",
)
@click.option(
	"--wait-workers-poll",
	type=click.FloatRange(min=0.1),
	default=5.0,
	show_default=True,
	metavar="SECONDS",
	help="How often to say what is still running. Looking is always quicker than this.",
)
@click.option("--wait-workers-verbose", is_flag=True, help="Show every worker while waiting, idle ones too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be restarted and waited for.")
@click.option("--json", "as_json", is_flag=True, help="One fact a line as JSON; the last one is the report.")
@click.option("--yes", is_flag=True, help="Don't ask, also on a terminal.")
@click.pass_context
def safe_restart(context: click.Context, **given) -> None:
	"""
	Restart this bench without losing a background job.

	\b
	Examples:
	  bench safe-restart --wait-workers --dry-run
	  bench --site erp.example.com safe-restart --wait-workers
	  bench safe-restart --wait-workers --wait-workers-timeout 1800 --yes

	\b
	Exit codes:
	  0   done                           7   wrong environment, nothing was changed
	  3   jobs still run, nothing done   75  another operation holds the bench
	  4   a process did not come back    130 stopped by Ctrl-C, nothing was restarted
	"""
	from fmx_restart.commands.safe_restart import run

	run(context, given)


commands = [safe_restart]
