"""bench doctor as people and scripts type it: today's lines, the problems, --json, --fix, and without Frappe."""

from __future__ import annotations

import json
from pathlib import Path

from fmx_restart.tests.bench.command import Command, Finished
from fmx_restart.tests.bench.scratch import HELPER, ScratchBench
from fmx_restart.tests.bench.support import BenchTestCase
from fmx_restart.tests.bench.terminal import Terminal
from fmx_restart.tests.doctor.support import dead_note

#: Frappe's own, before any app's command of the same name
FRAPPES = "import frappe, sys; from frappe.utils.doctor import doctor; doctor(sys.argv[1] if sys.argv[1:] else None)"
#: What --json promises (docs/doctor.md)
FIELDS = {
	"bench",
	"time",
	"seconds",
	"verdict",
	"healthy",
	"errors",
	"warnings",
	"notes",
	"checks",
	"findings",
	"details",
}


class TestDoctor(BenchTestCase):
	def doctor(self, *options: str, before: tuple[str, ...] = (), command: str = "doctor") -> Finished:
		words = [str(self.bench.tools / "bench"), *before, command, *options]
		return Command(words, cwd=self.bench.path, env=self.bench.environment).finish()

	def python(self, *words: str) -> Finished:
		line = [str(self.bench.python), *words]
		return Command(line, cwd=self.bench.sites_path, env=self.bench.environment).finish()

	def test_what_frappes_own_doctor_prints_is_there_line_by_line_and_in_that_order(self):
		# Given a bench on which jobs wait, as both workers are at work
		held = [self.jobs.hold("long"), self.jobs.hold("short")]
		for _ in range(3):
			self.jobs.work("default")
		for site in (self.bench.site, None):
			# When both doctors are asked
			before = ("--site", site) if site else ()
			frappes = self.python("-c", FRAPPES, *([site] if site else []))
			ours = self.doctor(before=before)
			# Then every line of Frappe's is among ours, and none comes before it in another order
			self.assertEqual((frappes.code, ours.code), (0, 0), ours.text)
			wanted = [line for line in frappes.output.splitlines() if line != "-----None Jobs-----"]
			self.assertIn("Workers online: 2", wanted)
			self.assertNotIn("\x1b", ours.output)
			lines = iter(ours.output.splitlines())
			missing = [line for line in wanted if line not in lines]
			self.assertEqual(missing, [], ours.output)
		for job in held:
			job.let_go()

	def test_a_healthy_bench_has_no_errors_and_both_names_say_so(self):
		for name in ("doctor", "restart-doctor"):
			done = self.doctor("--json", command=name)
			told = json.loads(done.output)
			self.assertEqual((done.code, told["healthy"], told["errors"]), (0, True, 0), done.text)
			self.assertEqual(set(told), FIELDS)
			workers = told["details"]["workers"]
			self.assertEqual(len(workers), 2)
			self.assertLessEqual({row["state"] for row in workers}, {"idle", "busy"})
			self.assertTrue(all(row["memory"] > 2**20 for row in workers))

	def test_who_reads_the_first_line_only_gets_the_exit_code_of_a_healthy_bench(self):
		words = [str(self.bench.tools / "bench"), "doctor"]
		line = ["bash", "-o", "pipefail", "-c", '"$@" | head -1', "bash", *words]
		done = Command(line, cwd=self.bench.path, env=self.bench.environment).finish()
		self.assertEqual((done.code, len(done.output.splitlines())), (0, 1), done.text)

	def test_a_running_job_is_named_without_its_arguments(self):
		held = self.jobs.hold("short", secret="hunter2")
		done = self.doctor("--json")
		(row,) = json.loads(done.output)["details"]["running-jobs"]
		self.assertEqual((row["site"], row["queue"], row["limit"]), (self.bench.site, "short", 300))
		self.assertIn("jobs.hold", row["method"])
		self.assertNotIn("hunter2", done.text)
		held.let_go()

	def test_a_ghost_is_an_error_until_fix_puts_it_back_and_then_it_runs_once(self):
		# Given two ghosts
		held = [self.jobs.hold("long"), self.jobs.hold("short")]
		ghosts = [self.jobs.work("default") for _ in range(2)]
		for job in ghosts:
			(queue,) = [key for key in self.redis.smembers("rq:queues") if self.redis.lrem(key, 0, job.id)]
		held.append(self.jobs.work("default"))
		sick = self.doctor("--quiet")
		self.assertEqual(sick.code, 5, sick.text)
		self.assertIn("ghost-jobs", sick.output)
		# When --fix is let do it, while both workers are at work
		done = self.doctor("--fix", "--yes", "--json")
		# Then each is back, in front, and nothing of the doctor stays behind
		told = json.loads(done.output)
		self.assertEqual((done.code, len(told["fixed"])), (0, 2), done.text)
		self.assertEqual(set(self.redis.lrange(queue, 0, 1)), {job.id for job in ghosts})
		self.assertEqual(self.keys_of_ours(), [])
		# And they run once
		for job in held[:2]:
			job.let_go()
		self.assertEqual([job.wait_for_end().starts for job in [*ghosts, held[2]]], [1, 1, 1])

	def test_on_a_terminal_it_has_colours_and_fix_asks_and_does_nothing_without_a_yes(self):
		operation = "20261122-120000-beef"
		value = f"fmx_restart:{self.bench_id()}:{operation} {dead_note(operation)}"
		self.redis.set("rq:suspended", value, px=60_000)
		self.addCleanup(self.redis.delete, "rq:suspended")
		words = [str(self.bench.tools / "bench"), "doctor", "--fix"]
		terminal = Terminal(words, cwd=self.bench.path, env=self.bench.environment)
		terminal.wait_for(r"Lift the fence of operation 20261122-120000-beef.*\[y/N\]")
		terminal.type("n\n")
		terminal.wait_for("Nothing was changed")
		self.assertEqual(terminal.finish(), 0)
		self.assertTrue(self.redis.exists("rq:suspended"))

	def test_without_frappe_it_finds_workers_and_queues_all_the_same(self):
		done = self.python("-m", "fmx_restart", "doctor")
		self.assertEqual(done.code, 0, done.text)
		self.assertIn("Workers online: 2", done.output)
		self.assertIn("Frappe is not loaded", done.output)

	def test_the_daily_check_notifies_when_something_turned_bad_once_and_only_where_it_is_switched_on(self):
		self.redis.set("rq:suspended", "1")
		self.addCleanup(self.redis.delete, "rq:suspended")
		script = str(Path(__file__).with_name("daily_check.py"))
		switched_off, switched_on = (self.python(script, self.bench.site, how) for how in ("off", "on"))
		self.assertEqual(json.loads(switched_off.output), [[], []], switched_off.text)
		first, second = json.loads(switched_on.output)
		self.assertEqual((len(first), second), (1, []), switched_on.text)
		self.assertIn("The queue is suspended", first[0])

	def bench_id(self) -> str:
		(name, *_) = [key for key in self.redis.smembers("rq:queues") if key.endswith(":default")]
		return name.removeprefix("rq:queue:").removesuffix(":default")


class TestDoctorOnABrokenBench(BenchTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.scratch = ScratchBench(self.bench, type(self))

	def doctor(self, *options: str) -> Finished:
		words = [str(self.bench.python), *HELPER, "doctor", *options]
		environment = {**self.bench.environment, **self.scratch.environment}
		return Command(words, cwd=self.scratch.sites_path, env=environment).finish()

	def test_a_site_that_there_is_none_of_ends_as_it_always_did(self):
		done = self.doctor("--site", "nosuch")
		self.assertEqual((done.code, done.errors), (1, "Site nosuch does not exist!\n"))

	def test_redis_away_is_one_error_and_the_rest_is_looked_at_all_the_same(self):
		self.scratch.write_config(redis_queue="redis://127.0.0.1:1")
		done = self.doctor("--json")
		told = json.loads(done.output)
		self.assertEqual(done.code, 5, done.text)
		away = [found for found in told["findings"] if found["subject"] == "connection"]
		self.assertEqual([found["check"] for found in away], ["unreachable"])
		self.assertGreater(len(told["checks"]), 10)
