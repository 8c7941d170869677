"""A patient of a test's own: a private Redis, a bench's folders, and whatever part the test wants to be wrong."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.doctor.bench_view import OPERATION, BenchAccess, BenchView
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.registry import Finding
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine.identity import Holder
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.adapters.waiting import eventually

SITE = "one.localhost"


def dead_note(operation: str, *, host: str = "", pid: int | None = None, phase: str = "Drain") -> str:
	"""What stands beside the fence of an operation that ran here and whose process is gone, unless told otherwise."""
	this = ThisHost("/")
	if pid is None:
		process = subprocess.Popen([sys.executable, "-c", ""])
		process.wait()
		pid = process.pid
	identity = this.process(pid).identity if this.process(pid) else "gone"
	return Holder(operation, "anna", host or this.name, pid, phase, since=1.0, identity=identity).note()


class DoctorTestCase(RedisTestCase):
	"""`self.ways` replaces single ways to a part: self.ways["queue_limit"] = lambda: 500"""

	has_port = True

	def setUp(self) -> None:
		super().setUp()
		folder = tempfile.TemporaryDirectory(prefix="fmx-doctor-")
		self.addCleanup(folder.cleanup)
		self.path = Path(folder.name)
		self.rq = RqBench(self.server, folder=self.path)
		self.addCleanup(self.rq.stop)
		for name in (f"sites/{SITE}", "apps", "logs/fmx_restart", "config"):
			(self.path / name).mkdir(parents=True)
		self.ways: dict = {}

	def view(self) -> BenchView:
		"""A new one for each question: each reads everything once."""
		ways = {
			"config": dict,
			"sites": lambda: [SITE],
			"connection": self.server.connection,
			"processes": lambda: InMemoryProcesses(FakeClock()),
			"host": lambda: ThisHost(str(self.path)),
			"queue_limit": lambda: None,
			"site_config": lambda site: {},
			"scheduler_lines": lambda site: [],
			"frappes_folder": lambda: str(self.path),
			"bench": lambda operation: self.fail("no fix needs the bench here"),
			"new_operation_id": lambda: "20261122-120000-d0c7",
			"recover": lambda operation: self.fail("no fix recovers here"),
			**self.ways,
		}
		view = BenchView(str(self.path), self.rq.id, BenchAccess(**ways))
		if "connection" not in self.ways:  # a Redis that was just started, and that nobody had to find again
			queue = RedisQueue(view.connection, self.rq.id, OPERATION, settled_after=0)
			view.parts.get("queue", lambda: queue)
		return view

	def examine(self, *names: str) -> Examination:
		return run_checks(self.view(), names)

	def findings(self, *names: str) -> tuple[Finding, ...]:
		return self.examine(*names).findings

	def finding(self, name: str) -> Finding:
		"""The only one there is. Redis and the kernel need a moment to notice that a process has ended."""
		found = eventually(lambda: self.findings(name), f"the doctor finds {name}")
		self.assertEqual([finding.check for finding in found], [name], found)
		return found[0]

	def assert_clean(self, names: Collection[str]) -> None:
		self.assertEqual(self.findings(*names), ())
