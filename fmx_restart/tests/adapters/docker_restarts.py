"""
What runs inside a nested machine with a dockerd: whole restarts of real RQ workers, each in a container of its own as
frappe_docker has them, under load. test_docker.py begins it there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import unittest
from collections.abc import Mapping
from pathlib import Path

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.docker.processes import DockerProcesses
from fmx_restart.engine import events
from fmx_restart.engine.errors import Interrupted, ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import OnTimeout, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Process, ProcessState
from fmx_restart.tests.adapters.benches import free_port
from fmx_restart.tests.adapters.containers import Containers
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.restart_case import RestartCase
from fmx_restart.tests.adapters.typed_command import operations_of
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.adapters.web_visitors import APPLICATION, GUNICORN, Visitors, is_answered
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs

#: Service, number and queue of each worker: queue-short has two replicas
WORKERS = (("queue-short", 1, "short"), ("queue-short", 2, "short"), ("queue-long", 1, "long"))
NAMES = ["queue-long", "queue-short", "queue-short-2"]
STRATEGIES = [Strategy.WAIT_WORKERS, Strategy.ROLLING]
FURTHER = [Strategy.NO_WAIT_WORKERS, Strategy.FAST]


class DockerRestartCase(RestartCase):
	lease = 30.0  # as everywhere
	network, pids = "none", None

	def setUp(self) -> None:
		super().setUp()
		self.containers = Containers(Path("/tmp"))  # with Redis' socket
		self.addCleanup(self.containers.remove)
		self.ids: dict[tuple[str, int], str] = {}
		self.make()

	def make(self) -> None:
		for service, number, queue in WORKERS:
			self.ids[service, number] = self.containers.create(
				service,
				self.rq.worker_command(queue),
				self.bench / "sites",
				number=number,
				environment={"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
				policy="unless-stopped",
				network=self.network,
				pids=self.pids,
			)
		self.containers.start(*self.ids.values())
		self.registered(len(WORKERS))

	def assert_all_new(self, before: Mapping[str, Process]) -> dict[str, Process]:
		after = super().assert_all_new(before)
		self.assertEqual(sorted(after), NAMES)
		return after


class TestRestarts(DockerRestartCase):
	def test_under_load_no_job_is_lost_and_none_runs_twice(self):
		self.assertEqual(sorted(self.programs()), NAMES)
		self.restart_in_turn([*STRATEGIES, *(FURTHER if IS_LONG_RUN else [])])

	@in_long_runs("a restart of containers")
	def test_a_worker_at_work_is_replaced_when_its_own_job_has_ended(self):
		self.replace_a_busy_one()

	@in_long_runs("a restart of containers")
	def test_a_job_that_outlives_the_grace_is_killed_with_its_container_which_starts_again(self):
		for on_timeout, runs in ((OnTimeout.KILL, b"1"), (OnTimeout.REQUEUE, b"2")):
			with self.subTest(on_timeout):
				id = f"job-{on_timeout.value}"
				self.run_busy(id)
				before = self.programs()
				report = self.operation(Strategy.FAST, drain_timeout=1.0, on_timeout=on_timeout).run()
				self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
				self.assertEqual([job.id for job in report.interrupted], [id])
				self.assert_all_new(before)
				job = self.rq.queue("short").fetch_job(id)
				if on_timeout is OnTimeout.KILL:
					self.assertTrue(job.is_failed)
					self.assertIn("gave it 1 s to finish", job.exc_info)
				self.rq.finish(id)
				eventually(lambda id=id, runs=runs: self.runs(id) == runs, "it has run so often")
		with self.assertRaises(WrongEnvironment):
			self.operation(Strategy.SUSPEND_RQ).run()

	@in_long_runs("a restart of containers")
	def test_one_that_is_stopped_after_it_killed_a_container_names_it_and_the_job(self):
		self.run_busy("job-1")
		before = self.programs()
		operation = self.operation(Strategy.FAST, drain_timeout=1.0, on_timeout=OnTimeout.KILL)

		def stop(event: events.Event) -> None:
			if isinstance(event, events.JobsInterrupted):
				operation.stop_requested.set()

		operation.listen(stop)
		with self.assertRaises(Interrupted) as caught:
			operation.run()
		(killed,) = [name for name, one in self.programs().items() if not one.is_same_as(before[name])]
		self.assertIn(
			f"1 job was killed. Restarted meanwhile: {killed}. Nothing else was restarted",
			str(caught.exception),
		)
		self.assertEqual((operation.report.outcome, operation.report.restarted), (Phase.ABORTED, [killed]))
		self.registered(len(WORKERS))

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

	@in_long_runs("a restart of containers")
	def test_a_dockerd_that_is_gone_for_good_is_given_up_with_the_command_that_starts_what_is_down(self):
		dockerd = int(Path("/run/docker.pid").read_text())
		self.addCleanup(os.kill, dockerd, signal.SIGCONT)

		def hang(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.ProcessStopping) and len(self.told(events.ProcessStopping)) == len(
				NAMES
			):
				self.admin.set("frozen", 1)

		self.note, follow = hang, DockerProcesses.list

		def list_until_frozen(processes: DockerProcesses) -> list:
			if self.admin.get("frozen"):
				os.kill(dockerd, signal.SIGSTOP)  # what was ordered was answered before
			return follow(processes)

		DockerProcesses.list = list_until_frozen
		self.addCleanup(setattr, DockerProcesses, "list", follow)
		with self.assertRaises(ProcessFault) as caught:
			self.operation(Strategy.WAIT_WORKERS).run()
		self.assertEqual(caught.exception.exit_code, 4)
		what_is_down = "docker start erp-queue-long-1 erp-queue-short-1 erp-queue-short-2"
		self.assertIn(f"Then start what is down: {what_is_down}", caught.exception.hint)
		self.assertIsNone(self.admin.get("rq:suspended"))

	@in_long_runs("a restart of containers")
	def test_a_container_that_was_killed_with_its_job_is_not_waited_for(self):
		self.run_busy("job-1", "long")
		self.containers.kill(self.ids["queue-long", 1])
		began = time.monotonic()
		report = self.operation(Strategy.WAIT_WORKERS).run()
		self.assertLess(time.monotonic() - began, 30)  # its record in Redis lives on for minutes
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual(report.left_alone, ["queue-long"])  # somebody has stopped it
		self.assertEqual(self.runs("job-1"), b"1")

	@in_long_runs("a restart of containers")
	def test_an_operation_that_is_killed_in_the_middle_leaves_nothing_down(self):
		before = self.programs()
		restart = self.command("--wait-workers", "--no-web", "--yes")
		eventually(lambda: not all(it.pid for it in self.programs().values()), "one is down")
		os.kill(restart.pid, signal.SIGKILL)
		for operation in operations_of(self.bench):
			operation.kill()
		restart.communicate()
		eventually(
			lambda: all(it.pid for it in self.programs().values()),
			"its guardian has started them",
			deadline=60,
		)
		self.registered(len(WORKERS))
		eventually(lambda: self.admin.get("rq:suspended") is None, "the queue runs", deadline=60)
		self.assertTrue(any(not one.is_same_as(before[name]) for name, one in self.programs().items()))

	@in_long_runs("a restart of containers")
	def test_old_containers_are_down_while_a_site_is_migrated(self):
		before, seen = self.programs(), []
		migration = {"web": True, "migration": MigrationOptions(), "sites": ("one.localhost",)}
		operation = self.operation(Strategy.WAIT_WORKERS, **migration)
		operation.bench.migrations.clock = SystemClock()  # it stands in for Frappe's

		def look(event: events.Event) -> None:
			if isinstance(event, (events.MigrationStarted, events.MigrationEnded)):
				seen.append({program.state for program in self.programs().values()})

		operation.listen(look)
		self.assertEqual(operation.run().outcome, Phase.DONE)
		self.assertEqual(seen, [{ProcessState.STOPPED}] * 2)
		self.assert_all_new(before)

	@in_long_runs("a restart of containers")
	def test_the_command_restarts_them_and_says_how_it_ended(self):
		before = self.programs()
		for words in (["--rolling"], ["--wait-workers"]):
			done = self.command(*words, "--no-web", "--yes")
			told, errors = done.communicate(timeout=120)
			self.assertEqual(done.returncode, 0, told + errors)
			self.assertIn("none before, none arrived, 0 lost", told)
			before = self.assert_all_new(before)
		done = self.command("--suspend-rq", "--yes")
		self.assertIn("cannot be killed from here", "".join(done.communicate(timeout=60)))
		self.assertEqual(done.returncode, 7)


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
			eventually(lambda port=port: is_answered(f"127.0.0.1:{port}"), "it answers")

	def ask(self, number: int) -> bool:
		"""One replica after the other, and the other one where the first gives no answer: as nginx does with its upstreams."""
		first = number % len(self.ports)
		order = self.ports[first:] + self.ports[:first]
		return any(is_answered(f"127.0.0.1:{port}") for port in order)

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
		with Visitors(self.ask) as visitors:
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
		with Visitors(self.ask) as visitors, self.assertRaises(ProcessFault) as caught:
			operation.run()
		self.assertEqual(caught.exception.exit_code, 4)
		(stopped,) = [event for event in self.facts if isinstance(event, events.RollingStopped)]
		self.assertEqual((stopped.failed, stopped.not_replaced), (("backend",), ("backend-2",)))
		self.assertTrue(self.programs()["backend-2"].is_same_as(before["backend-2"]))
		self.assertEqual(visitors.failed, 0)


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
