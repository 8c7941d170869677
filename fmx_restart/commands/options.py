"""The options of bench safe-restart, as its help shows them. Click only: every bench command imports this."""

from __future__ import annotations

import click

#: Defaults and bounds are the engine's (engine/options.py); the texts here tell them, and a test compares
SECONDS = click.FLOAT

STRATEGY = (
	click.Option(
		["--wait-workers", "strategy"],
		flag_value="wait-workers",
		help="Wait for running jobs to finish first (safest).",
	),
	click.Option(
		["--no-wait-workers", "strategy"],
		flag_value="no-wait-workers",
		help="Restart web and idle workers now, busy ones when their job ends.",
	),
	click.Option(
		["--rolling", "strategy"],
		flag_value="rolling",
		help="Replace one worker at a time; the queue keeps running.",
	),
	click.Option(
		["--suspend-rq", "strategy"],
		flag_value="suspend-rq",
		help="Restart; jobs get --force-kill-timeout (30 s), then are killed.",
	),
	click.Option(
		["--rolling-share"],
		metavar="PERCENT",
		help="With --rolling: replace this share of a queue at once, e.g. 25%.",
	),
	click.Option(
		["--rolling-max-failures"],
		type=click.INT,
		metavar="N",
		help="With --rolling: stop after N failed starts (default: 1).",
	),
)

HOSTS = (
	click.Option(
		["--hosts"],
		metavar="A,B",
		help="Restart these hosts only, in this order.",
	),
	click.Option(
		["--host-batch"],
		metavar="N|PERCENT",
		help="Restart this many hosts at once (2 or 25%), then the next ones.",
	),
	click.Option(
		["--host-pause"],
		metavar="TIME",
		help="Wait this long between two groups of hosts, e.g. 60s.",
	),
	click.Option(
		["--canary"],
		metavar="TIME",
		help="Restart one host, watch it this long (30s), then the others.",
	),
)

TIME = (
	click.Option(
		["--wait-workers-timeout"],
		type=SECONDS,
		metavar="SECONDS",
		help="Give jobs this long (default: 300; no limit with --rolling).",
	),
	click.Option(
		["--force-kill-timeout"],
		type=SECONDS,
		metavar="SECONDS",
		help="Without --wait-workers: give jobs this long (default: 30).",
	),
	click.Option(
		["--old-web-timeout"],
		type=SECONDS,
		metavar="SECONDS",
		help="Let old web serve this long if new web fails (default: 3600).",
	),
	click.Option(
		["--on-timeout"],
		type=click.Choice(["abort", "requeue", "kill"]),
		metavar="ACTION",
		help="Abort, requeue (kill jobs and put them back) or kill."
		" Default: abort with --wait-workers and --rolling, else kill.",
	),
	click.Option(
		["--wait-workers-poll"],
		type=SECONDS,
		metavar="SECONDS",
		help="Report running jobs this often (default: 5).",
	),
)

MIGRATION = (
	click.Option(
		["--migrate"],
		is_flag=True,
		help="Migrate the sites before the restart (implies --wait-workers).",
	),
	click.Option(
		["--backup"], is_flag=True, help="Back up every site's database before the first migration."
	),
	click.Option(["--resume"], is_flag=True, help="Migrate the sites that the last migration left over."),
	click.Option(
		["--migrate-timeout"],
		type=SECONDS,
		metavar="SECONDS",
		help="Give each site this long, and its backup too (default: 600).",
	),
	click.Option(
		["--migrate-command"],
		metavar="COMMAND",
		help="Run this instead of bench migrate; {site} is replaced; no shell.",
	),
	click.Option(
		["--skip-failing"], is_flag=True, help="Continue after a patch that fails, as bench migrate does."
	),
	click.Option(
		["--hold-web"],
		is_flag=True,
		help="Let web's requests wait while the sites are migrated.",
	),
	click.Option(
		["--maintenance-mode"],
		type=click.Choice(["drain", "migrate", "restart", "none"]),
		metavar="PHASE",
		multiple=True,
		help="Close sites in drain, migrate (default), restart; or none.",
	),
	click.Option(
		["--force"],
		is_flag=True,
		help="Ignore failed checks: broken app code, jobs during a migration.",
	),
)

SITES_AND_WEB = (
	click.Option(
		["--site"],
		multiple=True,
		metavar="NAME",
		help="Check (with --migrate: migrate) this site, or `all`; repeatable.",
	),
	click.Option(["--web/--no-web"], default=True, help="Restart web and socketio, or leave them running."),
	click.Option(
		["--nginx"],
		is_flag=True,
		help="Test nginx first, and reload it once new web answers.",
	),
	click.Option(
		["--update-config"],
		is_flag=True,
		help="Apply the process manager's changed configuration to this bench.",
	),
	click.Option(
		["--workers/--no-workers"], default=True, help="Restart workers and scheduler, or leave them running."
	),
)

