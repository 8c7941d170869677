"""What `bench safe-restart logs` shows, of a real supervisord, and how the end of any file is found."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

from fmx_restart.adapters.log_end import BLOCK, MOST, last_lines
from fmx_restart.commands.logs import lines
from fmx_restart.engine.ports import LogTail
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.commands.managed_bench import BROKEN, WEB, WORKER, ManagedBench

WRONG_USAGE, WRONG_ENVIRONMENT = 2, 7  # exit codes


class TestLogs(ManagedBench):
	def setUp(self) -> None:
		super().setUp()
		logs = self.bench / "logs"
		(logs / "web.error.log").write_text("one\ntwo\n\x1b[31mthree\x1b[0m\n")
		(logs / "worker.error.log").write_text("a worker's line\n")

	def test_it_shows_the_end_of_every_log_once_or_those_of_one_program_or_group(self):
		self.start_manager()
		logs = self.bench / "logs"
		eventually(lambda: "ready" in self.output("logs", WEB), "web has begun")
		text = self.output("logs", "--tail", "2")
		self.assertIn(f"==> {logs}/web.error.log ({WEB})\ntwo\nthree\n", text)
		self.assertEqual(text.count(f"==> {logs}/worker.error.log ({BROKEN}, {WORKER})\n"), 1)
		self.assertIn("a worker's line", self.output("logs", "--tail", "1000"))
		# of one program, and of a group
		web = self.output("logs", WEB)
		self.assertIn("one\ntwo\nthree\n", web)
		self.assertNotIn("worker", web)
		self.assertEqual(self.output("logs", "bench-web"), web)
		self.assertNotIn("web.error.log", self.output("logs", "bench-workers", "--tail", "1"))
		# the same as JSON
		told = json.loads(self.output("logs", "--tail", "2", "--json"))
		of_web = next(log for log in told["logs"] if log["source"].endswith("/web.error.log"))
		self.assertEqual((of_web["programs"], of_web["fault"]), ([WEB], ""))
		self.assertEqual(len(of_web["lines"]), 2)
		of_workers = [log["programs"] for log in told["logs"] if log["source"].endswith("/worker.error.log")]
		self.assertEqual(of_workers, [[BROKEN, WORKER]])
		self.assertEqual(told["without_log"], [])
		# and of none
		for name in ("bench-workers:shrot", "", "bench", "--"):
			done = self.command("logs", *([name] if name != "--" else ["--", "-x"]))
			self.assertEqual(done.exit_code, WRONG_ENVIRONMENT, done.output)
			self.assertIn("This bench has no program ", done.output)
			self.assertIn(f"Its programs: {WEB}, {BROKEN}, {WORKER}.", done.output)

	def test_where_no_manager_answers_it_says_why(self):
		done = self.command("logs")
		self.assertEqual(done.exit_code, WRONG_ENVIRONMENT, done.output)
		self.assertIn("supervisord", done.output)

	def test_a_number_of_lines_that_makes_no_sense_is_refused(self):
		for number in ("0", "-1", "all", "1000000000"):
			self.assertEqual(self.command("logs", "--tail", number).exit_code, WRONG_USAGE)


class TestShown(unittest.TestCase):
	def test_a_log_that_is_empty_away_or_not_ours_to_read_is_told(self):
		tails = {
			"web": [LogTail("/logs/web.log", ()), LogTail("/logs/away.log", (), "No such file or directory")],
			"socketio": [],
		}
		text = "\n".join(lines(tails))
		self.assertIn("==> /logs/web.log (web)\n(empty)", text)
		self.assertIn("==> /logs/away.log (web)\n(cannot be read: No such file or directory)", text)
		self.assertIn("No log of its own: socketio.", text)


class TestLastLines(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-log-")
		self.addCleanup(folder.cleanup)
		self.path = Path(folder.name, "a.log")

	def end_of(self, data: bytes, count: int) -> list[str]:
		self.path.write_bytes(data)
		return last_lines(str(self.path), count)

	def test_it_has_the_last_lines_of_a_log_of_any_length(self):
		self.assertEqual(self.end_of(b"", 3), [])
		self.assertEqual(self.end_of(b"one\ntwo\nthree", 2), ["two", "three"])
		self.assertEqual(self.end_of(b"one\ntwo\n", 5), ["one", "two"])
		many = b"".join(b"line %d\n" % number for number in range(100_000))
		self.assertEqual(self.end_of(many, 2), ["line 99998", "line 99999"])
		self.assertEqual(len(self.end_of(many, 20_000)), 20_000)

	def test_a_line_across_two_reads_is_whole(self):
		for length in (BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK):
			line = "x" * length
			self.assertEqual(self.end_of(f"first\n{line}\n".encode(), 1), [line])
			self.assertEqual(self.end_of(f"first\n{line}".encode(), 2), ["first", line])

	def test_a_line_without_end_is_cut_and_bytes_that_are_no_text_are_replaced(self):
		self.assertEqual(len(self.end_of(b"x" * (MOST + 3 * BLOCK), 1)[0]), MOST)
		self.assertEqual(self.end_of(b"\xff\n", 1), ["\ufffd"])
