"""A bench's folders and real processes in them; what nobody waits for is a child of PID 1, like any orphan."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from fmx_restart.doctor.bench_view import BenchAccess, BenchView
from fmx_restart.doctor.registry import Finding
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.engine.ports import Host, Look, Process, Worker
from fmx_restart.engine.workers import Locator
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.queue import InMemoryQueue
from fmx_restart.tests.adapters.benches import LAUNCHER, make_bench, short_folder

PYTHON = Path(sys.executable)
WAITS = "import signal; signal.pause()"
REFUSES = "import signal; signal.signal(15, signal.SIG_IGN)\nwhile True: signal.pause()"


class HostTestCase(unittest.TestCase):
	"""`self.ways`: what the patient may ask; every other question is refused by a None."""

	def setUp(self) -> None:
		super().setUp()
		self.home = short_folder(self)
		self.bench = make_bench(self.home / "bench")
		self.ways: dict = {"config": dict, "connection": no_redis}

	def view(self) -> BenchView:
		return BenchView(
			str(self.bench),
			"bench",
			BenchAccess(**{**dict.fromkeys(BenchAccess.__dataclass_fields__), **self.ways}),
		)

	def findings(self, *names: str) -> tuple[Finding, ...]:
		return run_checks(self.view(), names).findings

	def launch(
		self,
		*words: str,
		folder: Path | None = None,
		code: str = WAITS,
		env: Mapping | None = None,
		program: Path = PYTHON,
	) -> int:
		"""A python process with these words behind its code, which lost its parent. Returns its pid."""
		command = [sys.executable, "-c", LAUNCHER, str(program), "-c", code, *words]
		folder = folder or self.bench / "sites"
		done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
		process = psutil.Process(int(done.stdout))
		self.addCleanup(kill, process)
		return process.pid


def look_at(host: Host, *workers: Worker, managed: Callable[[], list[Process]] = list) -> Look:
	"""What a look at these records would tell, where Redis is not asked anything."""
	clock = FakeClock()
	look = Look(time.time(), workers, {}, (), None)
	return Locator(host, InMemoryQueue(clock, address=""), clock).locate(look, managed)


def no_redis():
	raise QueueUnreachable("Redis does not answer.", hint="")


def kill(process: psutil.Process) -> None:
	with suppress(psutil.NoSuchProcess):
		process.send_signal(signal.SIGKILL)
