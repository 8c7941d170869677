"""A scratch bench with a Redis, a supervisord and real workers of its own: all of it may be broken and killed."""

from __future__ import annotations

import unittest
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil

from fmx_restart.adapters.managers.supervisor.connection import connect
from fmx_restart.tests.adapters.benches import Supervisord, free_port, program
from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.real_jobs import Enqueuer, Jobs
from fmx_restart.tests.bench.scratch import HELPER, ScratchBench
from fmx_restart.tests.bench.support import BenchTestCase, is_of_idle_workers

if TYPE_CHECKING:
	from development.description import Bench

READY = 90.0  # seconds for workers and web to boot on a busy machine


class ManagedScratch(ScratchBench):
	"""`programs`: name → what bench would be told, such as "worker --queue short"; "web" is gunicorn."""

	def __init__(
		self, bench: Bench, case: type[unittest.TestCase], programs: dict[str, str], **settings
	) -> None:
		super().__init__(bench, case)
		self.programs, self.settings, self.port = programs, settings, free_port()
		self.server = RedisServer(self.path)
		case.addClassCleanup(self.server.stop)
		self.server.start()
		self.redis = self.server.connection()
		case.addClassCleanup(self.redis.close)

	@property
	def environment(self) -> dict[str, str]:
		return {**super().environment, "PYTHONPATH": str(self.path / "more-apps")}

	def bring_up(self) -> None:
		"""Returns when every program that can start has."""
		self.supervisord = Supervisord(self.path, "".join(map(self.section, self.programs)))
		self.configure(self.supervisord.url)
		self.case.addClassCleanup(self.supervisord.stop)
		self.supervisord.start()
		self.rpc = connect(self.supervisord.address)  # one for all: supervisord has not many to give
		self.case.addClassCleanup(self.rpc("close"))
		eventually(self.is_ready, "workers are registered, web answers", deadline=READY)

	def configure(self, supervisor_url: str) -> None:
		self.write_config(
			redis_queue=self.server.url(), webserver_port=self.port, fmx_restart_supervisor_url=supervisor_url
		)

	def section(self, name: str) -> str:
		words = [str(self.bench.python), *HELPER, self.programs[name]]
		if name == "web":
			gunicorn = self.bench.python.with_name("gunicorn")
			words = [str(gunicorn), f"-b 127.0.0.1:{self.port} -w 1 -t 120 frappe.app:application"]
		environment = {**self.bench.environment, **self.environment}
		settings = {
			"startsecs": 2,  # a worker that cannot import an app needs one to find out
			"startretries": 1,
			"stopwaitsecs": 60,
			"killasgroup": "true",
			"redirect_stderr": "true",
			"stdout_logfile": self.path / "logs" / f"{name}.log",
			"environment": ",".join(
				f'{key}="{value.replace("%", "%%")}"' for key, value in environment.items()
			),
			**self.settings.get(name, {}),
		}
		return program(name, " ".join(words), folder=self.sites_path, **settings)

	def infos(self) -> dict[str, dict]:
		return {info["name"]: info for info in self.rpc.supervisor.getAllProcessInfo()}

	def pids(self) -> dict[str, int]:
		return {name: info["pid"] for name, info in self.infos().items()}

	def registered(self) -> set[int]:
		workers = self.redis.smembers("rq:workers")
		return {int(pid) for key in workers if (pid := self.redis.hget(key, "pid"))}

	def is_ready(self) -> bool:
		infos = self.infos()
		running = {name for name, info in infos.items() if info["statename"] == "RUNNING"}
		healthy = {name for name in self.programs if name not in self.settings}
		workers = {infos[name]["pid"] for name in healthy if self.programs[name].startswith("worker")}
		return healthy <= running and workers <= self.registered() and self.web_is_up()

	def web_is_up(self) -> bool:
		if "web" not in self.programs:
			return True
		from fmx_restart.adapters.web.addresses import Endpoint
		from fmx_restart.adapters.web.probe import PingedWebServer

		return PingedWebServer(Endpoint("127.0.0.1", self.port), self.bench.site).fault() is None

	def jobs_in(self, folder: Path) -> Jobs:
		"""Close them before Redis goes."""
		jobs = Jobs(self.bench, folder, Enqueuer(self.bench, self.sites_path, **self.environment))
		self.case.addClassCleanup(jobs.close)
		return jobs

	def keys_of_ours(self) -> list[str]:
		found = [key.decode() for key in self.redis.keys("rq:fmx:*") + self.redis.keys("*fmx-park-*")]
		found = [key for key in found if not is_of_idle_workers(key)]
		return found + ["rq:suspended"] * self.redis.exists("rq:suspended")


def end_orphans(orphans: list[psutil.Process]) -> None:
	"""What supervisord left when it was killed: workers leave when their job is done."""
	for process in orphans:
		with suppress(psutil.NoSuchProcess):
			process.terminate()
	_, alive = psutil.wait_procs(orphans, timeout=20)
	for process in alive:
		process.kill()


class ScratchCase(BenchTestCase):
	"""`programs` and `settings` of a scratch bench that is up before the first test. `kind`: of that bench."""

	kind: ClassVar[type[ManagedScratch]] = ManagedScratch
	programs: ClassVar[dict[str, str]] = {}
	settings: ClassVar[dict[str, dict]] = {}

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.scratch = cls.kind(cls.bench, cls, cls.programs, **cls.settings)
		cls.prepare()
		cls.scratch.bring_up()
		cls.scratch_jobs = cls.scratch.jobs_in(cls.folder)

	@classmethod
	def prepare(cls) -> None:
		"""What the scratch bench has besides, before its programs start."""

	def setUp(self) -> None:
		super().setUp()
		self.addCleanup(self.scratch_jobs.let_all_go)
