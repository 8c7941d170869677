"""
bench safe-restart. This module is imported on every bench command and by every worker: click only, the rest
inside the functions (measured by tests/test_layers.py).
"""

from __future__ import annotations

import click

from fmx_restart.commands import doctor_command
from fmx_restart.commands.options import control_options, migrate_options

SECONDS = click.FloatRange(min=0)


@click.command("safe-restart")
@click.option(
	"--site",
	multiple=True,
	help="Site that must answer afterwards and, with --migrate, that is migrated; may be given more than once, or `all`."
	" `bench --site NAME safe-restart` does the same.",
)
@click.option(
	"--wait-workers",
	"strategy",
	flag_value="wait-workers",
	help="Wait for running jobs to finish first (safest).",
)
@click.option(
	"--no-wait-workers",
	"strategy",
	flag_value="no-wait-workers",
	help="Restart web and idle workers at once; replace each busy worker in the background, when its own job ends.",
)
@click.option(
	"--rolling",
	"strategy",
	flag_value="rolling",
	help="Replace one worker at a time, each when its own job ends; the queue keeps running.",
)
@click.option(
	"--suspend-rq",
	"strategy",
	flag_value="suspend-rq",
	help="Suspend the queue and restart at once: running jobs get --force-kill-timeout (30 s) to finish, then they are"
	" killed (--on-timeout).",
)
@click.option(
	"--wait-workers-timeout",
	type=SECONDS,
	metavar="SECONDS",
	help="Give running jobs this long to finish. Default: 300 with --wait-workers, no limit with --rolling.",
)
@click.option(
	"--on-timeout",
	type=click.Choice(["abort", "requeue", "kill"]),
	help="Choose what happens to jobs that are still running at the deadline: abort (nothing is restarted), requeue"
	" (they are killed and put back at the front of their queue) or kill. Default: abort with --wait-workers, else kill.",
)
@click.option(
	"--force-kill-timeout",
	type=SECONDS,
	default=30.0,
	show_default=True,
	metavar="SECONDS",
	help="Give running jobs this long to finish without --wait-workers; then --on-timeout applies.",
)
@click.option(
	"--rolling-share",
	default="0%",
	metavar="PERCENT",
	help="With --rolling: replace up to this share of a queue's workers at the same time, e.g. 25%; at least one.",
)
@click.option(
	"--rolling-max-failures",
	type=click.IntRange(min=1),
	default=1,
	show_default=True,
	metavar="N",
	help="With --rolling: stop after N processes that do not come back; the other workers stay in service.",
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
	help="Report this often what is still running. Polling itself is more frequent.",
)
@click.option("--wait-workers-verbose", is_flag=True, help="Show idle workers too while waiting.")
@migrate_options
@control_options
@click.option(
	"--status",
	"show_status",
	is_flag=True,
	help="Show which operation holds this bench, and what its workers do.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be restarted and waited for; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Emit JSON Lines; the last line is the report.")
@click.option("--yes", is_flag=True, help="Skip the confirmation prompt.")
@click.pass_context
def safe_restart(context: click.Context, **given) -> None:
	"""
	Restart this bench without losing a background job.

	Without a strategy, running jobs get --force-kill-timeout (30 s) to finish, then they are killed: for development and
	emergencies. No queued job is lost, and every killed job is named.

	The operation runs in a session of its own. Closing the terminal, Ctrl-Z and Ctrl-S do not stop it; Ctrl-C asks it to
	stop, and a second Ctrl-C leaves it. --attach shows it again.

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
	  0   done
	  3   jobs still running; nothing restarted
	  4   a process did not come back, or web is stopped
	  6   a migration failed; the bench was restarted
	  7   wrong environment; nothing was changed
	  75  another operation holds the bench
	  130 stopped by Ctrl-C or TERM; nothing restarted
	"""
	from fmx_restart.commands.restart import run

	run(context, given)


commands = [safe_restart, *doctor_command.commands]
