from __future__ import annotations

import io
import re
import time
import unittest
from dataclasses import replace
from datetime import datetime

from rich.console import Console

from fmx_restart.console.live import DrainTable, LiveTerminal
from fmx_restart.engine import events
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import WorkerState
from fmx_restart.tests.console.samples import event_types, sample


class TestLiveTerminal(unittest.TestCase):
	def setUp(self):
		self.out = io.StringIO()
		self.console = Console(file=self.out, width=200, force_terminal=False, highlight=False)

	def show(self, *facts: events.Event, verbose: bool = False) -> str:
		terminal = LiveTerminal(self.console, verbose)
		self.addCleanup(terminal.hide)
		for fact in facts:
			terminal(fact)
		return self.out.getvalue()

	def table(self, event: events.StillRunning, *, verbose: bool = False) -> str:
		self.console.print(DrainTable(event, verbose, time.time()))
		return self.out.getvalue()

	def test_every_fact_can_be_shown(self):
		self.assertIn("text", self.show(*(sample(kind) for kind in event_types())))

	def test_what_a_program_wrote_is_shown_as_it_is_and_never_read_as_colours(self):
		fact = events.ProcessFailed("web", "[red]odd[/] [/bold]", "log [link=http://x]here[/link]")
		self.assertIn("Error: web: [red]odd[/] [/bold]", self.show(fact))
		self.assertIn("log [link=http://x]here[/link]", self.out.getvalue())

	def test_a_method_in_brackets_is_shown_as_it_is(self):
		still = sample(events.StillRunning)
		job = replace(still.jobs[0].job, method="[bold]app.work[/]", site="[/]")
		running = replace(still.jobs[0], job=job)
		self.assertIn("[/] / [bold]app.work[/]", self.table(replace(still, jobs=(running,))))

	def test_the_table_tells_who_runs_what_and_how_long_it_can_take(self):
		still = sample(events.StillRunning)
		busy = replace(still.workers[0], name="text", state=WorkerState.BUSY, pid=77)
		text = self.table(replace(still, workers=(busy,)))
		self.assertRegex(text, r"text \(pid 77\) +busy +text / text +4\.5 s +4\.5 s")
		self.assertIn("Queued: text 3", text)
		self.assertIn("Gives up in 4.5 s", text)
		self.assertIn("a job process without its worker", text)

	def test_times_run_from_when_the_fact_happened_and_not_from_when_it_is_shown(self):
		# Given a fact of a minute ago, of a job that had run for 4.5 s and may run for 90 s more
		still = sample(events.StillRunning)
		running = replace(still.jobs[0], most_left=90.0)
		table = DrainTable(replace(still, jobs=(running,), left=300.0), False, time.time() - 60)
		# When it is drawn now
		self.console.print(table)
		# Then the job runs for a minute longer, and has a minute less
		self.assertRegex(self.out.getvalue(), r"text / text +1 min [45] s +[23]\d s")
		self.assertRegex(self.out.getvalue(), r"Gives up in (4 min$|3 min 59 s)")

	def test_a_line_has_the_time_of_its_fact(self):
		LiveTerminal(self.console, clock=lambda: 86400.0)(events.NoWorkersFound())
		self.assertIn(f"{datetime.fromtimestamp(86400.0):%H:%M:%S}  Warning", self.out.getvalue())

	def test_who_catches_up_draws_the_newest_table_only(self):
		# Given a terminal, and facts that came while nothing was shown
		console = Console(file=self.out, width=200, force_terminal=True, highlight=False)
		terminal = LiveTerminal(console)
		self.addCleanup(terminal.hide)
		terminal(events.PhaseEntered(Phase.DRAIN))
		still = sample(events.StillRunning)
		for depth in range(100):
			terminal(replace(still, depths={"queue": depth}))
		# When all of them are known
		terminal.caught_up()
		terminal.hide()
		# Then one of them was drawn, the newest
		self.assertEqual(set(re.findall(r"Queued: queue (\d+)", self.out.getvalue())), {"99"})

	def test_a_table_that_another_fact_has_overtaken_is_not_drawn(self):
		terminal = LiveTerminal(Console(file=self.out, width=200, force_terminal=True))
		terminal(events.PhaseEntered(Phase.DRAIN))
		terminal(sample(events.StillRunning))
		terminal(events.NoWorkersFound())
		terminal.caught_up()
		self.assertNotIn("Queued:", self.out.getvalue())

	def test_parked_workers_are_shown_only_if_asked_for(self):
		still = sample(events.StillRunning)
		parked = replace(still.workers[0], name="parked", pid=88, state=WorkerState.SUSPENDED)
		still = replace(still, workers=(parked,))
		self.assertNotIn("pid 88", self.table(still))
		self.assertIn("pid 88", self.table(still, verbose=True))

	def test_a_job_whose_worker_is_gone_is_still_shown(self):
		still = replace(sample(events.StillRunning), workers=())
		self.assertRegex(self.table(still), r"worker is gone +gone +text / text")

	def test_the_colour_follows_the_level_and_not_the_words(self):
		terminal = Console(file=(out := io.StringIO()), force_terminal=True, highlight=False)
		LiveTerminal(terminal)(events.ProcessDown("Warning: red", None, 0.0))
		LiveTerminal(terminal)(events.ProcessFailed("web", "gone", ""))
		plain, failed = out.getvalue().splitlines()
		self.assertNotIn("\x1b[33m", plain)
		self.assertIn("\x1b[31mError: web: gone", failed)

	def test_while_a_later_group_of_hosts_has_its_turn_the_last_line_does_not_say_that_nothing_is_restarted(
		self,
	):
		def last_line(*facts: events.Event) -> str:
			out = io.StringIO()
			terminal = LiveTerminal(Console(file=out, width=80, force_terminal=True, highlight=False))
			for fact in (sample(events.OperationStarted), *facts, events.PhaseEntered(Phase.DRAIN)):
				terminal(fact)
			terminal.caught_up()
			return out.getvalue().splitlines()[-1]

		first, second = events.HostsBegun(("a",), 1, 2), events.HostsBegun(("b",), 2, 2)
		self.assertIn("Ctrl-C: stop; nothing is restarted yet", last_line())
		self.assertIn("Ctrl-C: stop; nothing is restarted yet", last_line(first))
		self.assertIn(
			"Ctrl-C: stop; these hosts and those after them keep the old code", last_line(first, second)
		)

	def test_colours_appear_on_a_terminal_only(self):
		terminal = Console(file=(out := io.StringIO()), force_terminal=True)
		LiveTerminal(terminal)(events.NoWorkersFound())
		self.show(events.NoWorkersFound())
		self.assertIn("\x1b[", out.getvalue())
		self.assertNotIn("\x1b", self.out.getvalue())
