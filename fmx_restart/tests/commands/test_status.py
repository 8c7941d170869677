"""What `bench safe-restart status` shows, of a real Redis, a real supervisord and a real worker."""

from __future__ import annotations

import json
import os
import signal

from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.engine.identity import Holder
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.commands.managed_bench import BENCH_ID, BROKEN, WEB, WORKER, ManagedBench
from fmx_restart.wiring import bench_view

HOLDER = Holder("20261101-120000-0001", "ada@a.example", "a.example", 42, "Drain", since=1.0)
WRONG_ENVIRONMENT = 7  # exit code
SECRET = "a-token-in-an-argument"


class TestStatus(ManagedBench):
	def line(self, text: str, name: str) -> str:
		return next(line for line in text.splitlines() if line.startswith(name))

	def test_it_shows_every_program_and_each_worker_with_its_job_and_no_argument(self):
		self.start_manager()
		self.rq.enqueue("job-1", waits=True, kwargs={"waits": True, "token": SECRET})
		eventually(lambda: " busy " in self.output("status"), "the worker is busy")
		text = self.output("status")
		head = ["PROGRAM", "KIND", "STATE", "PID", "AGE", "MEMORY"]
		self.assertEqual(self.line(text, "PROGRAM").split(), head)
		self.assertRegex(self.line(text, WEB), r"web +running +\d+ +[\d.]+ s +\d+ MB$")
		self.assertRegex(self.line(text, WORKER), r"worker +running +\d+ +[\d.]+ s +\d+ MB$")
		self.assertRegex(self.line(text, BROKEN), r"worker +stopped +- +- +-$")
		self.assertRegex(self.line(text, "short "), r" busy .* one.localhost / app.tasks.work, for [\d.]+ s$")
		self.assertTrue(text.startswith("1 job is running, "), text)
		self.assertIn("No operation holds this bench.\nThe queue is running.\n", text)
		self.assertIn("Queued: short 0", text)
		# and once, that these workers may lose a job
		self.assertEqual(text.count("The workers are Frappe's own"), 1)
		self.assertIn("bench safe-restart setup worker", text.splitlines()[-1])
		# and the same as JSON
		output = self.output("status", "--json")
		told = json.loads(output)
		programs = {row["name"]: row for row in told["programs"]}
		self.assertEqual(set(programs), {WEB, WORKER, BROKEN})
		self.assertGreater(programs[WEB]["memory"], 2**20)
		self.assertEqual([(row["queues"], row["job"]) for row in told["workers"]], [("short", "job-1")])
		self.assertEqual(told["jobs"]["job-1"]["method"], "app.tasks.work")
		self.assertIn(told["verdict"]["level"], ("note", "warning"))
		self.assertTrue(text.startswith(told["verdict"]["text"][:20]))
		self.assertEqual((told["holder"], told["manager_fault"], told["unfinished"]), (None, None, {}))
		self.assertNotIn(SECRET, text + output)
		self.rq.finish("job-1")

	def test_verbose_shows_each_programs_processes_and_the_workers_heartbeats_but_no_command_line(self):
		self.start_manager()
		self.rq.enqueue("job-1", waits=True, kwargs={"waits": True, "token": SECRET})
		eventually(lambda: " busy " in self.output("status"), "the worker is busy")
		told = json.loads(self.output("status", "--json"))
		pids = [row["pid"] for row in told["processes"] if row["program"] == WORKER]
		head, horse = (row for row in told["processes"] if row["program"] == WORKER)
		self.assertEqual(horse["parent"], head["pid"])
		os.kill(horse["pid"], signal.SIGSTOP)
		self.addCleanup(os.kill, horse["pid"], signal.SIGCONT)
		for flag in ("-v", "--verbose"):
			text = self.output("status", flag)
			rows = [line for line in text.splitlines() if line.startswith(WORKER)][1:]
			self.assertEqual([int(row.split()[1]) for row in rows], pids)
			self.assertRegex(
				rows[0],
				rf"{WORKER} +{head['pid']} +\d+ +\S+ +(sleeping|running) +[\d.]+ s +[\d.]+ s +\d+ MB$",
			)
			self.assertRegex(rows[1], rf"{horse['pid']} +{head['pid']} .* stopped by a signal ")
			self.assertRegex(
				self.line(text, "short "), r" busy .* [\d.]+ s ago +one.localhost / app.tasks.work"
			)
			self.assertNotIn(SECRET, text)
		self.assertNotIn("PROCESSES OF", self.output("status"))

	def test_it_shows_why_a_program_failed_who_holds_the_bench_and_who_suspended_the_queue(self):
		self.start_manager()
		bench_view().manager.order(start=[BROKEN])
		eventually(lambda: " failed " in self.output("status"), "supervisor gave up")
		self.admin.set(lock_key(BENCH_ID), f"{HOLDER.operation} {HOLDER.note()}", ex=30)
		self.admin.set("rq:suspended", "a person")
		text = self.output("status")
		self.assertRegex(self.line(text, BROKEN), r"failed \(Exited too quickly.*\) +- +- +-$")
		self.assertIn(f"Operation {HOLDER.operation} by ada@a.example, since ", text)
		self.assertIn(", waiting for running jobs (pid 42 on a.example)", text)
		self.assertIn("The queue is suspended by: a person", text)

	def test_where_redis_does_not_answer_it_shows_the_programs_and_says_so(self):
		self.start_manager()
		self.configure(
			redis_queue="redis://127.0.0.1:1",
			fmx_restart_supervisor_url=f"unix://{self.bench}/supervisor.sock",
		)
		done = self.command("status")
		self.assertEqual(done.exit_code, WRONG_ENVIRONMENT, done.output)
		self.assertRegex(self.line(done.output, WEB), r"web +running +\d+ +[\d.]+ s +\d+ MB$")
		self.assertIn("Error: Redis", done.output)
		self.assertEqual(self.command("status", "--json").exit_code, WRONG_ENVIRONMENT)
		self.assertIn("PROCESSES OF", self.command("status", "-v").output)

	def test_without_a_manager_it_says_so_and_shows_what_processes_are_known(self):
		pid = self.rq.start_worker("short", "long")
		eventually(lambda: self.admin.scard("rq:workers"), "the worker is registered")
		text = " ".join(self.output("status").split())
		self.assertIn("No process manager answers: ", text)
		self.assertIn("Processes of this bench that can be seen on this machine:", text)
		self.assertRegex(text, rf"worker worker running {pid} [\d.]+ s \d+ MB")
		self.assertRegex(text, rf"short,long \S+ {pid} (idle|started) ")
		told = json.loads(self.output("status", "--json"))
		self.assertIn("supervisord", told["manager_fault"]["message"])
		self.assertEqual([row["pid"] for row in told["programs"]], [pid])

	def test_a_bench_on_which_nothing_runs_is_no_error(self):
		text = self.output("status")
		self.assertIn("No process of this bench can be seen on this machine.", text)
		self.assertIn("No worker is registered.", text)
		self.assertIn("Queued: -", text)


class TestWithoutManager(ManagedBench):
	def test_an_operation_can_be_cancelled_and_attached_to_where_no_manager_answers(self):
		self.assertIn("there is nothing to cancel", self.output("cancel"))
		self.assertIn("No operation is under way", self.output("attach"))
