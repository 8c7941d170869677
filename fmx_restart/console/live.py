"""The listener of a terminal, with a table while the drain waits. The only one that needs rich, which takes long to import."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fmx_restart.console.report import report_lines
from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.format import span
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plain_text import printable_lines
from fmx_restart.engine.ports import Worker

LEVEL_COLOURS = {events.Level.WARNING: "yellow", events.Level.ERROR: "red"}
STATE_STYLES = {"busy": "yellow", "suspended": "green", "idle": "cyan", "started": "cyan"}


class LiveTerminal:
	def __init__(
		self,
		console: Console | None = None,
		verbose: bool = False,
		clock: Callable[[], float] = time.time,
	) -> None:
		"""`verbose`: the table also names parked workers. `clock`: when a fact happened, since the epoch."""
		self.console = console or Console(highlight=False)
		self.verbose, self.clock = verbose, clock
		self.live: Live | None = None
		self.table: DrainTable | None = None  # the newest, as long as it is not drawn

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.StillRunning):
			self.table = DrainTable(event, self.verbose, self.clock())
			return
		self.hide()
		if isinstance(event, events.Ended):
			self.console.print(self.report(event))
		elif text := printable_lines(sentence(event)):
			time_of_day = datetime.fromtimestamp(self.clock())
			self.console.print(f"[dim]{time_of_day:%H:%M:%S}[/]  {self.coloured(event, text)}")

	def caught_up(self) -> None:
		"""No fact is left to be shown: draw the table, where the newest fact is one."""
		table, self.table = self.table, None
		if table is None:
			return
		if self.live is None:
			self.live = Live(table, console=self.console, refresh_per_second=4, transient=True)
			self.live.start()
		self.live.update(table)

	def hide(self) -> None:
		"""Take the moving table away, so that lines can be printed below."""
		self.table = None
		if self.live is not None:
			self.live.stop()
			self.live = None

	@staticmethod
	def coloured(event: events.Event, text: str) -> str:
		"""A line in the colour of its level; a phase is bold."""
		text = escape(text)
		if isinstance(event, events.PhaseEntered):
			return f"[bold]{text}[/]"
		colour = LEVEL_COLOURS.get(event.level)
		return f"[{colour}]{text}[/]" if colour else text

	@staticmethod
	def report(event: events.Ended) -> Text:
		"""The report; its last line is green if all went well."""
		lines = [printable_lines(line) for line in report_lines(event.report)]
		done = event.report.outcome is Phase.DONE
		body = Text("\n".join(lines[:-1]) + "\n" if done else "\n".join(lines))
		return body.append(lines[-1], style="bold green") if done else body


class DrainTable:
	"""Drawn anew several times a second, so that running times run. Numbers come from the last fact."""

	def __init__(self, event: events.StillRunning, verbose: bool, happened: float) -> None:
		"""`happened`: when the fact happened, in seconds since the epoch."""
		self.event, self.verbose, self.happened = event, verbose, happened

	def __rich__(self) -> Group:
		passed = max(0.0, time.time() - self.happened)
		depths = "  ".join(f"{queue} {depth}" for queue, depth in sorted(self.event.depths.items()))
		left = span(max(0.0, self.event.left - passed))
		queued = Text(f"Queued: {printable_lines(depths)}", "dim")
		return Group(self.table(passed), queued, Text(f"Gives up in {left}", "dim"))

	def table(self, passed: float) -> Table:
		"""The jobs that are waited for. `passed`: seconds since the operation looked."""
		table = Table(
			"Worker", "State", "Site / job", "Running", "At most", box=None, header_style="bold dim"
		)
		jobs = {running.worker: running for running in self.event.jobs}
		for worker in sorted(self.event.workers, key=lambda worker: worker.name not in jobs):
			running = jobs.pop(worker.name, None)
			if running or self.verbose:
				table.add_row(*self.row(worker, running, passed))
		for running in jobs.values():
			table.add_row(*self.row(None, running, passed))
		for pid in self.event.orphans:
			table.add_row(f"pid {pid}", Text("orphan", "red"), "a job process without its worker", "", "")
		return table

	@staticmethod
	def row(worker: Worker | None, running: events.RunningJob | None, passed: float) -> tuple:
		"""One worker and its job; a job without its worker is shown as such."""
		name = escape(f"{','.join(worker.queues)} (pid {worker.pid})") if worker else "worker is gone"
		state = worker.state.value if worker else "gone"
		styled = Text(state, STATE_STYLES.get(state, "red"))
		if not running:
			return name, styled, "", "", ""
		most = None if running.most_left is None else max(0.0, running.most_left - passed)
		job = escape(f"{running.job.site} / {running.job.method}")
		return name, styled, job, span((running.elapsed or 0) + passed), span(most)
