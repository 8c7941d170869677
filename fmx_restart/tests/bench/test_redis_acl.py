"""A bench that shares its Redis with others, by Frappe's own rules (use_rq_auth): a user that may write rq:* only."""

from __future__ import annotations

import json

from fmx_restart.tests.adapters.benches import Supervisord, group, program
from fmx_restart.tests.adapters.redis_server import PASSWORD, RedisServer
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.real_jobs import HOLD, Enqueuer, Jobs
from fmx_restart.tests.bench.scratch import HELPER, ScratchBench
from fmx_restart.tests.bench.support import BenchTestCase

WORKERS = {"worker-short": "short,default", "worker-long": "long"}
ADMIN = f"--rq-username default --rq-password {PASSWORD}"  # of the workers: rq asks for CLIENT LIST


class TestRedisAcl(BenchTestCase):
	"""Real workers of Frappe under a supervisord of their own, on a Redis of their own."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.scratch = ScratchBench(cls.bench, cls)
		cls.start_redis()
		cls.start_workers()
		enqueuer = Enqueuer(cls.bench, cls.scratch.sites_path, **cls.scratch.environment)
		cls.own_jobs = Jobs(cls.bench, cls.scratch.path, enqueuer)
		cls.addClassCleanup(cls.own_jobs.close)

	@classmethod
	def start_redis(cls) -> None:
		cls.server = RedisServer(cls.scratch.path)
		cls.addClassCleanup(cls.server.stop)
		cls.server.start()
		cls.admin = cls.server.let_in(cls.scratch.id)

	@classmethod
	def start_workers(cls) -> None:
		python = cls.scratch.path / "env" / "bin" / "python"
		environment = f'FRAPPE_BENCH_ROOT="{cls.scratch.path}"'
		sections = [
			program(
				name,
				f"{python} {' '.join(HELPER)} worker --queue {queues} {ADMIN}",
				folder=cls.scratch.sites_path,
				environment=environment,
			)
			for name, queues in WORKERS.items()
		]
		cls.supervisord = Supervisord(cls.scratch.path, "".join(sections) + group("workers", *WORKERS))
		cls.scratch.write_config(
			redis_queue=cls.server.url(),
			use_rq_auth=True,
			rq_username=cls.scratch.id,
			rq_password=PASSWORD,
			fmx_restart_supervisor_url=cls.supervisord.url,
		)
		cls.addClassCleanup(cls.supervisord.stop)
		cls.supervisord.start()
		eventually(lambda: cls.admin.scard("rq:workers") == 2, "both workers have registered", deadline=90)

	def test_a_dry_run_sees_jobs_and_workers(self):
		job = self.own_jobs.hold("long")
		done = self.scratch.run("--wait-workers", "--dry-run", "--json")
		job.let_go()
		self.assertEqual(done.code, 0, done.text)
		plan = json.loads(done.output)
		self.assertEqual([(found["id"], found["method"]) for found in plan["jobs"]], [(job.id, HOLD)])
		self.assertEqual(len(plan["restart"]), 2)

	def test_a_restart_waits_for_the_job_and_leaves_nothing_behind(self):
		# Given a job that runs and one that waits behind it
		running = self.own_jobs.hold("long")
		waiting = self.own_jobs.work("long")
		# When the bench is restarted
		command = self.scratch.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning")
		running.let_go()
		done = command.finish()
		# Then its workers are new, and both jobs have run once
		self.assertEqual((done.code, done.report["outcome"]), (0, "Done"), done.text)
		pids = [(change["old_pid"], change["new_pid"]) for change in done.report["processes"]]
		self.assertEqual(len(pids), 2)
		self.assertTrue(all(new and new != old for old, new in pids), pids)
		self.assertEqual([wait["job"]["id"] for wait in done.report["waited_for"]], [running.id])
		self.assertEqual((running.starts, waiting.wait_for_end().starts), (1, 1))
		# And Redis' password is told nowhere, and no key of ours stays
		self.assertNotIn(PASSWORD, done.text)
		for key in self.admin.scan_iter(count=1000):
			self.assertNotRegex(key.decode(), "rq:fmx|fmx-park|suspended")

	def test_a_password_that_was_changed_is_said_with_the_remedy(self):
		self.admin.execute_command("ACL", "SETUSER", self.scratch.id, "resetpass", ">another")
		self.addCleanup(self.server_knows_the_password)
		done = self.scratch.run("--wait-workers")
		self.assertEqual(done.code, 7, done.text)
		self.assertIn("Check use_rq_auth, rq_username and rq_password", done.errors)
		self.assertNotIn(PASSWORD, done.text)

	def server_knows_the_password(self) -> None:
		self.admin.execute_command("ACL", "SETUSER", self.scratch.id, "resetpass", f">{PASSWORD}")
