"""What bench safe-restart does with its options: check them, show the plan, start the operation."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TextIO

import click

from fmx_restart import wiring
from fmx_restart.adapters.bench import is_site, refuse_unknown_sites, sites
from fmx_restart.commands import control
from fmx_restart.commands.control import show_status
from fmx_restart.commands.operate import operate_apart, operate_in_place
from fmx_restart.commands.viewer import MigrationLogs, Moment, Viewer
from fmx_restart.console.listeners import JsonLines, PlainLines, say
from fmx_restart.console.sentences import order, plan_sentence, plan_warnings, sentence, span, story
from fmx_restart.engine import events
from fmx_restart.engine.emitter import Listener
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.events import MigrationFinding
from fmx_restart.engine.identity import is_operation_id
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plain_text import printable_lines
from fmx_restart.engine.plan import Plan
from fmx_restart.wiring import next_operation_id, plan_restart, read_status, requester, unfinished_sites

PHASES = {"drain": Phase.DRAIN, "migrate": Phase.MIGRATE, "restart": Phase.RESTART}
ONLY_WITH_MIGRATE = ("migrate_command", "skip_failing", "backup")


def is_wanted(given: dict) -> bool:
	return given["migrate"] or given["resume"]


def check(given: dict, strategy: Strategy) -> None:
	"""Raises UsageError for options that contradict each other."""
	check_migrate_command(given)
	if not is_wanted(given):
		for name in ONLY_WITH_MIGRATE:
			if given[name]:
				raise click.UsageError(f"--{name.replace('_', '-')} does nothing without --migrate.")
		if "migrate" in given["maintenance_mode"]:
			raise click.UsageError("--maintenance-mode migrate does nothing without --migrate.")
	if given["resume"] and given["site"]:
		raise click.UsageError("--resume knows its sites; leave --site out.")
	if "drain" in given["maintenance_mode"] and strategy not in (Strategy.FAST, Strategy.WAIT_WORKERS):
		raise click.UsageError(f"--maintenance-mode drain: {strategy.value} does not drain.")


def check_migrate_command(given: dict) -> None:
	"""It runs any program, so it must have been typed by someone who has a shell on the bench."""
	if given["migrate_command"] and given["origin"] != "terminal":
		raise click.UsageError(
			"--migrate-command is for the terminal only. An operation that Desk, the API or a schedule started cannot use it."
		)
	if given["migrate_command"] and given["skip_failing"]:
		raise click.UsageError("--skip-failing is an option of bench migrate; put it into --migrate-command.")


def migration(given: dict) -> MigrationOptions | None:
	if not is_wanted(given):
		return None
	return MigrationOptions(
		timeout=given["migrate_timeout"],
		command=words(given["migrate_command"]),
		skip_failing=given["skip_failing"],
		backup=given["backup"],
		force=given["force"],
	)


def words(command: str | None) -> tuple[str, ...]:
	if command is None:
		return ()
	try:
		found = tuple(shlex.split(command))
	except ValueError as error:
		raise click.BadParameter(f"{error}: {command}", param_hint="--migrate-command") from error
	if not found:
		raise click.BadParameter("it is empty", param_hint="--migrate-command")
	return found


def maintenance(given: dict) -> frozenset[Phase]:
	return frozenset(PHASES[name] for name in given["maintenance_mode"])


def chosen_sites(given: dict, default: Iterable[str], typed: str | None = None) -> tuple[str, ...]:
	"""
	Ours before the one of `bench --site` (`typed`), before the bench's `default` site; in the order in which they were
	typed, each once. Raises WrongEnvironment for one that does not exist; a default site that does not is passed over, as
	long as no site is migrated.
	"""
	if given["resume"]:
		named = left_over()
	elif given["site"] or typed is not None:
		named = given["site"] or (typed,)
	else:
		named = tuple(default if is_wanted(given) else filter(is_site, default))
	found = [site for name in named for site in (sites() if name == "all" else [name])]
	refuse_unknown_sites(found)
	return tuple(dict.fromkeys(found))


def left_over() -> tuple[str, ...]:
	found = unfinished_sites()
	if not found:
		raise WrongEnvironment(
			"There is no migration to go on with: none failed, or its journal is gone. Nothing was changed.",
			hint="Name the sites: bench safe-restart --migrate --site NAME, or --site all.",
		)
	return found


GOES_ON = (
	"Operation {} goes on in the background. Watch it: bench safe-restart attach."
	" Stop it: bench safe-restart cancel."
)


def run(context: click.Context, given: dict) -> None:
	if not given["web"] and not given["workers"]:
		raise click.UsageError("--no-web and --no-workers leave nothing to restart.", context)
	if given["take_over"] and not given["recover"]:
		raise click.UsageError(
			"--take-over goes with recover: bench safe-restart recover --take-over", context
		)
	with exit_on_error():
		wanted = options(given, sites_of(context), typed_before(context))
		moment = Moment()
		site = next(iter(wanted.sites), None)
		if given["show_status"]:
			show_status(read_status(), given["as_json"])
		elif given["attach"]:
			control.attach(listener(given, moment), moment)
		elif given["cancel"]:
			control.cancel()
		elif given["recover"]:
			control.recover(listener(given, moment), moment, takes_over=given["take_over"])
		elif given["dry_run"]:
			show_plan(plan_restart(wanted), wanted, given["as_json"])
		else:
			carry_out(given, wanted, site)


def carry_out(given: dict, wanted: Options, site: str | None) -> None:
	can_ask = is_terminal(sys.stdin) and is_terminal(sys.stdout) and not given["as_json"]
	if can_ask and not given["yes"]:
		wanted = confirmed(wanted, plan_restart)
	if id := given_id(given):
		operate_in_place(id, wanted, site, listener(given, time.time))
		return

	def viewer() -> Viewer:
		moment = Moment()
		return Viewer(listener(given, moment), moment, MigrationLogs())

	id = next_operation_id()
	operate_apart(id, wanted, site, viewer, leaving(given, id))


def confirmed(wanted: Options, planned: Callable[[Options], Plan]) -> Options:
	"""What the person says yes to. Raises Abort."""
	plan = planned(wanted)
	if plan.stopped_web:
		text = f"Web is stopped ({', '.join(plan.stopped_web)}). Start it too?"
		if click.confirm(printable_lines(text), default=True):
			wanted = replace(wanted, start_stopped_web=True)
			plan = planned(wanted)
	if plan.restart:  # else it is refused, with what to type
		click.confirm(printable_lines(f"{plan_sentence(plan)}\nGo on?"), default=True, abort=True)
	return wanted


def leaving(given: dict, id: str) -> Callable[[events.Event], None]:
	"""Raises Exit after the fact with which the command lets the terminal go."""

	def after(event: events.Event) -> None:
		if isinstance(event, events.HandedOver):
			raise click.exceptions.Exit(event.exit_code)
		if given["detach"] and isinstance(event, events.PhaseEntered):
			if not given["as_json"]:
				with suppress(OSError):
					click.echo(GOES_ON.format(id))
			raise click.exceptions.Exit(0)

	return after


def given_id(given: dict) -> str | None:
	"""It becomes a file's name: nothing but what we would have made ourselves."""
	id = given["operation"]
	if id is not None and not is_operation_id(id):
		raise click.BadParameter(f"{id!r} is no operation's name", param_hint="--operation")
	return id


