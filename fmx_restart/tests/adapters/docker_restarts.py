"""
What runs inside a nested machine with a dockerd: whole restarts of real RQ workers, each in a container of its own as
frappe_docker has them, under load. test_docker.py begins it there.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import unittest
import urllib.request
from pathlib import Path

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import OnTimeout, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.adapters.benches import free_port
from fmx_restart.tests.adapters.containers import Containers
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.restart_case import RestartCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs

#: Service, number and queue of each worker: queue-short has two replicas
WORKERS = (("queue-short", 1, "short"), ("queue-short", 2, "short"), ("queue-long", 1, "long"))
NAMES = ["queue-long", "queue-short", "queue-short-2"]
STRATEGIES = [Strategy.WAIT_WORKERS, Strategy.ROLLING]
FURTHER = [Strategy.NO_WAIT_WORKERS, Strategy.FAST]


class DockerRestartCase(RestartCase):
	lease = 30.0  # as everywhere

	def setUp(self) -> None:
		super().setUp()
		self.containers = Containers(Path("/tmp"))  # with Redis' socket
		self.addCleanup(self.containers.remove)
		self.ids = {}
		for service, number, queue in WORKERS:
			self.ids[service, number] = self.containers.create(
				service,
				self.rq.worker_command(queue),
				self.bench / "sites",
				number=number,
				environment={"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
				policy="unless-stopped",
			)
		self.containers.start(*self.ids.values())
		self.registered(len(WORKERS))

	def assert_all_new(self, before: dict) -> dict:
		after = self.programs()
		self.assertEqual(sorted(after), NAMES)
		self.assertFalse([name for name, one in after.items() if one.is_same_as(before[name])])
		return after


class TestRestarts(DockerRestartCase):
	def test_under_load_no_job_is_lost_and_none_runs_twice(self):
		before = self.programs()
		self.assertEqual(sorted(before), NAMES)
		with Load(lambda id, queue: self.rq.enqueue(id, queue, kwargs={"counts": True})) as load:
			eventually(lambda: any(map(self.runs, load.ids)), "jobs run")
			for strategy in [*STRATEGIES, *(FURTHER if IS_LONG_RUN else [])]:
				report = self.operation(strategy).run()
				self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []), strategy)
				before = self.assert_all_new(before)
		eventually(lambda: all(map(self.runs, load.ids)), "each job has run")
		self.assertEqual(set(map(self.runs, load.ids)), {b"1"})
		self.assertGreater(len(load.ids), 5)

	@in_long_runs("a restart of containers")
	def test_a_worker_at_work_is_replaced_when_its_own_job_has_ended(self):
		self.run_busy("job-1")
		before = self.programs()

		def let_go(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.HandedOver):
				self.rq.finish("job-1")

		self.note = let_go
		report = self.operation(Strategy.NO_WAIT_WORKERS).run()
		(handed_over,) = [event for event in self.facts if isinstance(event, events.HandedOver)]
		self.assertEqual(len(handed_over.processes), 1)
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assertTrue(self.rq.queue("short").fetch_job("job-1").is_finished)
		self.assertEqual(self.runs("job-1"), b"1")
		self.assert_all_new(before)

	@in_long_runs("a restart of containers")
	def test_a_job_that_outlives_the_grace_is_not_killed_and_nothing_is_restarted(self):
		self.run_busy("job-1")
		before = self.programs()
		with self.assertRaises(DrainTimeout) as caught:
			self.operation(Strategy.FAST, drain_timeout=1.0, on_timeout=OnTimeout.KILL).run()
		self.assertEqual(caught.exception.exit_code, 3)
		self.assertEqual(self.programs(), before)
		with self.assertRaises(WrongEnvironment):
			self.operation(Strategy.SUSPEND_RQ).run()
		self.rq.finish("job-1")
		eventually(lambda: self.rq.queue("short").fetch_job("job-1").is_finished, "it ends")

	@in_long_runs("a restart of containers")
	def test_a_container_that_does_not_start_is_named_with_the_end_of_its_log(self):
		script = self.bench / "env/bin/bench"
		operation = self.operation(Strategy.WAIT_WORKERS)
		script.write_text("import sys; sys.exit('no database')")
		with self.assertRaises(ProcessFault) as caught:
			operation.run()
		self.assertEqual(caught.exception.exit_code, 4)
		failed = [event for event in self.facts if isinstance(event, events.ProcessFailed)]
		self.assertEqual(sorted(event.name for event in failed), NAMES)
		for event in failed:
			self.assertIn("no database", event.log_tail)
		self.assertIsNone(self.admin.get("rq:suspended"))

	@in_long_runs("a restart of containers")
	def test_a_dockerd_that_hangs_in_the_middle_is_waited_for(self):
		before, dockerd = self.programs(), int(Path("/run/docker.pid").read_text())
		self.addCleanup(os.kill, dockerd, signal.SIGCONT)

		def hang(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.ProcessDown) and not self.told(events.ManagerAway):
				os.kill(dockerd, signal.SIGSTOP)
			elif isinstance(event, events.ManagerAway):
				os.kill(dockerd, signal.SIGCONT)

		self.note = hang
		report = self.operation(Strategy.WAIT_WORKERS).run()
		self.assertIn("did not answer within", self.told(events.ManagerAway)[0].reason)
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assert_all_new(before)

	def told(self, kind: type) -> list:
		return [event for event in self.facts if isinstance(event, kind)]


GUNICORN = "from gunicorn.app.wsgiapp import run; run()"
#: It takes a moment to boot, as Frappe does
APPLICATION = """
import os, time
time.sleep(1)
def application(environ, start_response):
	start_response("200 OK", [("Content-Length", "2")])
	return [b"ok"]
