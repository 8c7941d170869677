"""What `bench doctor` does: examine, show, and repair where that is wanted."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fmx_restart.commands.parameters import sites_of, typed_before
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.doctor import console, report
from fmx_restart.console.say import is_dumb, put
from fmx_restart.console.say import say as show
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.explain import explain
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


@dataclass(frozen=True)
class Call:
	"""How bench doctor was called."""

	#: the one that someone typed, here or before the command's name; `all` is none in particular
	site: str | None
	default_sites: tuple[str, ...]  # those that bench looks at where none was typed
	checks: tuple[str, ...]  # these only; empty for all
	as_json: bool
	quiet: bool
	strict: bool
	watch: bool
	fix: bool
	yes: bool

	def __post_init__(self) -> None:
		"""Raises UsageError for options that contradict each other."""
		if self.watch and (self.as_json or self.fix):
			raise click.UsageError("--watch goes with neither --json nor --fix.")
		if self.yes and not self.fix:
			raise click.UsageError("--yes does nothing without --fix.")
		if self.fix and self.as_json and not self.yes:
			raise click.UsageError("--fix asks before each step: with --json it needs --yes.")


def run(context: click.Context, parameters: Mapping[str, Any]) -> None:
	"""The callback of bench doctor. `parameters`: as click has read them, by name."""
	parameters = dict(parameters)
	if name := parameters.pop("explain"):
		with exit_on_error():
			put(explain(name))
		return
	site = parameters["site"] or typed_before(context)
	call = Call(**{**parameters, "site": site, "default_sites": tuple(sites_of(context))})
	with exit_on_error():
		named = named_sites(call.site)
		if call.watch:
			watch(call, named)
			return
		examination = examine(call, named)
		if call.fix:
			examination = repair(examination, lambda: bench_view(named, recover), call)
		else:
			recover_in_background(examination)
	if examination.errors or (call.strict and examination.warnings):
		raise click.exceptions.Exit(UNHEALTHY)


def recover_in_background(examination: Examination) -> None:
	"""
	What a dead operation left. Nobody else may be there to do it: where it had stopped the workers, no tick of the
	scheduler comes. It only ends what was begun, so nobody is asked; --fix does it in front of your eyes.
	"""
	for finding in examination.findings:
		if finding.fix == "unfinished-operation":
			launch_guardian(finding.subject)


def named_sites(named: str | None) -> list[str]:
	"""
	The one that someone typed. Empty for all of them: a default site is what Frappe's own doctor looks at, and no reason to
	look at no other.
	"""
	if not named or named == "all":
		return []
	if not (Path(named) / "site_config.json").exists():
		show(f"Site {named} does not exist!", fg="yellow", err=True)
		raise click.exceptions.Exit(NO_SUCH_SITE)
	return [named]


def examine(call: Call, named: list[str]) -> Examination:
	"""One examination, shown as asked: for people, as JSON, or with Frappe's own lines in front."""
	view = bench_view(named)
	if call.as_json or call.quiet or call.checks:
		examination = run_checks(view, call.checks)
	else:
		examination = with_frappe_lines(view, site_of_frappe_lines(call, named))
	if call.as_json and not call.fix:
		put(json.dumps(examination.as_dict()))
	elif not call.as_json:
		show_examination(examination, call.quiet)
	return examination


def site_of_frappe_lines(call: Call, named: list[str]) -> str | None:
	"""Whose lines are printed: the one that was typed, else the default site, else all together."""
	return None if call.site == "all" else next(iter(named or call.default_sites), None)


def with_frappe_lines(view: BenchView, site: str | None) -> Examination:
	"""Asked for at the same time as the checks, printed before them. What does not answer in time is left out."""
	probes = [
		Probe("scheduler", lambda view: scheduler_lines(view, [site] if site else view.sites)),
		Probe("workers", worker_line),
		Probe("queues", lambda view: queue_lines(view, site)),
	]
	for probe in probes:
		probe.start(view)
	deadline = time.monotonic() + patience()
	examination = run_checks(view)
	put(HEAD)
	for probe in probes:
		probe.is_over(deadline)
		for line in tuple(probe.answers):
			put(line)
	put("")
	return examination


def show_examination(examination: Examination, quiet: bool) -> None:
	"""With --quiet nothing is shown unless something is wrong."""
	if examination.problems or not quiet:
		console().print(report(examination, quiet=quiet), soft_wrap=True)


def watch(call: Call, named: Sequence[str]) -> None:
	"""Until Ctrl-C. On a terminal in place, elsewhere one report after the other."""
	from rich.live import Live

	screen = console()
	look = lambda: report(one_look(named, call.checks), quiet=call.quiet)  # noqa: E731
	try:
		if not screen.is_terminal or is_dumb():
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
	"""An examination of its own, as after each fix. Its connections are closed."""
	view = bench_view(named)
	try:
		return run_checks(view, checks)
	finally:
		view.close()


def repair(examination: Examination, new_view: Callable[[], BenchView], call: Call) -> Examination:
	"""Returns what is found afterwards; the same examination where nothing was done."""
	say = (lambda text: None) if call.as_json else show
	done = [
		printable_lines(step.text)
		for name in dict.fromkeys(finding.fix for finding in examination.findings if finding.fix)
		for step in FIXES.all()[name](new_view())
		if is_wanted(step, call.yes, say) and is_done(step, say)
	]
	after = run_checks(new_view(), call.checks) if done else examination
	if call.as_json:
		put(json.dumps({**after.as_dict(), "fixed": done}))
	elif done:
		console().print("\nAfter that:", report(after, quiet=call.quiet), soft_wrap=True)
	else:
		say("Nothing was changed.")
	return after


def is_wanted(step: Step, yes: bool, say: Callable[[str], None]) -> bool:
	"""Ask, or with --yes say what is being done."""
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
		show(f"  Error: {error}", fg="red", err=True)
		if error.hint:
			show(f"  {error.hint}", err=True)
		return False