def options(given: dict, sites: list[str], typed: str | None = None) -> Options:
	"""`sites`: those of `bench --site`, else the default site. `typed`: what somebody typed there. Raises WrongEnvironment."""
	strategy = Strategy(given["strategy"] or ("wait-workers" if is_wanted(given) else "fast"))
	check(given, strategy)
	waits, limit = strategy is Strategy.WAIT_WORKERS, given["wait_workers_timeout"]
	patience = (300.0 if limit is None else limit) if waits else given["force_kill_timeout"]
	return Options(
		strategy=strategy,
		drain_timeout=patience,
		on_timeout=OnTimeout(given["on_timeout"] or ("abort" if waits else "kill")),
		force_kill_timeout=given["force_kill_timeout"],
		web=given["web"],
		workers=given["workers"],
		rolling_share=share(given["rolling_share"]),
		rolling_max_failures=given["rolling_max_failures"],
		rolling_timeout=math.inf if limit is None else limit,
		web_sites=must_answer(given["site"] or [typed]),
		sites=chosen_sites(given, sites, typed),
		migration=migration(given),
		maintenance=maintenance(given),
		# without Frappe it is typed for a bench that is broken, and known to be
		ignore_code_faults=given["force"] or not wiring.is_imported(),
		report_every=given["wait_workers_poll"],
		requested_by=given["requested_by"] or requester(),
		origin=given["origin"],
	)


