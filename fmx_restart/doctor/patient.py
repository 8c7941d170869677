"""What checks may look at. Nothing is opened before a check asks for it, and everything is read at most once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from fmx_restart.adapters.app_code import Change, last_change
from fmx_restart.adapters.clock import SystemClock
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.adapters.redis_queue.survey import QueueSurvey, survey
from fmx_restart.adapters.supervisor.signs import sign_of_supervisor
from fmx_restart.adapters.unfinished import Unfinished, unfinished
from fmx_restart.doctor.lost import LostJobs, find_lost_jobs
from fmx_restart.doctor.parts import Parts, part
from fmx_restart.doctor.suspension import Suspension, read_suspension
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.holder import describe
from fmx_restart.engine.local_workers import Locator
from fmx_restart.engine.ports import Bench, Host, Job, Look, Process, Processes, Worker
from fmx_restart.engine.workers import live_workers, running_jobs

OPERATION = "doctor"  # in place of an operation's id: the doctor writes nothing under it


class NoManager(WrongEnvironment):
	"""No process manager answers, and nothing says that this bench has one: a development bench, a container."""


@dataclass(frozen=True)
class Ways:
	"""How each part is reached. Called at most once each, from any thread; raises an OperationError if it cannot be."""

	config: Callable[[], Mapping]  # sites/common_site_config.json, read strictly
	sites: Callable[[], list[str]]
	connection: Callable[[], Redis]  # to redis_queue, with a time-out for each answer
	processes: Callable[[], Processes]
	host: Callable[[], Host]
	queue_limit: Callable[[], int | None]  # the depth at which frappe.enqueue begins to raise
	site_config: Callable[[str], Mapping]  # of a site, by Frappe's rules (both files, environment)
	scheduler_lines: Callable[[str], list[str]]  # of a site, as Frappe's own doctor prints them
	frappes_folder: Callable[[], str]  # what Frappe takes for the folder of this bench
	# For fixes only
	bench: Callable[[str], Bench]  # everything that an operation of that id needs
	new_operation_id: Callable[[], str]
	recover: Callable[[str], object]  # put right what the operation of that id left


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
		return Locator(self.host, self.queue, SystemClock()).locate(self.queue.look(), self.managed)

	def managed(self) -> list[Process]:
		"""What the process manager runs of this bench; nothing where it does not answer."""
		with suppress(OperationError):
			return self.processes
		return []

	@part
	def running(self) -> dict[str, Job]:
		"""Jobs that somebody really works on, by id."""
		return self.queue.describe(job.id for job in running_jobs(self.look))

	@part
	def live_workers(self) -> list[Worker]:
		return live_workers(self.look)

	@part
	def surveys(self) -> list[QueueSurvey]:
		"""One for each queue of this bench, by name."""
		return survey(self.connection, self.bench_id, sorted(self.look.depths), self.queue.odd)

	@part
	def lost_jobs(self) -> LostJobs:
		return find_lost_jobs(self.connection, self.bench_id, self.queue.odd)

	@part
	def last_change(self) -> Change | None:
		"""Of the apps' code."""
		return last_change(self.path)

	@part
	def suspension(self) -> Suspension | None:
		return read_suspension(self.connection)

	@part
	def lock_note(self) -> str | None:
		with redis_border():
			value = self.connection.get(lock_key(self.bench_id))
		return None if value is None else value.decode(errors="replace").strip()

	@property
	def holder(self) -> str | None:
		"""The operation that holds this bench now: who asked for it, since when, where it stands."""
		return None if self.lock_note is None else describe(self.lock_note)

	@part
	def unfinished(self) -> list[Unfinished]:
		"""Operations that have no end, and nobody who works on them."""
		return unfinished(self.journals)

	@part
	def queue_limit(self) -> int | None:
		return self.ways.queue_limit()

	@part
	def host(self) -> Host:
		return self.ways.host()

	@part
	def manager(self) -> Processes:
		"""The process manager. Raises NoManager where nothing says that this bench has one."""
		try:
			return self.ways.processes()
		except WrongEnvironment as error:
			if sign := self._sign_of_supervisor():
				text = f"{str(error).rstrip('.')}. It should run this bench: {sign}."
				raise WrongEnvironment(text, hint=error.hint) from error
			raise NoManager(str(error), hint=error.hint) from error

	def _sign_of_supervisor(self) -> str:
		config: Mapping = {}
		with suppress(WrongEnvironment):  # a finding of its own
			config = self.config
		return sign_of_supervisor(str(self.path), config, self.process_table)

	@part
	def process_table(self) -> ProcessTable:
		"""One look at this machine's processes, for all checks."""
		return ProcessTable.take()

	@part
	def processes(self) -> list[Process]:
		"""What the process manager runs of this bench."""
		return self.manager.list()

	def site_config(self, site: str) -> Mapping:
		return self.parts.get(f"site_config {site}", lambda: self.ways.site_config(site))

	def close(self) -> None:
		"""What it opened, as far as it did."""
		with suppress(Exception):
			self.connection.close()

	@property
	def journals(self) -> Path:
		return self.path / "logs" / "fmx_restart"
