"""What `bench doctor` does: examine, show, and repair where that is wanted."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import click

from fmx_restart.commands.parameters import sites_of
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.doctor import console, report
from fmx_restart.console.listeners import say as show
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.frappe_output import HEAD, queue_lines, scheduler_lines, worker_line
from fmx_restart.doctor.registry import FIXES, Step
from fmx_restart.doctor.runner import Probe, patience, run_checks
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.plain_text import printable_lines
from fmx_restart.recover import launch_guardian, recover
from fmx_restart.wiring import bench_view

UNHEALTHY = 5
NO_SUCH_SITE = 1  # as Frappe 15 ends then
EVERY = 2.0  # seconds between two looks of --watch


def run(context: click.Context, given: dict) -> None:
	check(given)
	with exit_on_error():
		named = named_sites(context, given["site"])
		if given["watch"]:
			watch(given, named)
			return
		examination = examine(context, given, named)
		if given["fix"]:
			examination = repair(examination, lambda: bench_view(named, recover), given)
		else:
			recover_in_background(examination)
	if examination.errors or (given["strict"] and examination.warnings):
		raise click.exceptions.Exit(UNHEALTHY)


def recover_in_background(examination: Examination) -> None:
	"""
	What a dead operation left. Nobody else may be there to do it: where it had stopped the workers, no tick of the
	scheduler comes. It only ends what was begun, so nobody is asked; --fix does it in front of your eyes.
	"""
	for finding in examination.findings:
		if finding.fix == "unfinished-operation":
			launch_guardian(finding.subject)


def check(given: dict) -> None:
	if given["watch"] and (given["as_json"] or given["fix"]):
		raise click.UsageError("--watch goes with neither --json nor --fix.")
	if given["yes"] and not given["fix"]:
		raise click.UsageError("--yes does nothing without --fix.")
	if given["fix"] and given["as_json"] and not given["yes"]:
		raise click.UsageError("--fix asks before each step: with --json it needs --yes.")


def named_sites(context: click.Context, site: str | None) -> list[str]:
	"""
	Those that somebody typed, here or before the command's name. Empty for all of them: a default site is what Frappe's
	own doctor looks at, and no reason to look at no other.
	"""
	named = typed_site(context, site)
	if not named or named == "all":
		return []
	if not (Path(named) / "site_config.json").exists():
		click.secho(f"Site {named} does not exist!", fg="yellow", err=True)
		raise click.exceptions.Exit(NO_SUCH_SITE)
	return [named]


def typed_site(context: click.Context, site: str | None) -> str | None:
	return site or (context.parent.params.get("site") if context.parent else None)


def examine(context: click.Context, given: dict, named: list[str]) -> Examination:
	view = bench_view(named)
	if given["as_json"] or given["quiet"] or given["checks"]:
		examination = run_checks(view, given["checks"])
	else:
		examination = with_frappe_lines(view, site_of_frappe_lines(context, given["site"], named))
	if given["as_json"] and not given["fix"]:
		click.echo(json.dumps(examination.as_dict()))
	elif not given["as_json"]:
		show_examination(examination, given["quiet"])
	return examination


def site_of_frappe_lines(context: click.Context, site: str | None, named: list[str]) -> str | None:
	"""Whose lines are printed: the one that was typed, else the default site, else all together."""
	if typed_site(context, site) == "all":
		return None
	return next(iter(named or sites_of(context)), None)


def with_frappe_lines(view: BenchView, site: str | None) -> Examination:
	"""Asked for at the same time as the checks, printed before them. What does not answer in time is left out."""
	errands = [
		Probe("scheduler", lambda view: scheduler_lines(view, [site] if site else view.sites)),
		Probe("workers", worker_line),
		Probe("queues", lambda view: queue_lines(view, site)),
	]
	for errand in errands:
		errand.start(view)
	deadline = time.monotonic() + patience()
	examination = run_checks(view)
	click.echo(HEAD)
	for errand in errands:
		errand.is_over(deadline)
		for line in tuple(errand.found):
			click.echo(line)
	click.echo()
	return examination


def show_examination(examination: Examination, quiet: bool) -> None:
	if examination.problems or not quiet:
		console().print(report(examination, quiet=quiet), soft_wrap=True)


def watch(given: dict, named: Sequence[str]) -> None:
	"""Until Ctrl-C. On a terminal in place, elsewhere one report after the other."""
	from rich.live import Live

	screen = console()
	look = lambda: report(one_look(named, given["checks"]), quiet=given["quiet"])  # noqa: E731
	try:
		if not screen.is_terminal:
			while True:
				screen.print(look(), soft_wrap=True)
				sys.stdout.flush()
				time.sleep(EVERY)
		with Live(look(), console=screen, screen=True, auto_refresh=False) as live:
			while True:
				time.sleep(EVERY)
				live.update(look(), refresh=True)
	except KeyboardInterrupt:
		return


def one_look(named: Sequence[str], checks: Collection[str]) -> Examination:
	view = bench_view(named)
	try:
		return run_checks(view, checks)
	finally:
		view.close()


def repair(examination: Examination, new_patient: Callable[[], BenchView], given: dict) -> Examination:
	"""Returns what is found afterwards; the same examination where nothing was done."""
	say = (lambda text: None) if given["as_json"] else show
	done = [
		printable_lines(step.text)
		for name in dict.fromkeys(finding.fix for finding in examination.findings if finding.fix)
		for step in FIXES.all()[name](new_patient())
		if is_wanted(step, given["yes"], say) and is_done(step, say)
	]
	after = run_checks(new_patient(), given["checks"]) if done else examination
	if given["as_json"]:
		click.echo(json.dumps({**after.as_dict(), "fixed": done}))
	elif done:
		console().print("\nAfter that:", report(after, quiet=given["quiet"]), soft_wrap=True)
	else:
		say("Nothing was changed.")
	return after


def is_wanted(step: Step, yes: bool, say: Callable[[str], None]) -> bool:
	if yes:
		say(f"\n{step.text}")
		return True
	return click.confirm(printable_lines(f"\n{step.text}?"), default=False)


def is_done(step: Step, say: Callable[[str], None]) -> bool:
	"""One that cannot be done keeps none of the others from it."""
	try:
		say(f"  {step.act()}")
		return True
	except OperationError as error:
		click.secho(printable_lines(f"  Error: {error}"), fg="red", err=True)
		if error.hint:
			show(f"  {error.hint}", err=True)
		return False
