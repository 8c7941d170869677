"""Frappe's own bench worker and bench worker-pool, with this app's worker in them, on a Redis of their own with its ACL."""

from __future__ import annotations

import signal
import subprocess
import time

from fmx_restart.tests.adapters.redis_server import PASSWORD, RedisServer
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.real_jobs import Enqueuer, Jobs
from fmx_restart.tests.bench.scratch import HELPER, ScratchBench
from fmx_restart.tests.bench.support import BenchTestCase
from fmx_restart.tests.repetitions import in_long_runs
from fmx_restart.worker.owners import IS_OURS
from fmx_restart.worker.recycling import REASON, RECYCLED
from fmx_restart.worker.reload import ANSWERED, RELOADS
from fmx_restart.worker.requests import ask

POLITE = "fmx_restart.tests.bench.jobs.polite"
WORKER = ("worker", "--queue", "short,default")
POOL = ("worker-pool", "--queue", "short", "--num-workers", "2")
NO_FORK = {"FRAPPE_BACKGROUND_WORKERS_NOFORK": "1"}  # Frappe 15 takes no notice of it
ROUNDS = 12


class TestLosslessWorker(BenchTestCase):
	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.scratch = ScratchBench(cls.bench, cls)
		cls.server = RedisServer(cls.scratch.path)
		cls.addClassCleanup(cls.server.stop)
		cls.server.start()
		cls.admin = cls.server.let_in(cls.scratch.id)
		cls.settings = {
			"redis_queue": cls.server.url(),
			"use_rq_auth": True,
			"rq_username": cls.scratch.id,
			"rq_password": PASSWORD,
			"fmx_restart_worker": 1,
		}
		cls.scratch.write_config(**cls.settings)
		enqueuer = Enqueuer(cls.bench, cls.scratch.sites_path, **cls.scratch.environment)
		cls.own_jobs = Jobs(cls.bench, cls.scratch.path, enqueuer)
		cls.addClassCleanup(cls.own_jobs.close)

	def start_worker(self, *words: str, count: int = 1, **environment: str) -> subprocess.Popen:
		"""As the process manager does. Returns once so many workers are idle."""
		log = self.scratch.path / "logs/worker.log"
		with log.open("w") as file:
			process = subprocess.Popen(
				[str(self.bench.python), *HELPER, *words],
				cwd=self.scratch.sites_path,
				env={**self.bench.environment, **self.scratch.environment, **environment},
				stdout=file,
				stderr=file,
			)
		self.addCleanup(process.wait)
		self.addCleanup(process.kill)
		try:
			eventually(lambda: self.states() == ["idle"] * count, "they are idle", deadline=40)
		except AssertionError as error:
			raise AssertionError(f"{error}: {log.read_text()}") from None
		return process

	def records(self) -> list[dict[bytes, bytes]]:
		found = [self.admin.hgetall(key) for key in self.admin.smembers("rq:workers")]
		return [fields for fields in found if b"death" not in fields]

	def states(self) -> list[str]:
		return [fields.get(b"state", b"").decode() for fields in self.records()]

	def are_ours(self) -> list[bool]:
		return [IS_OURS.encode() in fields for fields in self.records()]

	def stop(self, process: subprocess.Popen) -> None:
		process.send_signal(signal.SIGTERM)
		self.assertEqual(process.wait(60), 0, (self.scratch.path / "logs/worker.log").read_text())
		self.assertEqual(self.records(), [])

	def test_a_job_of_frappe_goes_on_after_the_worker_has_left(self):
		# Given a worker as Frappe's Redis user starts it, and a job that asks whether it shall stop
		process = self.start_worker(*WORKER)
		self.assertEqual(self.are_ours(), [True])
		job = self.own_jobs.put(POLITE, "short").wait_for_start()
		# When that worker is told to leave, and another one starts
		self.stop(process)
		self.assertEqual((job.starts, job.ends), (1, 0))
		process = self.start_worker(*WORKER)
		# Then the job goes on, with the same arguments and its cursor
		job.wait_for_end()
		self.assertEqual(job.starts, 2)
		self.stop(process)

	def fields(self, name: str) -> set[str]:
		return {fields.get(name.encode(), b"").decode() for fields in self.records()}

	def test_a_pool_starts_them_too_and_reloads_in_place(self):
		for environment in ({}, NO_FORK):
			process = self.start_worker(*POOL, count=2, **environment)
			self.assertEqual(self.are_ours(), [True, True])
			self.own_jobs.work("short").wait_for_end()
			before = self.fields("pid")
			number = ask(self.admin, self.scratch.id)
			eventually(
				lambda number=number: (
					self.fields(ANSWERED) == {str(number)} and self.states() == ["idle"] * 2
				),
				"all workers are new",
				deadline=90,
			)
			self.assertEqual((self.fields("pid") & before, self.fields(RELOADS)), (set(), {"1"}))
			self.assertIsNone(process.poll())
			self.own_jobs.work("short").wait_for_end()
			self.stop(process)

	def test_a_worker_starts_anew_after_so_many_jobs(self):
		self.scratch.write_config(**self.settings, fmx_restart_worker_recycle={"jobs": 1})
		self.addCleanup(self.scratch.write_config, **self.settings)
		process = self.start_worker("worker", "--queue", "short")
		self.own_jobs.work("short").wait_for_end()
		eventually(lambda: self.fields(RECYCLED) == {"1"}, "it was recycled", deadline=90)
		self.assertEqual((self.fields("pid"), self.fields(REASON)), ({str(process.pid)}, {"jobs"}))
		self.own_jobs.work("short").wait_for_end()
		self.stop(process)

	@in_long_runs("what is stopped without a job")
	def test_no_job_is_lost_or_begins_twice_that_comes_while_they_are_stopped(self):
		jobs = []
		for words, count, environment in ((WORKER, 1, {}), (POOL, 2, {}), (POOL, 2, NO_FORK)):
			for number in range(ROUNDS):
				process = self.start_worker(*words, count=count, **environment)
				jobs += [self.own_jobs.work("short") for _ in range(3)]
				time.sleep(number * 0.001)
				self.stop(process)
		process = self.start_worker(*WORKER)
		for job in jobs:
			job.wait_for_end()
		self.assertEqual([job.starts for job in jobs], [1] * len(jobs))
		self.stop(process)

	def test_it_reloads_in_place_where_no_process_manager_runs_it(self):
		process = self.start_worker("worker", "--queue", "short,default")
		done = self.scratch.run("--rolling", "--no-web", "--json")
		self.assertEqual(done.code, 0, done.text)
		eventually(lambda: self.states() == ["idle"], "it is back")
		[fields] = self.records()
		self.assertEqual((fields[b"fmx_reloads"], int(fields[b"pid"])), (b"1", process.pid))
		[change] = done.report["processes"]
		self.assertEqual(
			(change["by"], change["old_pid"], change["new_pid"]), ("reload", process.pid, process.pid)
		)
		self.own_jobs.work("short").wait_for_end()
		self.stop(process)

	def test_the_environment_overrules_the_setting(self):
		# RQ's own worker cannot start as Frappe's Redis user, so it starts as Redis' admin
		words = ("worker", "--queue", "short", "--rq-username", "default", "--rq-password", PASSWORD)
		process = self.start_worker(*words, FMX_RESTART_WORKER="0")
		self.assertEqual(self.are_ours(), [False])
		self.stop(process)
