"""What `bench safe-restart history` tells of journals: real ones, of both formats, and broken ones."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
import unittest
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.machine import this_machine
from fmx_restart.engine import events
from fmx_restart.engine.emitter import FORMAT
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.report import Failure, Report
from fmx_restart.tests.commands.test_subcommands import bench_group

RECORDED = Path(__file__).parents[1] / "recorded"
BENCH = "a-bench"


class HistoryCase(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-history-")
		self.addCleanup(folder.cleanup)
		self.addCleanup(os.chdir, Path.cwd())
		self.bench = Path(folder.name)
		self.journals = self.bench / "logs" / "fmx_restart"
		for name in ("sites", "apps", "config", "logs/fmx_restart"):
			(self.bench / name).mkdir(parents=True)
		(self.bench / "sites" / "apps.txt").write_text("frappe\n")
		(self.bench / "sites" / "common_site_config.json").write_text("{}")
		os.chdir(self.bench / "sites")

	def history(self, *words: str) -> Result:
		runner = CliRunner(env={"FRAPPE_BENCH_ROOT": str(self.bench)})
		done = runner.invoke(bench_group(), ["frappe", "safe-restart", "history", *words])
		self.assertEqual(done.exit_code, 0, f"{done.output} {done.exception!r}")
		return done

	def told(self, *words: str) -> list[dict]:
		return json.loads(self.history(*words, "--json").output)

	def write(self, number: int, *facts: events.Event, machine: Machine | None = None, **options) -> str:
		"""The journal of an operation; returns its id."""
		id, machine = f"20261101-120000-{number:04x}", machine or this_machine()
		wanted = Options(requested_by="ada@a.example", **options)
		started = events.OperationStarted(
			id, BENCH, wanted.strategy.value, machine.name, options=wanted, machine=machine, format=FORMAT
		)
		with closing(Journal(self.journals, id)) as journal:
			for fact in (started, *facts):
				journal(fact)
		return id

	def ended(self, outcome: Phase = Phase.DONE, failure: Failure | None = None, **fields) -> events.Ended:
		return events.Ended(
			Report("", BENCH, "wait-workers", 0.0, outcome=outcome, seconds=12.0, failure=failure, **fields)
		)


class TestHistory(HistoryCase):
	def test_it_tells_who_what_when_and_how_it_ended_the_newest_first(self):
		first = self.write(1, self.ended(), migration=MigrationOptions())
		failure = Failure("DrainTimeout", "jobs are still running", "")
		second = self.write(2, self.ended(Phase.ABORTED, failure))
		told = self.told()
		self.assertEqual([it["operation"] for it in told], [second, first])
		self.assertEqual([it["outcome"] for it in told], ["Aborted", "Done"])
		self.assertEqual([it["exit_code"] for it in told], [3, 0])
		self.assertEqual([it["migrates"] for it in told], [False, True])
		self.assertEqual(
			{(it["requested_by"], it["strategy"], it["seconds"]) for it in told},
			{("ada@a.example", "wait-workers", 12.0)},
		)
		head, *lines = self.history().output.splitlines()
		self.assertEqual(
			head.split(),
			["OPERATION", "STARTED", f"({time.strftime('%Z')})", "BY", "STRATEGY", "OUTCOME", "TIME", "EXIT"],
		)
		self.assertRegex(
			lines[0], rf"^{second}  [\d-]+ [\d:]+  ada@a.example  wait-workers  +Aborted +12 s +3$"
		)
		self.assertRegex(lines[1], r"wait-workers, migrate +Done +12 s +0$")

	def test_a_limit_leaves_out_the_older_ones_and_says_so(self):
		ids = [self.write(number, self.ended()) for number in range(1, 4)]
		text = self.history("--limit", "2").output
		self.assertEqual([id in text for id in ids], [False, True, True])
		self.assertIn("Older operations are not shown; --limit 20 shows more.", text)
		self.assertEqual([it["operation"] for it in self.told("--limit", "1")], ids[-1:])
		self.assertNotIn("not shown", self.history("--limit", "3").output)

	def test_one_that_died_here_is_told_with_what_to_type(self):
		id = self.write(1, events.PhaseEntered(Phase.DRAIN))
		self.assertIn("died during the wait for running jobs", self.history().output)
		self.assertIn(
			f"Operation {id} died and was not recovered. Type: bench safe-restart recover",
			self.history().output,
		)
		self.assertIsNone(self.told()[0]["exit_code"])

	def test_one_that_runs_or_is_of_another_machine_is_not_called_dead(self):
		id = self.write(1, events.PhaseEntered(Phase.DRAIN))
		with (self.journals / f"{id}.jsonl").open("rb+") as file:
			fcntl.flock(file, fcntl.LOCK_EX)
			self.assertEqual(self.told()[0]["outcome"], "running: waiting for running jobs")
			self.assertNotIn("recover", self.history().output)
		(self.journals / f"{id}.jsonl").unlink()
		self.write(2, events.PhaseEntered(Phase.DRAIN), machine=Machine("b.example", "x", "y", 1.0))
		self.assertEqual(
			(self.told()[0]["outcome"], self.told()[0]["host"]),
			("not ended: was waiting for running jobs", "b.example"),
		)
		self.assertNotIn("recover", self.history().output)

	def test_one_that_another_process_recovered_is_not_told_as_dead(self):
		self.write(1, self.ended(Phase.RECOVERED, Failure("ProcessDied", "its process died", "")))
		self.assertEqual((self.told()[0]["outcome"], self.told()[0]["exit_code"]), ("Recovered", 4))

	def test_every_recorded_journal_is_told_with_its_own_outcome(self):
		for number, recorded in enumerate(sorted(RECORDED.glob("format_*/*.jsonl"))):
			(self.journals / f"20261101-120000-{number:04x}.jsonl").write_bytes(recorded.read_bytes())
		told = self.told("--limit", "100")
		self.assertEqual(len(told), number + 1)
		self.assertEqual([it for it in told if not it["outcome"] or not it["strategy"]], [])
		self.assertIn(
			("rolling", "Done", 0), {(it["strategy"], it["outcome"], it["exit_code"]) for it in told}
		)

	def test_a_broken_journal_hides_no_other_one(self):
		good = self.write(1, self.ended())
		for number, data in enumerate(
			(b"", b"no json\n", b'{"event": "Ended"\n', b"\xff\xfe\n", b'{"event": "Started'), start=2
		):
			(self.journals / f"20261101-120000-{number:04x}.jsonl").write_bytes(data)
		(self.journals / "20261101-120000-00aa.jsonl").symlink_to(self.journals)
		told = {it["operation"]: it["outcome"] for it in self.told()}
		self.assertEqual(told[good], "Done")
		self.assertIn("unreadable", told["20261101-120000-00aa"])
		self.assertIn("not understood", told["20261101-120000-0004"])

	def test_a_requester_cannot_command_the_terminal(self):
		self.write(1, self.ended(requested_by="eve\x1b[2J\nRoot"))
		self.assertNotIn("\x1b", self.history().output)
		self.assertEqual(len(self.history().output.splitlines()), 2)

	def test_a_bench_without_any_says_so(self):
		self.assertEqual(self.history().output, "bench safe-restart has not restarted this bench yet.\n")
		self.assertEqual(self.told(), [])
