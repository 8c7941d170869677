"""
bench doctor, and bench restart-doctor where another app has taken that name. Click only: every bench command imports
this.
"""

from __future__ import annotations

import click

HELP = """
Whether this bench is healthy, why not, and what to type.

Prints what Frappe's own doctor prints, then a summary, the problems with their remedies, and tables of workers, queues
and jobs. Changes nothing, but for --fix. Each problem has a page: docs/doctor/NAME.md.

\b
Examples:
  bench doctor
  bench --site erp.example.com doctor
  bench doctor --quiet
  bench doctor --check ghost-jobs --check stale-fence
  bench doctor --json | jq '.findings[] | .check'
  bench doctor --watch
  bench doctor --fix
  bench doctor --strict --quiet || mail -s "bench" root

\b
Exit codes:
  0   healthy; also with warnings, unless --strict
  5   at least one error (--strict: or warning)
  7   wrong environment: this is not a bench
"""

OPTIONS = (
	click.option("--site", help="Look at this site only, and print its jobs; all, or none, is every site."),
	click.option(
		"--check",
		"checks",
		multiple=True,
		metavar="NAME",
		help="Only this check, no tables. May be given more than once.",
	),
	click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object; see docs/doctor.md."),
	click.option("--quiet", is_flag=True, help="Only the problems."),
	click.option("--strict", is_flag=True, help="Exit code 5 for warnings, too."),
	click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C."),
	click.option("--fix", is_flag=True, help="Do what is safe about the problems; asks before each step."),
	click.option("--yes", is_flag=True, help="With --fix: don't ask."),
)


def doctor_command(name: str) -> click.Command:
	def doctor(context: click.Context, **given) -> None:
		from fmx_restart.commands.doctor import run

		run(context, given)

	command = click.pass_context(doctor)
	for option in reversed(OPTIONS):
		command = option(command)
	return click.command(name, help=HELP)(command)


commands = [doctor_command("doctor"), doctor_command("restart-doctor")]
