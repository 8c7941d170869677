"""A bench's folder with a real Redis, a real supervisord, a program that waits in place of web, and a real RQ worker."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from click.testing import CliRunner, Result

from fmx_restart.tests.adapters.benches import Supervisord, group, make_bench, program, short_folder
from fmx_restart.tests.adapters.redis_server import CHECKOUT, RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.commands.test_subcommands import bench_group

BENCH_ID = "a-bench"
WEB, WORKER, BROKEN = "bench-web:web", "bench-workers:short", "bench-workers:broken"


class ManagedBench(RedisTestCase):
	has_port = True

	def setUp(self) -> None:
		super().setUp()
		self.bench = make_bench(short_folder(self))
		self.addCleanup(os.chdir, Path.cwd())
		os.chdir(self.bench / "sites")
		(self.bench / "sites" / "apps.txt").write_text("frappe\n")
		self.rq = RqBench(self.server, BENCH_ID, folder=self.bench)
		self.addCleanup(self.rq.stop)
		self.configure()

	def configure(self, **settings: object) -> None:
		common = {"redis_queue": self.server.url(), "bench_id": BENCH_ID, **settings}
		(self.bench / "sites" / "common_site_config.json").write_text(json.dumps(common))

	def start_manager(self) -> None:
		"""Returns when the worker is registered."""
		supervisord = Supervisord(self.bench, self.programs())
		self.addCleanup(supervisord.stop)
		supervisord.start()
		self.configure(fmx_restart_supervisor_url=supervisord.url)
		eventually(lambda: self.admin.scard("rq:workers"), "the worker is registered")

	def programs(self) -> str:
		folder, logs = self.bench / "sites", self.bench / "logs"
		worker = f"/usr/bin/env PYTHONPATH={CHECKOUT} {shlex.join(self.rq.worker_command('short'))}"
		logs_of = {
			name: f"stdout_logfile = {logs}/{name}.log\nstderr_logfile = {logs}/{name}.error.log\n"
			for name in ("web", "worker")
		}
		gunicorn = f"{self.bench}/env/bin/gunicorn frappe.app:application waits"
		broken = f"{self.bench}/env/bin/bench worker crashes"
		gives_up = {"autostart": "false", "autorestart": "false", "startsecs": 9, "startretries": 0}
		return (
			program("web", gunicorn, folder=folder, startsecs=0)
			+ logs_of["web"]
			+ program("short", worker, folder=folder, startsecs=0)
			+ logs_of["worker"]
			+ program("broken", broken, folder=folder, **gives_up)
			+ logs_of["worker"]
			+ group("bench-web", "web")
			+ group("bench-workers", "short", "broken")
		)

	def command(self, *words: str) -> Result:
		"""`bench safe-restart WORDS`"""
		runner = CliRunner(env={"FRAPPE_BENCH_ROOT": str(self.bench)})
		return runner.invoke(bench_group(), ["frappe", "safe-restart", *words], prog_name="bench")

	def output(self, *words: str) -> str:
		done = self.command(*words)
		self.assertEqual(done.exit_code, 0, f"{done.output} {done.exception!r}")
		return done.output