SCHEDULE = (
	click.Option(
		["--at"],
		metavar="TIME",
		help="Start at: 22:00, 'sun 03:00', '2026-11-28 22:00', 22:00-02:00.",
	),
	click.Option(
		["--repeat"],
		type=click.Choice(["daily", "weekly"]),
		help="With --at: again each day or week.",
	),
)
CANCEL_SCHEDULED = click.Option(["--cancel"], metavar="ID", help="Cancel this scheduled start.")

DRY_RUN = click.Option(
	["--dry-run"], is_flag=True, help="Show what would be done and change nothing, as plan does."
)
DETACH = click.Option(
	["--detach"], is_flag=True, help="Return after the preflight; the rest runs in the background."
)
YES = click.Option(["--yes"], is_flag=True, help="Skip the confirmation prompt.")
JSON_LINES = click.Option(
	["--json", "as_json"],
	is_flag=True,
	help="Emit JSON Lines; the last line has the report and the exit code.",
)
VERBOSE = click.Option(
	["-v", "--wait-workers-verbose"],
	is_flag=True,
	help="Also show parked workers and full names.",
)
PROCESSES = click.Option(
	["-v", "--verbose", "wait_workers_verbose"],
	is_flag=True,
	help="Also show each program's processes, and when each worker was last heard of.",
)

JSON = click.Option(["--json", "as_json"], is_flag=True, help="Emit JSON.")
LIMIT = click.Option(
	["--limit"],
	type=click.IntRange(min=1),
	default=20,
	metavar="N",
	help="Show this many operations (default: 20).",
)
PROGRAM = click.Argument(["program"], required=False)
WHAT = click.Argument(["what"], type=click.Choice(["web", "worker"]), required=False)
REMOVE = click.Option(["--remove"], is_flag=True, help="Take the change back.")
TAIL = click.Option(
	["--tail", "count"],
	type=click.IntRange(1, 10_000),
	default=20,
	metavar="N",
	help="Show this many lines of each log (default: 20).",
)
TAKE_OVER = click.Option(
	["--take-over"],
	is_flag=True,
	help="Clean up after an operation of another machine that is gone for good.",
)

HOLD = (
	click.Option(
		["--for", "duration"],
		default="20m",
		metavar="TIME",
		help="Hold for this long, e.g. 90s, 20m, 1h30m; 24h at most (default: 20m).",
	),
	click.Option(["--drain"], is_flag=True, help="Also wait until no job runs; --for counts from then."),
	click.Option(
		["--drain-timeout"],
		type=SECONDS,
		metavar="SECONDS",
		help="With --drain: give running jobs this long (default: 300), then lift the hold.",
	),
	click.Option(["--reason"], default="", metavar="TEXT", help="Show this to whoever finds the queue held."),
)
OWNER = click.Option(
	["--owner"],
	metavar="NAME",
	help="Hold under this name, e.g. of a pipeline's run (default: your user name).",
)
WHOSE = click.Option(
	["--owner"], metavar="NAME", help="Lift the hold by this name (default: your user name)."
)
HOLD_STATUS = click.Option(
	["--status", "shows_status"],
	is_flag=True,
	help="Show who holds the queue, and until when; change nothing.",
)
ALL_HOLDS = click.Option(["--all", "lifts_all"], is_flag=True, help="Lift every hold of this bench.")

SECTIONS = {
	"Strategy": STRATEGY,
	"Time": (*TIME, *SCHEDULE),
	"Hosts": HOSTS,
	"Migration": MIGRATION,
	"Sites and web": SITES_AND_WEB,
	"Output": (DRY_RUN, DETACH, YES, JSON_LINES, VERBOSE),
}
PLAN_SECTIONS = {**SECTIONS, "Time": TIME, "Output": (JSON,)}

#: Whoever turns a restart into its plan may leave them there
WITHOUT_EFFECT_ON_PLAN = tuple(
	click.Option([*names], is_flag=True, hidden=True)
	for names in (("--yes",), ("--detach",), ("-v", "--wait-workers-verbose"))
)
#: What a subcommand does by its name. These flags are older; scripts use them.
FORMER = (
	click.Option(["--status", "show_status"], is_flag=True, hidden=True),
	click.Option(["--attach"], is_flag=True, hidden=True),
	click.Option(["--cancel"], is_flag=True, hidden=True),
	click.Option(["--recover"], is_flag=True, hidden=True),
	click.Option(["--take-over"], is_flag=True, hidden=True),
)

#: For the process of an operation that Desk or the API ordered
LAUNCHERS = (
	click.Option(
		["--launched-from-web"],
		is_flag=True,
		hidden=True,
		help="With --order: tell that the web process launched it.",
	),
	click.Option(
		["--order"],
		metavar="OPERATION",
		hidden=True,
		help="Carry out this operation: its options are read from the bench's own file.",
	),
)
