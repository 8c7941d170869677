"""bench doctor --fix: each step is shown and asked for, then the bench is examined once more."""

from __future__ import annotations

import json
from collections.abc import Callable

import click

from fmx_restart.console.doctor import console, report
from fmx_restart.console.say import say as show
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.examining import examine_patient
from fmx_restart.doctor.fix import FIXES, Step
from fmx_restart.doctor.patient import Patient
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.plain_text import printable_lines


def repair(examination: Examination, new_patient: Callable[[], Patient], given: dict) -> Examination:
	"""Returns what is found afterwards; the same examination where nothing was done."""
	say = (lambda text: None) if given["as_json"] else show
	done = [
		printable_lines(step.text)
		for name in dict.fromkeys(finding.fix for finding in examination.findings if finding.fix)
		for step in FIXES.all()[name](new_patient())
		if is_wanted(step, given["yes"], say) and is_done(step, say)
	]
	after = examine_patient(new_patient(), given["checks"]) if done else examination
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
