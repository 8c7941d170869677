"""What the doctor says of a real bench whose processes, database or web server are wrong."""

from __future__ import annotations

import json
import os
import signal
import time

import psutil

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command
from fmx_restart.tests.bench.site_process import on_site
from fmx_restart.tests.bench.support import BenchTestCase, wait_until_at_rest

#: Checks of the machine and of what surrounds the bench: on a bench as it is built none of them says anything.
CHECKS = (
	"autorestart",
	"container-stop",
	"database",
	"database-latency",
	"graceful-timeout",
	"kill-as-group",
	"kill-mode",
	"long-transactions",
	"maintenance-mode",
	"missing-workers",
	"oom-policy",
	"oom-score",
	"orphans",
	"overdue-events",
	"program-group",
	"redis-cache",
	"redis-eviction",
	"redis-memory",
	"redis-persistence",
	"redis-replica",
	"scheduler-off",
	"scheduler-process",
	"service-restarts",
	"shell-wrapper",
	"site-config",
	"stop-as-group",
	"stop-signal",
	"stop-time",
	"stop-timeout",
	"table-locks",
	"too-few-workers",
	"too-many-workers",
	"web",
)


class TestDoctorHost(BenchTestCase):
	def examine(self, *names: str) -> dict:
		words = [str(self.bench.tools / "bench"), "doctor", "--json"]
		words += [word for name in names for word in ("--check", name)]
		done = Command(words, cwd=self.bench.path, env=self.bench.environment).finish()
		self.assertIn(done.code, (0, 5), done.text)
		return json.loads(done.output)

	def findings(self, *names: str) -> list[dict]:
		return self.examine(*names)["findings"]

	def setUp(self):
		super().setUp()
		from development.services import answers_ping

		# a web server that has just been started is not up at once
		eventually(lambda: answers_ping(self.bench), "web answers", deadline=60)

	def test_a_bench_as_it_is_built_is_clean(self):
		self.assertEqual(self.findings(*CHECKS), [])

	def test_each_site_and_both_redis_servers_are_shown(self):
		on_site(self.bench, "note_run")
		details = self.examine()["details"]
		(site,) = [row for row in details["sites"] if row["site"] == self.bench.site]
		self.assertEqual(
			(site["status"], site["scheduler"], site["database"], site["web"]),
			("active", "enabled", "connected", "answers"),
		)
		self.assertLess(site["last_run"], time.time())
		self.assertEqual({row["redis"]: row["persistent"] for row in details["redis"]}["redis_queue"], True)

	def test_the_process_of_a_job_whose_worker_was_killed_is_found_and_gone_when_its_job_is(self):
		# Given a running job whose worker is killed, as supervisor does after stopwaitsecs
		job = self.jobs.hold("short").wait_for_start()
		key = next(
			key for key in self.redis.smembers("rq:workers") if self.redis.hget(key, "current_job") == job.id
		)
		worker = psutil.Process(int(self.redis.hget(key, "pid")))
		(horse,) = worker.children()
		self.addCleanup(self.forget, key)
		os.kill(worker.pid, signal.SIGKILL)
		eventually(lambda: horse.ppid() == 1, "it has lost its parent")
		# Then it is told, with its memory
		(finding,) = self.findings("orphans")
		self.assertEqual((finding["subject"], finding["fix"]), (f"pid {horse.pid}", "end-orphans"))
		self.assertRegex(finding["text"], r"process of a job .* MB")
		# And when it has ended, nothing is told any more
		job.let_go()
		eventually(lambda: not horse.is_running() or horse.status() == psutil.STATUS_ZOMBIE, "it has ended")
		self.assertEqual(self.findings("orphans"), [])
		wait_until_at_rest(self.bench)

	def forget(self, worker: str) -> None:
		"""What RQ does with the record of a dead worker some minutes later."""
		sets = ["rq:workers", *self.redis.scan_iter("rq:workers:*")]
		for name in sets:
			self.redis.srem(name, worker)
		self.redis.delete(worker)

	def test_a_database_that_hangs_is_told_in_time_and_hides_nothing_else(self):
		database = next(
			process
			for process in psutil.process_iter(["cmdline"])
			if str(self.bench.private_path) in " ".join(process.info["cmdline"] or ())
			and "mariadbd" in process.info["cmdline"][0]
		)
		self.addCleanup(database.send_signal, signal.SIGCONT)
		database.send_signal(signal.SIGSTOP)
		told = self.examine()
		database.send_signal(signal.SIGCONT)
		self.assertLess(told["seconds"], 4)
		(finding,) = [found for found in told["findings"] if found["check"] == "database"]
		self.assertEqual(
			(finding["severity"], finding["subject"]), ("error", f"127.0.0.1:{self.bench.ports.database}")
		)
		self.assertIn(self.bench.site, finding["text"])
		self.assertTrue(told["details"]["workers"])
		self.assertEqual(
			[row["status"] for row in told["details"]["sites"]], ["active"] * len(self.bench.sites)
		)

	def test_a_web_server_that_is_stopped_and_a_scheduler_are_told(self):
		names = [f"{self.bench.name}-web:{self.bench.name}-frappe-web"]
		names += [f"{self.bench.name}-workers:{self.bench.name}-frappe-schedule"]
		self.addCleanup(self.bench.supervisorctl, "start", *names)
		self.bench.supervisorctl("stop", *names)
		found = {found["check"]: found for found in self.findings("web", "scheduler-process")}
		self.assertEqual(set(found), {"web", "scheduler-process"})
		self.assertIn(names[1], found["scheduler-process"]["remedy"])
