"""
What bench safe-restart does: show a plan, begin an operation, or see to the one that there is. What takes long to import is
imported once the first line is told (tests/commands/test_first_line.py).
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

import click

from fmx_restart.adapters.bench import refuse_unknown_sites
from fmx_restart.commands.parameters import Action, Invocation, Parameters, invocation, options
from fmx_restart.console.say import STDERR, STDOUT, VERDICT_COLOURS, is_dumb, put, say, styled
from fmx_restart.current_bench import journal_folder, next_operation_id
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.options import Options
from fmx_restart.engine.plain_text import printable_lines

if TYPE_CHECKING:
	from fmx_restart.commands.viewer import Viewer
	from fmx_restart.desk.start_order import StartOrder
	from fmx_restart.engine import events
	from fmx_restart.engine.emitter import Listener
	from fmx_restart.engine.plan import Plan

#: Told before anything is asked that may not answer
FIRST_LINE = "Preflight: looking at programs, workers and code; nothing is changed yet"
ORDER_AGAIN = "Start it again in Desk, or type: bench safe-restart --wait-workers"
GOES_ON = (
	"Operation {} continues in the background. Watch it: bench safe-restart attach."
	" Stop it: bench safe-restart cancel."
)


def run(context: click.Context, parameters: Parameters) -> None:
	"""The callback of bench safe-restart. `parameters`: as click has read them."""
	called = invocation(context, parameters)
	with exit_on_error(as_json=called.as_json):
		if called.order is not None:
			carry_out(order_of(called.order), called)
		elif called.action is Action.PLAN:
			show_plan(options(context, parameters), called.as_json)
		elif called.at is not None:
			from fmx_restart.commands.schedule import schedule

			# that Frappe cannot be imported now says nothing of then
			wanted = replace(options(context, parameters), ignore_code_faults=parameters["force"])
			schedule(wanted, called.at, called.repeat, called.as_json)
		elif called.action is Action.RESTART:
			restart(options(context, parameters), called)
		else:
			look_after(called)


def look_after(called: Invocation) -> None:
	"""What is done about an operation that there is already."""
	from fmx_restart.commands import control
	from fmx_restart.commands.status import show_status
	from fmx_restart.commands.viewer import Moment

	moment = Moment()
	if called.action is Action.STATUS:
		show_status(called.as_json, verbose=called.verbose)
	elif called.action is Action.ATTACH:
		control.attach(listener(called, moment), moment)
	elif called.action is Action.CANCEL:
		control.cancel()
	else:
		control.recover(listener(called, moment), moment, takes_over=called.takes_over)


def order_of(operation: str) -> StartOrder:
	"""Raises WrongEnvironment, also for an operation that has begun: its order was carried out."""
	from fmx_restart.desk import start_order
	from fmx_restart.desk.start_order import InvalidOrder

	folder = journal_folder()
	try:
		order = start_order.read(folder, operation)
	except InvalidOrder as error:
		raise WrongEnvironment(f"{error} Nothing was changed.", hint=ORDER_AGAIN) from error
	if (folder / f"{operation}.jsonl").exists():
		raise WrongEnvironment(
			f"Operation {operation} was begun already. Nothing was changed.", hint=ORDER_AGAIN
		)
	refuse_unknown_sites(order.options.sites)  # one may have been dropped since
	return order


def carry_out(order: StartOrder, called: Invocation) -> None:
	"""What Desk or the API ordered, in this process: whoever launched it gave it a session of its own, and no terminal."""
	from fmx_restart.commands.operate import operate_in_place
	from fmx_restart.engine import events

	notes = (events.LaunchedFromWeb(),) if called.launched_from_web else ()
	operate_in_place(order.operation, order.options, order.site, listener(called, time.time), notes)


def restart(wanted: Options, called: Invocation) -> None:
	"""Begin an operation, and show it until it ends. Raises its failure."""
	id = next_operation_id()
	if not called.as_json:
		tell_first_line()
	can_ask = is_terminal(sys.stdin) and is_terminal(sys.stdout) and not called.as_json
	if can_ask and not called.yes:
		from fmx_restart.wiring import plan_restart

		wanted = confirmed(wanted, plan_restart)
	from fmx_restart.commands.operate import operate_apart

	operate_apart(id, wanted, next(iter(wanted.sites), None), lambda: viewer(called), leaving(called, id))


def tell_first_line() -> None:
	"""Not to a terminal or a pipe that takes nothing just now: that must not keep the operation from beginning."""
	with suppress(OSError, ValueError):  # standard output was closed
		if select.select([], [1], [], 0)[1]:
			click.echo(f"{styled(f'{datetime.now():%H:%M:%S}', dim=True)}  {FIRST_LINE}")


def viewer(called: Invocation) -> Viewer:
	"""What shows the operation, made while its process begins."""
	from fmx_restart.commands.viewer import MigrationLogs, Moment, Viewer

	moment = Moment()
	return Viewer(listener(called, moment), moment, MigrationLogs())


def confirmed(wanted: Options, planned: Callable[[Options], Plan]) -> Options:
	"""What the person says yes to. Raises Abort."""
	from fmx_restart.console.plan import plan_sentence

	plan = planned(wanted)
	if plan.stopped_web:
		text = f"Web is stopped ({', '.join(plan.stopped_web)}). Start it too?"
		if click.confirm(printable_lines(text), default=True):
			wanted = replace(wanted, start_stopped_web=True)
			plan = planned(wanted)
	if plan.replaced:  # else it is refused, with what to type
		ask(plan, wanted, f"{plan_sentence(plan)}\n")
	return wanted


def ask(plan: Plan, wanted: Options, about: str) -> None:
	"""Whether to go on. Enter is yes only where no job may be killed; else each of them is named. Raises Abort."""
	from fmx_restart.console.plan import job_lines
	from fmx_restart.engine.verdict import may_kill, verdict_of_plan

	verdict = verdict_of_plan(plan, wanted)
	say(verdict.text, fg=VERDICT_COLOURS[verdict.level.value])
	kills = may_kill(plan, wanted)
	jobs = "".join(f"{line}\n" for line in job_lines(plan, wanted)) if kills else ""
	question = "Kill them and restart?" if kills else "Go on?"
	click.confirm(printable_lines(f"{about}{jobs}{question}"), default=not kills, abort=True)


def leaving(called: Invocation, id: str) -> Callable[[events.Event], None]:
	"""Raises Exit after the fact with which the command lets the terminal go."""
	from fmx_restart.engine import events

	def after(event: events.Event) -> None:
		if isinstance(event, events.HandedOver):
			raise click.exceptions.Exit(event.exit_code)
		if called.detach and isinstance(event, events.PhaseEntered):
			if not called.as_json:
				with suppress(OSError):
					click.echo(GOES_ON.format(id))
			raise click.exceptions.Exit(0)

	return after


def listener(called: Invocation, clock: Callable[[], float]) -> Listener:
	"""`clock`: when a fact happened, in seconds since the epoch."""
	if called.as_json:
		from fmx_restart.console.machine_lines import JsonLines

		return JsonLines(clock)
	if is_terminal(sys.stdout) and not called.detach and not is_dumb():
		from fmx_restart.console.live import LiveTerminal
		from fmx_restart.console.sentences import on_ctrl_c, on_ctrl_c_in_view

		hint = on_ctrl_c if called.action is Action.RESTART else on_ctrl_c_in_view
		return LiveTerminal(verbose=called.verbose, clock=clock, on_ctrl_c=hint)
	from fmx_restart.console.listeners import PlainLines

	return PlainLines(verbose=called.verbose, clock=clock)


def is_terminal(stream: TextIO | None) -> bool:
	"""`stream` is None where it was closed before Python began."""
	return stream is not None and stream.isatty()


@contextmanager
def exit_on_error(*, as_json: bool = False) -> Iterator[None]:
	"""
	The edge: what happened and what to type next on stderr, and the error's own exit code. `as_json`: what no fact has told
	becomes a last line for programs. What the report has told is not told again where both streams are one.
	"""
	try:
		yield
	except OperationError as error:
		with suppress(OSError):  # whoever closed standard error gets the exit code all the same
			if as_json and not error.is_in_report:
				tell_programs(error)
			if not (error.is_in_report and are_streams_one()):
				say(f"Error: {error}", fg="red", err=True)
				if error.hint:
					say(error.hint, err=True)
		raise click.exceptions.Exit(error.exit_code) from error


def are_streams_one() -> bool:
	"""Standard output and error go to one terminal, or one pipe."""
	try:
		return os.path.sameopenfile(STDOUT, STDERR)
	except OSError:
		return False


def tell_programs(error: OperationError) -> None:
	"""The only line of a command that could not do what was typed, or the last one where no report came."""
	from fmx_restart.console.machine_lines import error_line

	click.echo(error_line(error))


def show_plan(wanted: Options, as_json: bool) -> None:
	"""Raises WrongEnvironment where there is none."""
	from fmx_restart.engine.verdict import verdict_of_plan
	from fmx_restart.wiring import at_work, plan_restart

	plan = plan_restart(wanted)
	verdict = verdict_of_plan(plan, wanted, at_work())
	if as_json:
		from dataclasses import asdict

		from fmx_restart.console.machine_lines import answer_line
		from fmx_restart.console.plan import plan_sentence

		put(answer_line(plan_sentence(plan), {"verdict": verdict.as_dict(), **asdict(plan)}))
		return
	say(verdict.text, fg=VERDICT_COLOURS[verdict.level.value])
	for line in plan_lines(plan, wanted):
		say(line)


def plan_lines(plan: Plan, wanted: Options) -> Iterator[str]:
	"""What a person is told of it."""
	from fmx_restart.console.plan import job_lines, order, plan_sentence, story
	from fmx_restart.console.program_names import short_programs
	from fmx_restart.console.sentences import plan_warnings, sentence
	from fmx_restart.engine.events import MigrationFinding

	yield f"{story(wanted)}\n{plan_sentence(plan)}"
	steps = order(plan, wanted.strategy)
	names = short_programs(name for step in steps for name in step.processes)
	for number, step in enumerate(steps, start=1):
		programs = ", ".join(names[name] for name in step.processes)
		yield f"  {number}. {', '.join([*step.hosts, step.when])}: {programs}"
	for finding in plan.findings:
		yield sentence(MigrationFinding(finding))
	yield from plan_warnings(plan)
	yield from job_lines(plan, wanted)
	yield f"Nothing was changed. Idle workers: {plan.idle_workers}. Queued: {depths(plan)}."


def depths(plan: Plan) -> str:
	"""Queues and how many jobs wait in each, for the question."""
	return ", ".join(f"{queue} {depth}" for queue, depth in sorted(plan.depths.items())) or "nothing"