def must_answer(typed: Iterable[str | None]) -> tuple[str, ...]:
	"""All sites of a bench may hold one that is not served at all: then those must answer that answered before."""
	typed = tuple(dict.fromkeys(filter(None, typed)))
	return () if "all" in typed else typed


def share(text: str) -> float:
	"""25% → 0.25"""
	try:
		percent = float(text.removesuffix("%"))
	except ValueError:
		percent = -1
	if not 0 <= percent <= 100:
		raise click.BadParameter(
			f"{text!r} is not a percentage from 0% to 100%", param_hint="--rolling-share"
		)
	return percent / 100


def listener(given: dict, clock: Callable[[], float]) -> Listener:
	"""`clock`: when a fact happened, in seconds since the epoch."""
	if given["as_json"]:
		return JsonLines(clock)
	if is_terminal(sys.stdout) and not given["detach"]:
		from fmx_restart.console.listeners import LiveTerminal

		return LiveTerminal(verbose=given["wait_workers_verbose"], clock=clock)
	return PlainLines(verbose=given["wait_workers_verbose"], clock=clock)


def is_terminal(stream: TextIO | None) -> bool:
	"""`stream` is None where it was closed before Python began."""
	return stream is not None and stream.isatty()


@contextmanager
def exit_on_error() -> Iterator[None]:
	"""The edge: what happened and what to type next on stderr, and the error's own exit code."""
	try:
		yield
	except OperationError as error:
		with suppress(OSError):  # whoever closed standard error gets the exit code all the same
			click.secho(printable_lines(f"Error: {error}"), fg="red", err=True)
			if error.hint:
				say(error.hint, err=True)
		raise click.exceptions.Exit(error.exit_code) from error


def show_plan(plan: Plan, wanted: Options, as_json: bool) -> None:
	if as_json:
		import json
		from dataclasses import asdict

		click.echo(json.dumps(asdict(plan)))
		return
	say(f"{story(wanted)}\n{plan_sentence(plan)}")
	for number, (when, names) in enumerate(order(plan, wanted.strategy), start=1):
		say(f"  {number}. {when}: {', '.join(names)}")
	for finding in plan.findings:
		say(sentence(MigrationFinding(finding)))
	for warning in plan_warnings(plan):
		say(warning)
	for job in plan.jobs:
		limit = "no limit" if job.timeout is None else f"limit {span(job.timeout)}"
		say(f"  would wait for {job.site} / {job.method} ({job.queue}), {limit}")
	say(f"Nothing was changed. Idle workers: {plan.idle_workers}. Queued: {depths(plan)}.")


def depths(plan: Plan) -> str:
	return ", ".join(f"{queue} {depth}" for queue, depth in sorted(plan.depths.items())) or "nothing"


def typed_before(context: click.Context) -> str | None:
	"""What stands in `bench --site NAME safe-restart`; None where bench chose the site."""
	return context.parent.params.get("site") if context.parent else None


def sites_of(context: click.Context) -> list[str]:
	"""Those that bench_helper found: a dict on Frappe 15, a dataclass on 16."""
	found = context.obj.get("sites") if isinstance(context.obj, dict) else getattr(context.obj, "sites", None)
	return list(found or [])
