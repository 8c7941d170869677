"""The listener of a terminal, with a table while the drain waits. The only one that needs rich, which takes long to import."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fmx_restart.console.headline import headline
from fmx_restart.console.region import Region
from fmx_restart.console.report import report_lines
from fmx_restart.console.sentences import Reasons, details, on_ctrl_c, sentence
from fmx_restart.console.wrapping import wrapped
from fmx_restart.engine import events
from fmx_restart.engine.format import span
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plain_text import printable_lines
from fmx_restart.engine.ports import Worker

DRAW_EVERY = 0.25  # seconds: running times run
WIDE = 100  # columns from which on a worker's state has one of its own
END_COLOURS = {events.Level.INFO: "green"}
LEVEL_COLOURS = {events.Level.WARNING: "yellow", events.Level.ERROR: "red"}
STATE_STYLES = {"busy": "yellow", "suspended": "green", "idle": "cyan", "started": "cyan"}


class LiveTerminal:
	def __init__(
		self,
		console: Console | None = None,
		verbose: bool = False,
		clock: Callable[[], float] = time.time,
		on_ctrl_c: Callable[[Phase, int], str] = on_ctrl_c,
	) -> None:
		"""
		`verbose`: the table also names parked workers. `clock`: when a fact happened, since the epoch. `on_ctrl_c`: what
		Ctrl-C does in a phase, and while the turn is of that group of hosts.
		"""
		self.console = console or Console(highlight=False)
		self.verbose, self.clock, self.on_ctrl_c = verbose, clock, on_ctrl_c
		self.region = Region(self.console)
		self.phase: Phase | None = None  # none before the operation begins, and after its end
		self.group = 0  # of hosts, whose turn it is; 0 where all are restarted together
		self.table: DrainTable | None = None
		self.reasons = Reasons()
		self._drawn_at = 0.0

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.StillRunning):
			self.table, self._drawn_at = DrainTable(event, self.verbose, self.clock()), 0.0
			return
		self.table, self._drawn_at = None, 0.0
		self.note_phase(event)
		if isinstance(event, events.Ended):
			self.region.print(self.report(event))
			return
		lines = [self.reasons.without_repetition(event, sentence(event)), *self.details(event)]
		for text in filter(None, map(printable_lines, lines)):
			self.region.print(TimedLine(datetime.fromtimestamp(self.clock()), text, self.style(event)))

	def note_phase(self, event: events.Event) -> None:
		"""What Ctrl-C does depends on it, and on whether other hosts are new already."""
		if isinstance(event, events.OperationStarted):
			self.phase = Phase.PREFLIGHT
		elif isinstance(event, events.PhaseEntered):
			self.phase = event.phase
		elif isinstance(event, events.HostsBegun):
			self.group = event.number
		elif isinstance(event, events.Ended):
			self.phase = None

	def details(self, event: events.Event) -> list[str]:
		"""What is shown only if someone asked for more."""
		return details(event) if self.verbose else []

	def caught_up(self) -> None:
		"""No fact is left to be shown: draw the table, where the newest fact is one, and what Ctrl-C does."""
		if self.phase is None or time.monotonic() - self._drawn_at < DRAW_EVERY:
			return
		self._drawn_at = time.monotonic()
		hint = Text(self.on_ctrl_c(self.phase, self.group), "dim", no_wrap=True, overflow="ellipsis")
		self.region.draw(Group(self.table, hint) if self.table else hint)

	def hide(self) -> None:
		"""Take away what is drawn, so that others can print."""
		self.region.erase()
		self._drawn_at = 0.0

	@staticmethod
	def style(event: events.Event) -> str:
		"""The colour of its level; a phase is bold."""
		return "bold" if isinstance(event, events.PhaseEntered) else LEVEL_COLOURS.get(event.level, "")

	@staticmethod
	def report(event: events.Ended) -> Paragraphs:
		"""The report; its last line is green if all went well, yellow if a job was killed."""
		lines = [printable_lines(line) for line in report_lines(event.report)]
		if event.report.outcome is not Phase.DONE:
			return Paragraphs(lines)
		return Paragraphs(lines, f"bold {END_COLOURS.get(headline(event.report).level, 'yellow')}")


class TimedLine:
	"""What happened when; as wide as the window is when it is drawn."""

	def __init__(self, at: datetime, text: str, style: str) -> None:
		self.at, self.text, self.style = f"{at:%H:%M:%S}", text, style

	def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
		lines = wrapped(f"{self.at}  {self.text}", options.max_width)
		yield Text.assemble((self.at, "dim"), "  ", (lines[len(self.at) + 2 :], self.style))


class Paragraphs:
	"""Lines as wide as the window is when they are drawn. `end`: the style of the last one."""

	def __init__(self, lines: list[str], end: str = "") -> None:
		self.lines, self.end = lines, end

	def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
		*first, last = (wrapped(line, options.max_width) for line in self.lines)
		yield Text.assemble("\n".join([*first, ""]), (last, self.end))


class DrainTable:
	"""Drawn anew several times a second, so that running times run. Numbers come from the last fact."""

	def __init__(self, event: events.StillRunning, verbose: bool, happened: float) -> None:
		"""`happened`: when the fact happened, in seconds since the epoch."""
		self.event, self.verbose, self.happened = event, verbose, happened

	def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
		passed = max(0.0, time.time() - self.happened)
		depths = "  ".join(f"{queue} {depth}" for queue, depth in sorted(self.event.depths.items()))
		left = span(max(0.0, self.event.left - passed))
		queued = Text(f"Queued: {printable_lines(depths)}", "dim")
		yield self.table(passed, is_wide=options.max_width >= WIDE)
		yield queued
		yield Text.assemble((self.guess(passed), "bold"), (f"Gives up in {left}", "dim"))

	def guess(self, passed: float) -> str:
		"""How long the jobs are likely to take; nothing once they take longer than that."""
		left = (self.event.likely or 0.0) - passed
		return f"Likely {span(left)} more. " if left > 0 else ""

	def table(self, passed: float, *, is_wide: bool) -> Table:
		"""The jobs that are waited for. `passed`: seconds since the operation looked."""
		table = Table(box=None, header_style="bold dim", pad_edge=False)
		for name in ("Worker", *(["State"] if is_wide else []), "Site / job", "Running", "At most"):
			table.add_column(name, no_wrap=name != "Site / job", overflow="fold")
		jobs = {running.worker: running for running in self.event.jobs}
		for worker in sorted(self.event.workers, key=lambda worker: worker.name not in jobs):
			running = jobs.pop(worker.name, None)
			if running or self.verbose:
				table.add_row(*self.row(worker, running, passed, is_wide))
		for running in jobs.values():
			table.add_row(*self.row(None, running, passed, is_wide))
		for pid in self.event.orphans:
			state = [Text("orphan", "red")] if is_wide else []
			table.add_row(f"pid {pid}", *state, "a job process without its worker", "", "")
		return table

	@staticmethod
	def row(worker: Worker | None, running: events.RunningJob | None, passed: float, is_wide: bool) -> tuple:
		"""One worker and its job; a job without its worker is shown as such."""
		name = escape(f"{','.join(worker.queues)} (pid {worker.pid})") if worker else "worker is gone"
		state = worker.state.value if worker else "gone"
		states = [Text(state, STATE_STYLES.get(state, "red"))] if is_wide else []
		if not running:
			return name, *states, "" if is_wide else state, "", ""
		most = None if running.most_left is None else max(0.0, running.most_left - passed)
		job = escape(f"{running.job.site} / {running.job.method}")
		return name, *states, job, span((running.elapsed or 0) + passed), span(most)
