"""
RQ as a bench uses it: its queues, jobs with Frappe's kwargs, real workers as processes of their own.

python -m fmx_restart.tests.adapters.rq_bench worker URL QUEUE… is a worker.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import redis
import rq
from rq.job import Job

from fmx_restart.tests.adapters.forked import Forked
from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.adapters.waiting import eventually

CHECKOUT = Path(__file__).parents[3]
WORKER = """
import sys
from fmx_restart.tests.adapters.rq_bench import work
work(*sys.argv[1:])
"""
#: Frappe's job ids (frappe.utils.background_jobs.create_job_id): rq 2 takes no colon.
SEPARATOR = "||" if int(rq.VERSION.split(".")[0]) >= 2 else "::"


def execute_job(site: str, method: str, kwargs: dict, **others) -> None:
	"""In place of Frappe's: a job that waits does so until the test lets it go; one that counts adds one for each run."""
	job = rq.get_current_job()
	if kwargs.get("counts"):
		job.connection.incr(runs_key(job.id))
	if kwargs.get("waits"):
		job.connection.blpop(release_key(job.id), timeout=60)


def put_script(path: Path, text: str) -> None:
	"""
	Whole or not at all: a worker that boots meanwhile would read an empty file, end with exit code 0, and be left so by its
	supervisord.
	"""
	path.parent.mkdir(parents=True, exist_ok=True)
	new = path.with_name(f"{path.name}.new")
	new.write_text(text)
	new.chmod(0o755)
	new.replace(path)


def release_key(id: str) -> str:
	return f"rq:test:release:{id}"


def runs_key(id: str) -> str:
	return f"rq:test:runs:{id}"


class RqBench:
	"""
	`user`: the Redis user of whoever enqueues. Workers need Redis' admin: rq 1 asks for CLIENT LIST. `folder`: the bench's,
	for workers whose command and working directory are those of a bench's.
	"""

	def __init__(
		self,
		server: RedisServer,
		id: str = "home-anna-bench",
		user: str | None = None,
		folder: Path | None = None,
	) -> None:
		self.id, self.server, self.folder = id, server, folder
		self.connection = server.connection(user)
		self._processes: dict[int, subprocess.Popen] = {}

	def queue(self, name: str) -> rq.Queue:
		return rq.Queue(f"{self.id}:{name}", connection=self.connection)

	def enqueue(self, id: str, queue: str = "short", *, waits: bool = False, **given) -> Job:
		"""`given` replaces what Frappe would pass; timeout and func are RQ's."""
		timeout = given.pop("timeout", 300)
		function = given.pop("func", execute_job)
		kwargs = {
			"site": "one.localhost",
			"user": "anna@example.com",
			"method": "app.tasks.work",
			"event": None,
			"job_name": "work",
			"is_async": True,
			"kwargs": {"waits": waits},
			**given,
		}
		return self.queue(queue).enqueue_call(function, kwargs=kwargs, timeout=timeout, job_id=id)

	def finish(self, id: str) -> None:
		self.connection.rpush(release_key(id), 1)

	def start_worker(self, *queues: str, inside: Sequence[str] = ()) -> int:
		"""
		Its pid. It runs until the bench is stopped. `inside`: a command that runs the words which follow it, as unshare does;
		then the pid is that one's.
		"""
		popen = subprocess.Popen if inside or self.folder else Forked
		process = popen(
			[*inside, *self.worker_command(*queues)],
			cwd=self.folder / "sites" if self.folder else CHECKOUT,
			env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
			stdin=subprocess.DEVNULL,
			stdout=subprocess.DEVNULL,
			stderr=subprocess.DEVNULL,
		)
		self._processes[process.pid] = process
		return process.pid

	def worker_command(self, *queues: str) -> list[str]:
		program = ["-m", "fmx_restart.tests.adapters.rq_bench"]
		if self.folder:
			script = self.folder / "env/bin/bench"
			put_script(script, WORKER)
			program = [str(script)]
		return [sys.executable, *program, "worker", self.server.url(), *self.names(*queues)]

	def names(self, *queues: str) -> list[str]:
		return [f"{self.id}:{queue}" for queue in queues]

	def stop_worker(self, pid: int) -> None:
		"""A TERM, as a process manager sends it."""
		process = self._processes.pop(pid)
		process.terminate()
		process.wait()

	def kill_worker(self, pid: int) -> None:
		"""With the job it runs, which has a session of its own. Stopped first, so that it starts no other."""
		process = self._processes.pop(pid)
		with suppress(psutil.NoSuchProcess):  # it ends by itself just now
			if process.poll() is None:
				self._kill_horses(psutil.Process(pid))
		process.kill()
		process.wait()

	def _kill_horses(self, worker: psutil.Process) -> None:
		worker.suspend()
		eventually(lambda: worker.status() == psutil.STATUS_STOPPED, "the worker has stopped")
		for horse in worker.children(recursive=True):
			with suppress(psutil.NoSuchProcess):  # the init of a namespace takes the others with it
				horse.kill()

	def kill_horse(self, pid: int) -> None:
		for horse in psutil.Process(pid).children():
			horse.kill()

	def register(self, *queues: str, name: str | None = None) -> rq.Worker:
		"""A worker's record in Redis without a process."""
		connection = self.server.connection()
		worker = rq.Worker(self.names(*queues), name=name, connection=connection)
		worker.register_birth()
		return worker

	def stop(self) -> None:
		for pid in list(self._processes):
			self.kill_worker(pid)
		self.connection.close()


def work(_worker: str, url: str, *queues: str) -> None:
	connection = redis.Redis.from_url(url)
	rq.Worker([rq.Queue(name, connection=connection) for name in queues], connection=connection).work()


if __name__ == "__main__":
	work(*sys.argv[1:])
