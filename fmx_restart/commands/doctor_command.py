"""
bench doctor, and bench restart-doctor where another app has taken that name. Click only: every bench command imports
this.
"""

from __future__ import annotations

import click

from fmx_restart.commands.sections import SectionedCommand

HELP = """
Check whether this bench is healthy, and show what to type where it is not.

Without options it prints what Frappe's own doctor prints, then a summary, the problems with their remedies, and tables of
workers, queues and jobs. Only --fix changes anything. --explain prints what a problem means.
"""

SECTIONS = {
	"Checks": (
		click.Option(
			["--site"],
			metavar="NAME",
			help="Check this site only, and print its jobs. Default: every site.",
		),
		click.Option(
			["--check", "checks"],
			multiple=True,
			metavar="NAME",
			help="Run only this check and show no tables; can be repeated.",
		),
		click.Option(
			["--explain"],
			metavar="NAME",
			help="Print what this check means, how to confirm it, and what to do; examine nothing.",
		),
		click.Option(["--watch"], is_flag=True, help="Check again every two seconds, until Ctrl-C."),
	),
	"Repair": (
		click.Option(
			["--fix"], is_flag=True, help="Repair what can be repaired safely; ask before each step."
		),
		click.Option(["--yes"], is_flag=True, help="With --fix: skip the confirmation prompts."),
	),
	"Output": (
		click.Option(["--quiet"], is_flag=True, help="Show only the problems."),
		click.Option(["--strict"], is_flag=True, help="Exit with 5 for warnings, too."),
		click.Option(
			["--json", "as_json"],
			is_flag=True,
			help="Emit everything as one JSON object.",
		),
	),
}

EXAMPLES = (
	"",
	"--site erp.example.com",
	"--check ghost-jobs --check stale-fence",
	"--json | jq '.findings[] | .check'",
	"--explain ghost-jobs",
	"--watch",
	"--fix",
	'--strict --quiet || mail -s "bench" root',
)

EXIT_CODES = {
	"0": "healthy; also with warnings, unless --strict",
	"5": "at least one error (with --strict: or warning)",
	"7": "wrong environment: this is not a bench",
}


def doctor(context: click.Context, **parameters) -> None:
	"""`bench doctor`. What it needs is imported only now."""
	from fmx_restart.commands.doctor import run

	run(context, parameters)


def doctor_command(name: str) -> click.Command:
	"""The command by this name: `restart-doctor` is for a bench where another app has taken `doctor`."""
	return SectionedCommand(
		name,
		callback=click.pass_context(doctor),
		sections=SECTIONS,
		examples=EXAMPLES,
		exit_codes=EXIT_CODES,
		help=HELP,
	)


commands = [doctor_command("doctor"), doctor_command("restart-doctor")]
