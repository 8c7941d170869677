"""
bench safe-restart. This module is imported on every bench command and by every worker: click only, the rest
inside the functions (measured by tests/test_layers.py).
"""

from __future__ import annotations

import click

from fmx_restart.commands import doctor_command
from fmx_restart.commands.control_options import control_options
from fmx_restart.commands.migrate_options import migrate_options

SECONDS = click.FloatRange(min=0)


@click.command("safe-restart")
@click.option(
	"--site",
	multiple=True,
	help="Whose web answer is checked, and what --migrate migrates: one, several, or all. `bench --site x safe-restart`"
	" does the same.",
)
@click.option(
	"--wait-workers",
	"strategy",
	flag_value="wait-workers",
	help="Let running jobs finish first. The safe one.",
)
@click.option(
	"--no-wait-workers",
	"strategy",
	flag_value="no-wait-workers",
	help="Web and idle workers at once, busy ones when their own job ends, in the background.",
)
@click.option(
	"--rolling", "strategy", flag_value="rolling", help="One worker at a time; the queue never stands still."
)
@click.option(
	"--suspend-rq",
	"strategy",
	flag_value="suspend-rq",
	help="Suspend the queue, restart without waiting, go on.",
)
@click.option(
	"--wait-workers-timeout",
	type=SECONDS,
	metavar="SECONDS",
	help="How long running jobs get to finish. Default: 300 with --wait-workers, no limit with --rolling.",
)
@click.option(
	"--on-timeout",
	type=click.Choice(["abort", "requeue", "kill"]),
	help="What becomes of jobs that still run then: abort (nothing is restarted), requeue (killed and put back at the"
	" front of their queue) or kill. Default: abort with --wait-workers, else kill.",
)
@click.option(
	"--force-kill-timeout",
	type=SECONDS,
	default=30.0,
	show_default=True,
	metavar="SECONDS",
	help="How long running jobs get without --wait-workers.",
)
@click.option(
	"--rolling-share",
	default="0%",
	metavar="PERCENT",
	help="With --rolling: the part of a queue's workers that may be away at once, e.g. 25%. At least one.",
)
@click.option(
	"--rolling-max-failures",
	type=click.IntRange(min=1),
	default=1,
	show_default=True,
	metavar="N",
	help="With --rolling: stop when N processes did not come back; the other workers stay in service.",
)
@click.option("--web/--no-web", default=True, show_default=True, help="Restart web and socketio.")
@click.option(
	"--workers/--no-workers", default=True, show_default=True, help="Restart workers and scheduler."
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
@migrate_options
@control_options
@click.option("--status", "show_status", is_flag=True, help="Who holds this bench, and what its workers do.")
@click.option("--dry-run", is_flag=True, help="Only show what would be restarted and waited for.")
@click.option("--json", "as_json", is_flag=True, help="One fact a line as JSON; the last one is the report.")
@click.option("--yes", is_flag=True, help="Don't ask, also on a terminal.")
@click.pass_context
def safe_restart(context: click.Context, **given) -> None:
	"""
	Restart this bench without losing a background job.

	Without a strategy: running jobs get a short grace, then force. For development and emergencies; queued jobs are
	not lost, and every job that it kills is named.

	\b
	Examples:
	  bench safe-restart --wait-workers --dry-run
	  bench --site erp.example.com safe-restart --wait-workers
	  bench safe-restart --wait-workers --wait-workers-timeout 1800 --yes
	  bench safe-restart --wait-workers --wait-workers-timeout 600 --on-timeout requeue
	  bench --site all safe-restart --migrate --backup --maintenance-mode migrate
	  bench safe-restart --migrate --site a.example.com --site b.example.com --migrate-timeout 1800
	  bench safe-restart --migrate --resume
	  bench safe-restart --rolling --rolling-share 25%
	  bench safe-restart --no-wait-workers
	  bench safe-restart --no-workers
	  bench safe-restart --wait-workers --detach
	  bench safe-restart --status
	  bench safe-restart --attach
	  bench safe-restart --cancel
	  bench safe-restart --recover

	\b
	Exit codes:
	  0   done                           7   wrong environment, nothing was changed
	  3   jobs still run, nothing done   75  another operation holds the bench
	  4   a process did not come back    130 stopped by Ctrl-C, nothing was restarted
	  6   a migration failed; the bench was restarted all the same
	"""
	from fmx_restart.commands.safe_restart import run

	run(context, given)


commands = [safe_restart, *doctor_command.commands]
