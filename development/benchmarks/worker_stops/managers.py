"""Plain restarts by process managers while jobs come all the time: nobody parks a worker first."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from development.benchmarks.worker_stops.trial import Row, Trial, fresh_bench
from development.description import CHECKOUT
from development.managers.docker import Docker
from development.managers.supervisor import Supervisor
from development.managers.systemd import Systemd
from fmx_restart.tests.adapters.waiting import eventually

WORKERS = ("worker-0", "worker-1")
LONG = 30.0  # seconds of a job that no worker can end in the time it has
GRACE = 10  # seconds: Docker's own
SERVICE = """\
[Service]
WorkingDirectory={cwd}
Environment={environment}
ExecStart={command}
Restart=always
StandardOutput=append:{cwd}/worker.log
StandardError=append:{cwd}/worker.log
"""


class Managed(Protocol):
	what: str  # a person types

	def __init__(self, trial: Trial, folder: Path) -> None: ...
	def up(self) -> None: ...
	def restart(self) -> None: ...
	def down(self) -> None: ...


class Program:
	"""What a manager starts: one worker of that kind."""

	def __init__(self, trial: Trial, folder: Path) -> None:
		bench = trial.bench
		module = [sys.executable, "-m", "fmx_restart.tests.worker.worker_bench", trial.kind, json.dumps({})]
		self.command = [*module, bench.server.url(), *bench.names(*trial.queues)]
		self.folder, self.cwd = folder, bench.sites
		(self.cwd / "worker.log").touch()
		self.env = {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{bench.sites}", "HOME": str(bench.sites)}
		interpreters = [Path(path) for path in (sys.prefix, sys.base_prefix)]
		self.shared = [bench.sites, *(path for path in interpreters if not path.is_relative_to("/usr"))]


class BySupervisor(Program):
	what = "supervisorctl restart"

	def up(self) -> None:
		self._sockets = tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp")
		self._manager = Supervisor(self.folder, Path(self._sockets.name))
		self._manager.up("worker", self.command, self.cwd, self.env, len(WORKERS))

	def restart(self) -> None:
		self._manager.supervisorctl("restart", "worker:*")

	def down(self) -> None:
		self._manager.down()
		self._sockets.cleanup()


class BySystemd(Program):
	what = "systemctl restart, KillMode=control-group"

	def up(self) -> None:
		environment = " ".join(f'"{name}={value}"' for name, value in self.env.items())
		command = " ".join(f"'{word}'" for word in self.command)
		service = SERVICE.format(cwd=self.cwd, environment=environment, command=command)
		self._units = [f"{name}.service" for name in WORKERS]
		self._manager = Systemd(self.folder, self.shared)
		self._manager.up(dict.fromkeys(self._units, service))
		self._manager.systemctl("start", *self._units)

	def restart(self) -> None:
		self._manager.systemctl("restart", *self._units)

	def down(self) -> None:
		self._manager.down()


class ByDocker(Program):
	what = "docker stop, docker start"

	def up(self) -> None:
		self._manager = Docker(self.folder, self.shared)
		self._manager.up()
		env = {**self.env, "FMX_RESTART_WORKER_GRACE": str(GRACE)}
		for name in WORKERS:
			self._manager.start(name, self.command, self.cwd, env)

	def restart(self) -> None:
		self._manager.docker("stop", *WORKERS)
		self._manager.docker("start", *WORKERS)

	def down(self) -> None:
		self._manager.down()


MANAGERS: dict[str, type[Managed]] = {
	"supervisor": BySupervisor,
	"systemd": BySystemd,
	"docker": ByDocker,
}


def rows(kind: str, restarts: int, seed: int, names: Sequence[str] = tuple(MANAGERS)) -> Iterator[Row]:
	for name in names:
		with managed(MANAGERS[name], kind, seed) as (trial, manager):
			with trial.load(0.06):
				for _ in range(restarts):
					restart(trial, manager)
			trial.settle()
			yield trial.row(manager.what, restarts * len(WORKERS), "all the time")
		if name == "docker":
			yield long_jobs(kind, max(1, restarts // 4), seed)


def long_jobs(kind: str, restarts: int, seed: int) -> Row:
	"""Docker kills a worker that has not left after 10 s."""
	with managed(ByDocker, kind, seed) as (trial, manager):
		for _ in range(restarts):
			begun = [trial.enqueue(seconds=LONG) for _ in WORKERS]
			with trial.load(0.3):
				eventually(lambda begun=begun: all(map(trial.bench.notes, begun)), trial.bench.log)
				restart(trial, manager)
		trial.settle()
		return trial.row(manager.what, restarts * len(WORKERS), f"all the time, and jobs of {LONG:.0f} s")


@contextmanager
def managed(which: type[Managed], kind: str, seed: int) -> Iterator[tuple[Trial, Managed]]:
	with fresh_bench(port=True) as bench:
		folder = bench.sites / "manager"
		folder.mkdir()
		trial = Trial(bench, kind, seed)
		manager = which(trial, folder)
		try:
			with new_workers(trial):
				manager.up()
			yield trial, manager
		finally:
			manager.down()


def restart(trial: Trial, manager: Managed) -> None:
	"""At any instant within a second, once both workers work."""
	time.sleep(trial.chance.uniform(0.2, 1.2))
	with new_workers(trial):
		manager.restart()


@contextmanager
def new_workers(trial: Trial) -> Iterator[None]:
	"""Returns when as many workers as there should be have registered since."""
	before = trial.bench.worker_keys()
	yield
	eventually(lambda: len(trial.bench.worker_keys() - before) >= len(WORKERS), trial.bench.log, deadline=60)
