"""What tests on a real bench share: the bench, its jobs, its pids, and the command as a person types it."""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command, Finished
from fmx_restart.tests.bench.real_jobs import Jobs
from fmx_restart.tests.bench.scratch import HELPER

if TYPE_CHECKING:
	from development.description import Bench

#: Seconds for a bench to come to rest: right after it was built, its scheduler has much to do.
REST = 240.0


def development_bench() -> Bench:
	"""Only bin/test names one: on anybody's own bench no test of ours may restart anything."""
	name = os.environ.get("FMX_DEVELOPMENT_BENCH")
	if not name:
		raise unittest.SkipTest("restarts a real bench, so it runs on the development bench only: bin/test")
	from development.description import current_bench

	return current_bench(name)


class SiteDatabaseCase(unittest.TestCase):
	"""The database of the bench's first site: `config` as its own user, `as_root` as an administrator, who may see more."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		bench = development_bench()
		cls.site, cls.path = bench.site, bench.path
		cls.config = {"db_host": "127.0.0.1", "db_port": bench.ports.database}
		cls.config |= json.loads((bench.sites_path / bench.site / "site_config.json").read_text())
		cls.as_root = {**cls.config, "db_user": "root", "db_password": bench.database_root_password}


class BenchTestCase(unittest.TestCase):
	"""Every test begins and ends with a bench that is up and at rest."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.bench = development_bench()
		folder = tempfile.TemporaryDirectory(prefix="fmx-bench-test-")
		cls.addClassCleanup(folder.cleanup)
		cls.folder = Path(folder.name)
		cls.redis = redis.Redis(port=cls.bench.ports.redis_queue, decode_responses=True)
		cls.addClassCleanup(cls.redis.close)
		cls.jobs = Jobs(cls.bench, cls.folder)
		cls.addClassCleanup(wait_until_at_rest, cls.bench)
		cls.addClassCleanup(cls.jobs.close)
		wait_until_at_rest(cls.bench)
		forget_dead_workers(cls.redis)

	def setUp(self) -> None:
		super().setUp()
		self.addCleanup(self.jobs.let_all_go)

	@classmethod
	def start(cls, *options: str, site: str | None = None) -> Command:
		"""bench --site x safe-restart OPTIONS; it goes on while the test does something else."""
		words = frappe_command_line(cls.bench, *options, site=site)
		started = Command(words, cwd=cls.bench.sites_path, env=cls.bench.environment)
		cls.addClassCleanup(started.end)
		return started

	@classmethod
	def run_command(cls, *options: str, site: str | None = None) -> Finished:
		return cls.start(*options, site=site).finish()

	@classmethod
	def pids(cls) -> dict[str, int]:
		"""Of all that supervisor runs, asked from it directly: "group:name" → pid."""
		from development.services import process_info

		return {f"{info['group']}:{info['name']}": info["pid"] for info in process_info(cls.bench)}

	@classmethod
	def keys_of_ours(cls) -> list[str]:
		"""What of ours stands in Redis: locks, wake-ups and a fence. Not what Desk keeps there, nor what became of holds."""
		return keys_of_ours(cls.redis)

	def assert_restarted(self, before: dict[str, int]) -> None:
		"""All of the bench's own programs, and nothing else."""
		after = self.pids()
		for name, pid in before.items():
			is_own = name.partition(":")[0] in own_programs(self.bench)
			self.assertEqual(after[name] not in (pid, 0), is_own, f"{name}: {pid} → {after[name]}")

	def assert_nothing_restarted(self, before: dict[str, int]) -> None:
		self.assertEqual(self.pids(), before)

	def assert_queue_moves(self) -> None:
		self.assertEqual(self.jobs.work().wait_for_end().starts, 1)


def command_line(bench: Bench, *options: str, site: str | None = None) -> list[str]:
	"""As a person types it."""
	return [str(bench.tools / "bench"), "--site", site or bench.site, "safe-restart", *options]


def frappe_command_line(bench: Bench, *options: str, site: str | None = None) -> list[str]:
	"""
	What bench becomes by exec in the sites folder, once it knows that Frappe has the command. To find that out takes it a
	core for a fifth of a second, in hundreds of tests; those on a terminal begin with bench itself.
	"""
	return [str(bench.python), *HELPER, "--site", site or bench.site, "safe-restart", *options]


def own_programs(bench: Bench) -> set[str]:
	"""The groups that a restart of the bench is about; not Redis, the database or the front server."""
	return {f"{bench.name}-web", f"{bench.name}-workers"}


def wait_until_at_rest(bench: Bench) -> None:
	from development.services import process_info
	from development.workload import is_silent

	def is_at_rest() -> bool:
		are_up = all(info["statename"] == "RUNNING" for info in process_info(bench))
		return are_up and is_silent(bench) and not suspension(bench)

	eventually(is_at_rest, "all programs run, no job waits or runs, the queue is running", deadline=REST)


def forget_dead_workers(connection: redis.Redis) -> None:
	"""RQ keeps a worker that was killed registered for minutes, and what it ran; whoever counts them would count those."""
	for key in connection.smembers("rq:workers"):
		pid = connection.hget(key, "pid")
		if pid is None or not psutil.pid_exists(int(pid)):
			job = connection.hget(key, "current_job")
			for workers in ["rq:workers", *connection.scan_iter("rq:workers:*", 1000)]:
				connection.srem(workers, key)
			for running in list(connection.scan_iter("rq:wip:*", 1000)) if job else ():
				connection.zrem(running, job)
			connection.delete(key, *([f"rq:job:{job}"] if job else []))


def suspension(bench: Bench) -> str | None:
	with redis.Redis(port=bench.ports.redis_queue, decode_responses=True) as connection:
		return connection.get("rq:suspended")


def is_of_idle_workers(key: str) -> bool:
	"""Which of them wakes for the next job: it stands there as long as they wait."""
	return any(f":{what}:" in key for what in ("lookout", "waiting", "call"))


def keys_of_ours(connection: redis.Redis) -> list[str]:
	found = [key for pattern in ("rq:fmx:*", "*fmx-park-*") for key in connection.scan_iter(pattern, 1000)]
	found = [key for key in found if not key.endswith((":samples", ":throughput")) and ":hold:" not in key]
	found = [key for key in found if not is_of_idle_workers(key)]
	return found + ["rq:suspended"] * connection.exists("rq:suspended")
