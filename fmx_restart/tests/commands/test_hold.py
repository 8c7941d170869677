"""`bench safe-restart hold` and `release`, on a real Redis with a real RQ worker under a real supervisord."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from fmx_restart.adapters.redis_queue.keys import SUSPENDED
from fmx_restart.adapters.user import who_types
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.commands.managed_bench import BENCH_ID, ManagedBench

USAGE, DRAIN_TIMEOUT, LAPSED, WRONG_ENVIRONMENT, BUSY, STOPPED = 2, 3, 4, 7, 75, 130  # exit codes


class HoldCase(ManagedBench):
	def refused(self, code: int, *words: str) -> str:
		done = self.command(*words)
		self.assertEqual(done.exit_code, code, f"{done.output} {done.exception!r}")
		return " ".join(done.output.split())

	def answer(self, *words: str) -> dict:
		return json.loads(self.output(*words, "--json"))

	def value(self) -> bytes | None:
		return self.admin.get(SUSPENDED)


class TestHold(HoldCase):
	def test_a_worker_is_parked_starts_nothing_and_goes_on_after_the_release(self):
		self.start_manager()
		text = self.output("hold", "--for", "20m", "--reason", "deploy 12")
		self.assertRegex(
			text,
			rf"(?m)^The queue is held until (?:[\d-]+ )?[\d:]+ \w+ \(20 min\) by {who_types()} \(deploy 12\)\. No worker starts a job",
		)
		self.assertIn("To lift it, type: bench safe-restart release\n", text)
		# Given a job that comes while nothing of ours runs, and a worker that is suspended
		self.assertIn(" suspended ", self.output("status"))
		job = self.rq.enqueue("job-1")
		time.sleep(1.5)
		told = self.answer("hold", "--status")
		self.assertEqual((told["is_held"], told["depths"]["short"], told["schema"]), (True, 1, 1))
		self.assertEqual([hold["owner"] for hold in told["holds"]], [who_types()])
		self.assertIn(f"\n{who_types()} (deploy 12) holds the queue until ", self.output("status"))
		# When it is released
		self.assertRegex(
			self.output("release"),
			rf"^The hold by {who_types()} is lifted\. It stood for .*\nThe queue is running\.\n",
		)
		eventually(lambda: job.get_status() == "finished", "the job has run")
		self.assertRegex(self.output("release"), "was released before, at ")
		self.assertIn("The queue is running.", self.refused(LAPSED, "hold", "--status"))

	def test_a_drain_waits_and_one_that_is_over_takes_the_hold_back(self):
		self.start_manager()
		self.rq.enqueue("job-1", waits=True)
		eventually(lambda: " busy " in self.output("status"), "the worker is busy")
		text = self.refused(DRAIN_TIMEOUT, "hold", "--drain", "--drain-timeout", "0.5")
		self.assertIn("one.localhost: app.tasks.work", text)
		self.assertIn("The hold was taken back. Try again later, or give them longer: --drain-timeout", text)
		self.assertIsNone(self.value())
		# and without --drain it is said that the job runs
		self.assertIn("1 job still runs; --drain waits for that.", self.output("hold", "--for", "60s"))
		self.rq.finish("job-1")
		self.assertIn("The queue is held until", self.output("hold", "--for", "60s", "--drain"))
		self.output("release")

	def test_ctrl_c_a_hang_up_and_a_kill_during_a_drain_leave_nothing_held(self):
		self.start_manager()
		self.rq.enqueue("job-1", waits=True)
		eventually(lambda: " busy " in self.output("status"), "the worker is busy")
		environment = {**os.environ, "FRAPPE_BENCH_ROOT": str(self.bench), "PYTHONPATH": str(CHECKOUT)}
		command = [sys.executable, "-m", "fmx_restart", "safe-restart", "hold", "--drain", "--for", "5h"]
		for number in (signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
			process = subprocess.Popen(
				command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
			)
			self.addCleanup(process.kill)
			eventually(lambda: self.value() is not None, "the command has fenced the queue")
			self.assertIn(
				"is about to hold the queue, and waits for running jobs",
				self.refused(LAPSED, "hold", "--status"),
			)
			self.assertIn("waits for running jobs", self.refused(BUSY, "release"))
			process.send_signal(number)
			output = process.communicate(timeout=20)[0]
			if number == signal.SIGKILL:
				# nobody could take it back: then it is a lease
				self.assertLess(self.admin.pttl(SUSPENDED), 31_000)
			else:
				self.assertEqual((process.returncode, self.value()), (STOPPED, None), output)
				self.assertIn("Stopped on request. The hold was taken back.", output)
		self.rq.finish("job-1")

	def test_two_owners_add_up_and_nobody_lifts_what_is_not_theirs_unnamed(self):
		self.answer("hold", "--for", "10m", "--owner", "pipeline 7", "--reason", "image")
		text = self.refused(BUSY, "release")
		self.assertIn(f"There is no hold by {who_types()}. pipeline 7 (image) holds the queue until", text)
		self.assertIn("bench safe-restart release --owner 'pipeline 7'", text)
		self.assertIn("pipeline 7 (image) holds the queue until", self.output("hold", "--for", "30m"))
		self.assertRegex(
			self.output("release"), r"is lifted\..*\nThe queue stays held until .* by pipeline 7 \(image\)"
		)
		told = self.answer("release", "--owner", "pipeline 7")
		self.assertEqual((told["released"]["pipeline 7"]["end"], told["suspension"]), ("lifted", None))
		# and all at once
		for owner in ("a", "b"):
			self.output("hold", "--owner", owner)
		text = self.output("release", "--all")
		self.assertEqual(text.count(" is lifted."), 2)
		self.assertIsNone(self.value())
		self.assertIn("No hold of this bench stands.", self.output("release", "--all"))

	def test_one_that_has_ended_was_lifted_or_was_lost_is_told_with_exit_code_4(self):
		self.output("hold", "--for", "1s")
		eventually(lambda: self.value() is None, "it has expired")
		text = self.refused(LAPSED, "release")
		self.assertRegex(text, r"had ended at [\d:]+ \w+, [\d.]+ s ago: jobs may have run since then")
		self.assertEqual(
			json.loads(self.command("release", "--json").output.splitlines()[0])["failure"], "HoldLapsed"
		)
		self.output("hold")
		self.admin.delete(SUSPENDED)  # rq resume
		self.assertIn(
			"The queue is running, although it was to be held.", self.refused(LAPSED, "hold", "--status")
		)
		self.assertIn("someone lifted the suspension meanwhile", self.refused(LAPSED, "release"))
		self.output("hold")
		self.admin.flushall()
		self.assertRegex(
			self.refused(LAPSED, "release"),
			r"made before (?:[\d-]+ )?[\d:]+ \w+, when Redis was started, it was lost then, and jobs may have",
		)

	def test_a_strangers_suspension_is_refused_and_stays(self):
		self.admin.set(SUSPENDED, "1")
		text = self.refused(WRONG_ENVIRONMENT, "hold")
		self.assertIn("Someone else has suspended the queue (rq suspend)", text)
		self.assertEqual(self.value(), b"1")
		self.assertIn("suspended by: rq suspend", self.refused(LAPSED, "hold", "--status"))

	def test_it_works_where_no_process_manager_answers_and_names_other_benches(self):
		self.admin.sadd("rq:workers", "rq:worker:other")
		self.admin.hset(
			"rq:worker:other", mapping={"queues": "other-bench:short", "state": "idle", "birth": "x"}
		)
		text = self.output("hold", "--for", "1h30m")
		self.assertIn("(1 h 30 min)", text)
		self.assertIn("Held too, as they use the same Redis: 1 worker of other-bench.", text)
		self.output("release")

	def test_what_is_typed_wrong_is_refused_before_anything_is_held(self):
		for words, said in (
			(["hold", "--for", "20"], "'20' is not a duration; type for example 20m"),
			(["hold", "--for", "25h"], "A hold lasts from one second to 24 hours."),
			(["hold", "--for", "0s"], "A hold lasts from one second to 24 hours."),
			(["hold", "--reason", "a\nb"], "--reason has at most 140 characters, in one line."),
			(["hold", "--owner", "x" * 141], "--owner has at most 140 characters"),
			(["hold", "--owner", " "], "--owner needs a name."),
			(["hold", "--drain-timeout", "5"], "--drain-timeout does nothing without --drain."),
			(["hold", "--drain", "--drain-timeout", "nan"], "is not a number from 0 on"),
			(["hold", "--status", "--for", "5m"], "--for does nothing with --status. Nothing was changed."),
			(["release", "--all", "--owner", "x"], "Use --owner or --all, not both."),
		):
			self.assertIn(said, self.refused(USAGE, *words))
			self.assertIsNone(self.value())


class TestBenchNames(HoldCase):
	def test_the_hold_of_another_bench_is_told_and_left_to_it(self):
		self.output("hold", "--owner", "ada")
		self.configure(bench_id="other-bench")
		text = self.refused(BUSY, "release", "--owner", "ada")
		self.assertIn(f"ada of bench {BENCH_ID} holds the queue until", text)
		self.assertIn("Lift it in that bench.", text)
		self.assertIn(
			"No hold of this bench stands. The queue stays held",
			" ".join(self.output("release", "--all").split()),
		)
		self.configure()
		self.output("release", "--owner", "ada")
