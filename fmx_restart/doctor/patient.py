"""What checks may look at. Nothing is opened before a check asks for it, and everything is read at most once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.doctor.parts import Parts, part
from fmx_restart.engine.ports import Host, Job, Look, Process, Processes, Web
from fmx_restart.engine.workers import running_jobs

OPERATION = "doctor"  # in place of an operation's id: the doctor writes nothing under it


@dataclass(frozen=True)
class Ways:
	"""How each part is reached. Called at most once each, from any thread; raises an OperationError if it cannot be."""

	config: Callable[[], Mapping]  # sites/common_site_config.json, read strictly
	sites: Callable[[], list[str]]
	connection: Callable[[], Redis]  # to redis_queue, with a time-out for each answer
	processes: Callable[[], Processes]
	host: Callable[[], Host]
	web: Callable[[str], Web]  # of a site
	queue_limit: Callable[[], int | None]  # the depth at which frappe.enqueue begins to raise
	site_config: Callable[[str], Mapping]  # of a site, by Frappe's rules (both files, environment)


class Patient:
	def __init__(self, path: str, bench_id: str, ways: Ways) -> None:
		self.path, self.bench_id, self.ways = Path(path), bench_id, ways
		self.parts = Parts()

	@part
	def config(self) -> Mapping:
		return self.ways.config()

	@part
	def sites(self) -> list[str]:
		return self.ways.sites()

	@part
	def connection(self) -> Redis:
		"""To redis_queue. It does not decode responses."""
		return self.ways.connection()

	@part
	def queue(self) -> RedisQueue:
		return RedisQueue(self.connection, self.bench_id, OPERATION)

	@part
	def look(self) -> Look:
		"""All workers, depths and the started registry, of one instant."""
		return self.queue.look()

	@part
	def running(self) -> dict[str, Job]:
		"""Jobs that somebody really works on, by id."""
		return self.queue.describe(job.id for job in running_jobs(self.look, self.host))

	@part
	def lock_holder(self) -> str | None:
		"""The operation that holds this bench now, and its note."""
		value = self.connection.get(lock_key(self.bench_id))
		return None if value is None else value.decode(errors="replace").strip()

	@part
	def queue_limit(self) -> int | None:
		return self.ways.queue_limit()

	@part
	def host(self) -> Host:
		return self.ways.host()

	@part
	def manager(self) -> Processes:
		"""The process manager."""
		return self.ways.processes()

	@part
	def processes(self) -> list[Process]:
		"""What the process manager runs of this bench."""
		return self.manager.list()

	def web(self, site: str) -> Web:
		return self.parts.get(f"web {site}", lambda: self.ways.web(site))

	def site_config(self, site: str) -> Mapping:
		return self.parts.get(f"site_config {site}", lambda: self.ways.site_config(site))

	@property
	def journals(self) -> Path:
		return self.path / "logs" / "fmx_restart"
