"""What `bench doctor` does with its options: ask the doctor, show, repair where that was asked for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import click

from fmx_restart.commands.restart import exit_on_error, sites_of
from fmx_restart.console.doctor import console, report
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.examining import Errand, examine_patient, patience
from fmx_restart.doctor.here import patient_here
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.todays_lines import HEAD, queue_lines, scheduler_lines, worker_line
from fmx_restart.recovering import launch_guardian

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
			from fmx_restart.commands.doctor_fix import repair

			examination = repair(examination, lambda: patient_here(named), given)
		else:
			put_right_in_background(examination)
	if examination.errors or (given["strict"] and examination.warnings):
		raise click.exceptions.Exit(UNHEALTHY)


def put_right_in_background(examination: Examination) -> None:
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
	patient = patient_here(named)
	if given["as_json"] or given["quiet"] or given["checks"]:
		examination = examine_patient(patient, given["checks"])
	else:
		examination = with_todays_lines(patient, todays_site(context, given["site"], named))
	if given["as_json"] and not given["fix"]:
		click.echo(json.dumps(examination.as_dict()))
	elif not given["as_json"]:
		show(examination, given["quiet"])
	return examination


def todays_site(context: click.Context, site: str | None, named: list[str]) -> str | None:
	"""Whose lines are printed: the one that was typed, else the default site, else all together."""
	if typed_site(context, site) == "all":
		return None
	return next(iter(named or sites_of(context)), None)


def with_todays_lines(patient: Patient, site: str | None) -> Examination:
	"""Asked for at the same time as the checks, printed before them. What does not answer in time is left out."""
	errands = [
		Errand("scheduler", lambda patient: scheduler_lines(patient, [site] if site else patient.sites)),
		Errand("workers", worker_line),
		Errand("queues", lambda patient: queue_lines(patient, site)),
	]
	for errand in errands:
		errand.start(patient)
	deadline = time.monotonic() + patience()
	examination = examine_patient(patient)
	click.echo(HEAD)
	for errand in errands:
		errand.is_over(deadline)
		for line in tuple(errand.found):
			click.echo(line)
	click.echo()
	return examination


def show(examination: Examination, quiet: bool) -> None:
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
	patient = patient_here(named)
	try:
		return examine_patient(patient, checks)
	finally:
		patient.close()
