"""What speaks against migrating the sites now, and what of it forbids that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import Finding, Gravity
from fmx_restart.engine.options import DRAINING, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Bench, Look, Process
from fmx_restart.engine.queue_hold import by_whom
from fmx_restart.engine.steps.last_look import unchanged
from fmx_restart.engine.steps.restart import as_they_are_now
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import workers_outside

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

OPEN_SITES = (
	"web answers requests with old code while the schema changes, as --maintenance-mode leaves the sites open"
)
OLD_CODE = "Old code on a changed schema means errors and corrupt data. --force migrates anyway."
PASSING_BY = Patience(timeout=10.0, poll=1.0)  # what web requests leave behind ends by itself


def inspect_sites(
	bench: Bench,
	look: Look,
	options: Options,
	restart: Iterable[Process],
	each: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> list[Finding]:
	"""Nothing where nothing is to be migrated. `each`: Operation.each, where lock and fence are held."""
	if options.migration is None:
		return []
	if bench.migrations is None or not options.sites:
		return [
			Finding(
				"",
				Gravity.BLOCKS,
				"there is no site to migrate",
				"For every site, add --site all; for some, name each with --site.",
			)
		]
	findings = [*unsafe_options(options), *strangers(bench, look, restart)]
	for site in each(options.sites):
		findings += bench.migrations.inspect(site, options.migration)
	return findings


def unsafe_options(options: Options) -> list[Finding]:
	"""Options with which old code would meet the new schema."""
	findings = []
	if options.strategy is Strategy.ROLLING:
		text = "rolling runs old and new workers side by side, so there is no moment for a migration"
		findings.append(
			Finding("", Gravity.BLOCKS, text, "Leave --rolling out: --migrate waits for running jobs.")
		)
	elif options.strategy not in DRAINING:
		text = f"{options.strategy.value} does not wait for running jobs: they would keep running while the schema changes"
		findings.append(Finding("", Gravity.DOUBTFUL, text, f"Leave it out: --migrate waits. {OLD_CODE}"))
	if not options.web:
		text = "web would keep running old code on the new schema (--no-web)"
		findings.append(Finding("", Gravity.DOUBTFUL, text, f"Leave --no-web out. {OLD_CODE}"))
	elif Phase.MIGRATE not in options.maintenance and not options.migration.hold_web:
		findings.append(Finding("", Gravity.NOTE, OPEN_SITES))
	return findings


def strangers(bench: Bench, look: Look, restart: Iterable[Process]) -> list[Finding]:
	"""Workers that this operation will not replace: on other machines, started by hand, or left out on purpose."""
	left = workers_outside(bench, look, restart)
	if not left:
		return []
	names = ", ".join(f"pid {worker.pid} on {worker.host}" for worker in left)
	text = f"workers that this restart does not replace would meet the new schema with old code: {names}"
	return [Finding("", Gravity.DOUBTFUL, text, f"Stop them first. {OLD_CODE}")]


def judge(operation: Operation, findings: Iterable[Finding], *, is_drained: bool = False) -> None:
	"""Raises WrongEnvironment for findings that forbid the migration; emits the others, each once."""
	findings = list(findings)
	if refused := refusals(operation.options, findings, is_drained=is_drained):
		names = "; ".join(sentence(finding) for finding in refused)
		changed = operation.undone if is_drained else "Nothing was changed."
		remedies = dict.fromkeys(finding.remedy for finding in refused if finding.remedy)
		raise WrongEnvironment(f"Not migrated: {names}. {changed}", hint=" ".join(remedies))
	reported = operation.plan.findings if is_drained else ()
	for finding in findings:
		if finding not in reported:
			operation.emit(events.MigrationFinding(finding))


def refusals(options: Options, findings: Iterable[Finding], *, is_drained: bool) -> list[Finding]:
	"""Those that forbid the migration. What passes by itself forbids it only once no job runs any more."""
	refused = {Gravity.BLOCKS}
	if options.migration and not options.migration.force:
		refused |= {Gravity.DOUBTFUL, Gravity.TRANSIENT} if is_drained else {Gravity.DOUBTFUL}
	return [finding for finding in findings if finding.gravity in refused]


def plan_refusals(plan: Plan, options: Options) -> Iterator[str]:
	"""Why the preflight, or the last look at the code, would refuse this plan: each reason as the end of a sentence."""
	if not plan.replaced:
		yield "all programs to restart were stopped before"
	if not options.ignore_code_faults:
		for fault in plan.code_faults:
			yield f"web and workers could not load the code as it is now: {fault.module}: {fault.error}"
	yield from map(sentence, refusals(options, plan.findings, is_drained=False))
	if reason := held_back(plan, options):
		yield reason


def held_back(plan: Plan, options: Options) -> str:
	"""
	Why it cannot be rolling while people hold the queue: a worker that does not reload leaves when it takes a job, and it takes
	none before the hold ends. Empty where it can.
	"""
	names = [process.name for process in plan.restart if process.runs_jobs]
	if not (names and plan.held and options.strategy is Strategy.ROLLING):
		return ""
	return f"the queue is held {by_whom(plan.held)}, and {', '.join(names)} can only be replaced when it runs again"


def refuse_held(operation: Operation) -> None:
	"""Raises WrongEnvironment."""
	if reason := held_back(operation.plan, operation.options):
		raise WrongEnvironment(
			f"{reason[:1].upper()}{reason[1:]}. {unchanged(operation)}",
			hint="Use --wait-workers, which works during a hold and does not lift it.",
		)


def sentence(finding: Finding) -> str:
	"""With the site's name in front, where it is about one."""
	return f"{finding.site}: {finding.text}" if finding.site else finding.text


def inspect_again(operation: Operation) -> None:
	"""No job runs now: a transaction or lock that is still there would hold up the migration. Short ones may end."""
	bench, options = operation.bench, operation.options
	findings: list[Finding] = []

	def is_clear() -> bool:
		# one may have been started again meanwhile
		programs = as_they_are_now(operation, operation.plan.restart)
		findings[:] = inspect_sites(bench, operation.look(), options, programs, operation.each)
		return not refusals(options, findings, is_drained=True)

	operation.wait(is_clear, PASSING_BY)
	judge(operation, findings, is_drained=True)