"""


class Visitors(threading.Thread):
	"""Ask one replica after the other, and the other one where the first gives no answer: as nginx does with its upstreams."""

	def __init__(self, ports: list[int]) -> None:
		super().__init__()
		self.ports, self.answered, self.failed, self.is_over = ports, 0, 0, threading.Event()

	def run(self) -> None:
		for number in itertools.count():
			order = self.ports[number % len(self.ports) :] + self.ports[: number % len(self.ports)]
			if any(map(self.is_answered, order)):
				self.answered += 1
			else:
				self.failed += 1
			if self.is_over.wait(0.01):
				return

	def is_answered(self, port: int) -> bool:
		try:
			with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
				return answer.read() == b"ok"
		except OSError:
			return False

	def __enter__(self) -> Visitors:
		self.start()
		return self

	def __exit__(self, *about: object) -> None:
		self.is_over.set()
		self.join()


class TestReplicas(RestartCase):
	"""Two containers of one web service, with a real gunicorn each."""

	def setUp(self) -> None:
		super().setUp()
		self.containers, self.ports = Containers(Path("/tmp")), [free_port(), free_port()]
		self.addCleanup(self.containers.remove)
		(self.bench / "env/bin/gunicorn").write_text(GUNICORN)
		(self.bench / "sites/app.py").write_text(APPLICATION)
		self.ids = [self.create(number, port) for number, port in enumerate(self.ports, start=1)]
		self.containers.start(*self.ids)
		for port in self.ports:
			eventually(lambda port=port: Visitors([]).is_answered(port), "it answers")

	def create(self, number: int, port: int) -> str:
		words = [sys.executable, f"{self.bench}/env/bin/gunicorn", "--preload", f"--bind=127.0.0.1:{port}"]
		words += [f"--chdir={self.bench}/sites", "--worker-tmp-dir=/tmp", "app:application"]
		about = {"number": number, "policy": "unless-stopped", "network": "host"}
		about["environment"] = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
		return self.containers.create("backend", words, self.bench / "sites", **about)

	@in_long_runs("a restart of containers")
	def test_one_after_the_other_while_the_other_one_answers(self):
		before = self.programs()
		self.assertEqual(sorted(before), ["backend", "backend-2"])
		self.assertTrue(all(program.has_replicas for program in before.values()))
		with Visitors(self.ports) as visitors:
			report = self.operation(Strategy.WAIT_WORKERS, web=True, workers=False).run()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertFalse([name for name, one in self.programs().items() if one.is_same_as(before[name])])
		self.assertGreater(visitors.answered, 50)
		self.assertEqual(visitors.failed, 0)

	@in_long_runs("a restart of containers")
	def test_where_the_first_ones_new_code_does_not_come_up_the_other_one_keeps_the_old(self):
		before = self.programs()
		operation = self.operation(Strategy.ROLLING, web=True, workers=False)
		(self.bench / "sites/app.py").write_text("raise SystemExit('no such table')")
		with Visitors(self.ports) as visitors, self.assertRaises(ProcessFault) as caught:
			operation.run()
		self.assertEqual(caught.exception.exit_code, 4)
		(stopped,) = [event for event in self.facts if isinstance(event, events.RollingStopped)]
		self.assertEqual((stopped.failed, stopped.not_replaced), (("backend",), ("backend-2",)))
		self.assertTrue(self.programs()["backend-2"].is_same_as(before["backend-2"]))
		self.assertEqual(visitors.failed, 0)


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
