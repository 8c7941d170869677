"""
What runs on a real node of Kubernetes: whole restarts of real RQ workers, each in a pod of its own as the helm chart has them,
under load. test_kubernetes.py begins it there.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import unittest
from pathlib import Path

from rq.job import Job

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.kubernetes.workloads import KEPT
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import OnTimeout, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.tests.adapters.pods import ApiServer, Pods
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.restart_case import RestartCase
from fmx_restart.tests.adapters.typed_command import operations_of
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.adapters.web_visitors import APPLICATION, GUNICORN, Visitors, is_answered
from fmx_restart.worker.switch import SETTING

KUBECONFIG = os.environ.get("KUBECONFIG", "")
SELECTOR = "app.kubernetes.io/instance=erp"
SHORT, LONG, WEB = (f"erp-erpnext-{it}" for it in ("worker-s", "worker-l", "gunicorn"))
NAMES = [LONG, SHORT, f"{SHORT}:2"]
STRATEGIES = [Strategy.WAIT_WORKERS, Strategy.ROLLING, Strategy.NO_WAIT_WORKERS, Strategy.FAST]
OWN_WORKER = """
import sys
from fmx_restart.tests.worker.worker_bench import work
work("lossless", "{}", *sys.argv[2:])
"""
ENVIRONMENT = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}


class KubernetesRestartCase(RestartCase):
	lease = 30.0  # as everywhere
	kubeconfig = KUBECONFIG

	def setUp(self) -> None:
		super().setUp()
		self.pods = Pods(Path("/tmp"))  # with Redis' socket
		self.addCleanup(self.pods.remove)

	def setting(self) -> dict:
		entry = {"kind": "kubernetes", "namespace": self.pods.namespace, "selector": SELECTOR}
		return {"fmx_restart_managers": [{**entry, "kubeconfig": self.kubeconfig}]}

	def deploy(self, program: str, words: list[str], **about: object) -> str:
		about = {"sites": self.bench / "sites", "at": self.bench, "environment": ENVIRONMENT, **about}
		return self.pods.deploy(program, words, self.bench / "sites", **about)


class WorkerCase(KubernetesRestartCase):
	def setUp(self) -> None:
		super().setUp()
		self.deploy("worker-s", self.rq.worker_command("short"), replicas=2)
		self.deploy("worker-l", self.rq.worker_command("long"))
		eventually(lambda: self.admin.scard("rq:workers") == len(NAMES), "workers are there", deadline=60)
		eventually(lambda: all(it.pid for it in self.programs().values()), "their nodes say so", deadline=60)


class TestRestarts(WorkerCase):
	def test_under_load_no_job_is_lost_and_none_runs_twice(self):
		self.assertEqual(sorted(self.programs()), NAMES)
		# The second time Kubernetes would wait with a restart
		self.restart_in_turn([*STRATEGIES, Strategy.ROLLING])

	def test_a_worker_at_work_is_replaced_when_its_own_job_has_ended(self):
		self.replace_a_busy_one()

	def test_a_job_that_takes_longer_than_the_grace_of_its_pod_is_not_cut_by_the_order_to_leave(self):
		before = {pod.metadata.uid for name in (SHORT, LONG) for pod in self.pods.of(name)}
		for deployment in (SHORT, LONG):
			brief = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 2}}}}
			self.pods.apps.patch_namespaced_deployment(deployment, self.pods.namespace, brief)

		def are_new() -> bool:
			pods = [*self.pods.of(SHORT), *self.pods.of(LONG)]
			return len(pods) == len(NAMES) and before.isdisjoint(pod.metadata.uid for pod in pods)

		eventually(are_new, "the pods with the brief grace are alone", deadline=120)
		eventually(lambda: self.admin.scard("rq:workers") == len(NAMES), "workers are there", deadline=60)
		self.run_busy("job-1")

		def let_go(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.HandedOver):
				threading.Timer(8, lambda: self.rq.finish("job-1")).start()

		self.note = let_go
		self.assertEqual(self.operation(Strategy.NO_WAIT_WORKERS).run().outcome, Phase.DONE)
		self.assertTrue(self.rq.queue("short").fetch_job("job-1").is_finished)
		self.assertEqual(self.runs("job-1"), b"1")

	def test_a_job_that_outlives_the_grace_is_killed_with_its_pod_whose_successor_comes_at_once(self):
		job = self.killed(OnTimeout.KILL)
		self.assertTrue(job.is_failed)
		self.assertIn("gave it 1 s to finish", job.latest_result().exc_string)
		self.assertEqual(self.runs("job-1"), b"1")
		with self.assertRaises(WrongEnvironment):
			self.operation(Strategy.SUSPEND_RQ).run()

	def test_one_that_is_to_go_back_runs_again(self):
		self.killed(OnTimeout.REQUEUE)
		self.rq.finish("job-1")
		eventually(lambda: self.runs("job-1") == b"2", "it runs again")

	def killed(self, on_timeout: OnTimeout) -> Job:
		self.run_busy("job-1")
		before = self.programs()
		report = self.operation(Strategy.FAST, drain_timeout=1.0, on_timeout=on_timeout).run()
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assertEqual([job.id for job in report.interrupted], ["job-1"])
		self.assert_all_new(before)
		return self.rq.queue("short").fetch_job("job-1")

	def test_what_does_not_start_is_named_with_the_end_of_its_log(self):
		operation = self.operation(Strategy.WAIT_WORKERS)
		(self.bench / "env/bin/bench").write_text("import sys; sys.exit('no database')")
		with self.assertRaises(ProcessFault) as caught:
			operation.run()
		self.assertEqual(caught.exception.exit_code, 4)
		failed = self.told(events.ProcessFailed)
		self.assertEqual(sorted(event.name for event in failed), NAMES)
		for event in failed:
			self.assertIn("no database", event.log_tail)
			self.assertIn("exit code 1", f"{event.reason} {event.log_tail}")
		self.assertIsNone(self.admin.get("rq:suspended"))

	def test_old_pods_are_gone_while_a_site_is_migrated_and_their_number_comes_back(self):
		before, seen = self.programs(), []
		migration = {"web": True, "migration": MigrationOptions(), "sites": ("one.localhost",)}
		operation = self.operation(Strategy.WAIT_WORKERS, **migration)
		operation.bench.migrations.clock = SystemClock()  # it stands in for Frappe's
		# who saw the pods run: else one whose node has tidied up may be about to begin
		others = self.managers()
		others.list()

		def look(event: events.Event) -> None:
			if isinstance(event, (events.MigrationStarted, events.MigrationEnded)):
				seen.append(({it.state for it in others.list()}, self.running(SHORT)))

		operation.listen(look)
		self.assertEqual(operation.run().outcome, Phase.DONE)
		# Others who look see that they are down, and that nobody wants them to stay so
		self.assertEqual(seen, [({ProcessState.FAILED}, 0)] * 2)
		self.assert_all_new(before)
		self.assertNotIn(KEPT, self.annotations(SHORT))

	def test_what_an_operation_that_died_has_scaled_to_0_gets_its_number_back_from_the_next_one(self):
		before = self.programs()
		self.assertEqual(self.managers().order(stop=NAMES), {})
		eventually(
			lambda: not self.pods.of(SHORT) + self.pods.of(LONG), "they are down", deadline=120
		)  # a stock worker that is not parked may sit out its grace
		self.assertEqual(self.annotations(SHORT)[KEPT], "2")
		self.assertIn("an operation has stopped it", self.programs()[SHORT].detail)
		self.assertEqual(self.operation(Strategy.WAIT_WORKERS).run().outcome, Phase.DONE)
		self.assert_all_new(before)
		self.assertEqual(len(self.pods.running(SHORT, 2)), 2)
		self.assertNotIn(KEPT, self.annotations(SHORT))

	def running(self, deployment: str) -> int:
		"""How many containers run, by their node's word: a pod that has ended is there for some seconds more."""
		statuses = [one for pod in self.pods.of(deployment) for one in pod.status.container_statuses or []]
		return sum(one.state.running is not None for one in statuses)

	def annotations(self, deployment: str) -> dict[str, str]:
		found = self.pods.apps.read_namespaced_deployment(deployment, self.pods.namespace)
		return found.metadata.annotations or {}


class TestOwnWorkers(KubernetesRestartCase):
	"""Workers of this app: where nothing stops them they go on with new code in their pods."""

	def setUp(self) -> None:
		super().setUp()
		command = self.rq.worker_command("short", "long")
		(self.bench / "env/bin/bench").write_text(OWN_WORKER)
		(self.bench / "sites/common_site_config.json").write_text(json.dumps({SETTING: 1}))
		(self.bench / "sites/apps.txt").write_text("fmx_restart\n")
		self.deploy("worker-s", command, replicas=2)
		eventually(lambda: len(self.workers()) == 2, "workers are there", deadline=60)
		eventually(lambda: all(it.pid for it in self.programs().values()), "their nodes say so", deadline=60)

	def workers(self) -> dict[str, tuple[str, int]]:
		"""Of those that have not taken leave: the pod, and how often it was reloaded."""
		records = (self.admin.hgetall(key) for key in self.admin.smembers("rq:workers"))
		alive = [it for it in records if b"death" not in it and it.get(b"fmx_worker")]
		return {it[b"hostname"].decode(): int(it.get(b"fmx_reloads", 0)) for it in alive}

	def test_they_reload_in_their_pods_or_go_with_them_and_lose_no_job(self):
		with self.counted_load():
			before, times = self.programs(), self.workers()
			for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
				self.assertEqual(self.restarted_by(strategy), {ReplacedBy.RELOAD})
				times = {pod: number + 1 for pod, number in times.items()}
				self.assertEqual(self.workers(), times)
			self.assertEqual(self.programs(), before)  # whose pods are the same
			self.assertEqual(self.restarted_by(Strategy.WAIT_WORKERS), {ReplacedBy.MANAGER})
			self.assert_all_new(before)

	def restarted_by(self, strategy: Strategy) -> set[ReplacedBy]:
		report = self.operation(strategy).run()
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		return {change.by for change in report.processes}

	def test_one_at_work_reloads_when_its_job_has_ended(self):
		self.run_busy("job-1")
		before = self.workers()

		def let_go(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.HandedOver):
				self.rq.finish("job-1")

		self.note = let_go
		self.assertEqual(self.restarted_by(Strategy.NO_WAIT_WORKERS), {ReplacedBy.RELOAD})
		self.assertEqual(len(self.told(events.HandedOver)), 1)
		self.assertTrue(self.rq.queue("short").fetch_job("job-1").is_finished)
		self.assertEqual((self.runs("job-1"), set(self.workers().values())), (b"1", {1}))
		self.assertEqual(self.workers().keys(), before.keys())


class TestApiServerAway(WorkerCase):
	"""While all pods are down for a migration: what was ordered before goes on without it."""

	def setUp(self) -> None:
		super().setUp()
		self.server = ApiServer()

	def migration(self) -> Operation:
		migration = {"web": True, "migration": MigrationOptions(), "sites": ("one.localhost",)}
		operation = self.operation(Strategy.WAIT_WORKERS, **migration)
		operation.bench.migrations.clock = SystemClock()  # it stands in for Frappe's
		return operation

	def test_one_that_is_killed_and_comes_back_is_waited_for(self):
		before = self.programs()

		def kill(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.MigrationEnded):
				self.server.kill()
			elif isinstance(event, events.ManagerAway):
				self.server.start()

		self.note = kill
		report = self.migration().run()
		self.assertRegex(self.told(events.ManagerAway)[0].reason, "(does|did) not answer")
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assert_all_new(before)

	def test_one_that_hangs_for_good_is_given_up_with_the_command_that_starts_what_is_down(self):
		self.addCleanup(self.server.go_on)

		def hang(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.MigrationEnded):
				self.server.hang()

		self.note = hang
		with self.assertRaises(ProcessFault) as caught:
			self.migration().run()
		self.assertEqual(caught.exception.exit_code, 4)
		self.assertIn("did not answer within", self.told(events.ManagerAway)[0].reason)
		text = f"{caught.exception} {caught.exception.hint}"
		kubectl = f"kubectl --kubeconfig {KUBECONFIG} -n {self.pods.namespace} scale"
		self.assertIn(f"{kubectl} --replicas=1 deployment/{LONG}", text)
		self.assertIn(f"{kubectl} --replicas=2 deployment/{SHORT}", text)
		self.assertIsNone(self.admin.get("rq:suspended"))


class TestCommand(WorkerCase):
	def test_it_restarts_them_and_says_how_it_ended(self):
		before = self.programs()
		for words in (["--rolling"], ["--wait-workers"]):
			done = self.command(*words, "--no-web", "--yes")
			told, errors = done.communicate(timeout=180)
			self.assertEqual(done.returncode, 0, told + errors)
			self.assertIn("none before, none arrived, 0 lost", told)
			before = self.assert_all_new(before)
		done = self.command("managers")
		told, errors = done.communicate(timeout=60)
		self.assertEqual(done.returncode, 0, told + errors)
		self.assertIn(f"namespace {self.pods.namespace}", told)
		self.assertIn(f"{SHORT}:2", told)
		done = self.command("--suspend-rq", "--yes")
		self.assertIn("cannot be killed from here", "".join(done.communicate(timeout=60)))
		self.assertEqual(done.returncode, 7)

	def test_an_account_without_the_right_gets_the_role_to_apply_and_nothing_is_changed(self):
		reading = [
			{"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list"]},
			{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
		]
		before = self.programs()
		for account, rules, told in (
			("reader", reading, "may not patch deployments and delete pods"),
			("nobody", [], "is forbidden"),
		):
			with self.subTest(account):
				self.kubeconfig = self.kubeconfig_of(self.pods.account(account, rules))
				done = self.command("--wait-workers", "--no-web", "--yes")
				text = "".join(done.communicate(timeout=60))
				self.assertEqual(done.returncode, 7, text)
				self.assertIn(told, text)
				self.assertIn(f"the account system:serviceaccount:{self.pods.namespace}:{account}", text)
				self.assertIn("kind: Role\n", text)
				self.assertIn(
					f"- {{kind: ServiceAccount, name: {account}, namespace: {self.pods.namespace}}}", text
				)
		self.kubeconfig = KUBECONFIG
		self.assertEqual(self.programs(), before)

	def test_with_the_role_that_was_told_it_works(self):
		self.kubeconfig = self.kubeconfig_of(self.pods.account("nobody", []))
		text = "".join(self.command("--wait-workers", "--no-web", "--yes").communicate(timeout=60))
		role = re.search(r"^apiVersion: rbac.*?^subjects:\n[^\n]*", text, re.MULTILINE | re.DOTALL)[0]
		words = ["kubectl", "--kubeconfig", KUBECONFIG, "apply", "-f", "-"]
		subprocess.run(words, input=role, text=True, check=True, capture_output=True)
		done = self.command("--wait-workers", "--no-web", "--yes")
		self.assertEqual(done.wait(timeout=120), 0, done.communicate())
		self.assertTrue(self.told_tokens_are_hidden(text))

	def told_tokens_are_hidden(self, text: str) -> bool:
		return json.loads(Path(self.kubeconfig).read_text())["users"][0]["user"]["token"] not in text

	def test_an_operation_that_is_killed_while_all_are_down_leaves_nothing_down(self):
		before = self.programs()
		restart = self.command("--wait-workers", "--no-web", "--yes")
		eventually(lambda: any(it.is_ending for it in self.pods_now()), "one is told to end", deadline=60)
		os.kill(restart.pid, signal.SIGKILL)
		for operation in operations_of(self.bench):
			operation.kill()
		restart.communicate()
		eventually(lambda: self.admin.get("rq:suspended") is None, "the queue runs", deadline=60)
		eventually(lambda: self.admin.scard("rq:workers") == len(NAMES), "workers are there", deadline=60)
		self.assertTrue(any(not one.is_same_as(before[name]) for name, one in self.programs().items()))

	def pods_now(self) -> list:
		found = self.pods.of(SHORT) + self.pods.of(LONG)
		for pod in found:
			pod.is_ending = pod.metadata.deletion_timestamp is not None
		return found

	def kubeconfig_of(self, account: str) -> str:
		"""Of a file that holds its token."""
		secrets = self.pods.core.list_namespaced_secret
		(token,) = eventually(
			lambda: [
				it.data["token"]
				for it in secrets(self.pods.namespace).items
				if (it.metadata.annotations or {}).get("kubernetes.io/service-account.name") == account
				and "token" in (it.data or {})
			],
			"it has a token",
		)
		words = ["kubectl", "--kubeconfig", KUBECONFIG, "config", "view", "--raw", "-o", "json"]
		known = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
		known["users"][0]["user"] = {"token": base64.b64decode(token).decode()}
		file = self.bench / f"{account}.json"
		file.write_text(json.dumps(known))
		file.chmod(0o600)
		return str(file)


PROBE = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
#: Whoever sends requests hears of a pod's end a moment after the pod does
LINGERS = {"preStop": {"exec": {"command": ["sleep", "3"]}}}


class TestWeb(KubernetesRestartCase):
	"""A real gunicorn in pods behind a Service, whose Endpoints are those that Kubernetes keeps."""

	def setUp(self) -> None:
		super().setUp()
		(self.bench / "env/bin/gunicorn").write_text(GUNICORN)
		(self.bench / "sites/app.py").write_text(APPLICATION)

	def begin(self, replicas: int, **about: object) -> None:
		words = [sys.executable, f"{self.bench}/env/bin/gunicorn", "--preload", "--bind=0.0.0.0:8000"]
		words += [f"--chdir={self.bench}/sites", "--worker-tmp-dir=/tmp", "app:application"]
		self.deploy("gunicorn", words, replicas=replicas, probe=PROBE, **about)
		own = {"app.kubernetes.io/instance": "erp-gunicorn"}
		service = {"metadata": {"name": "web"}, "spec": {"selector": own, "ports": [{"port": 8000}]}}
		self.pods.core.create_namespaced_service(self.pods.namespace, service)
		eventually(lambda: len(self.endpoints()) == replicas, "all are ready", deadline=60)

	def endpoints(self) -> list[str]:
		told = self.pods.core.list_namespaced_endpoints(self.pods.namespace).items
		return [it.ip for one in told for subset in one.subsets or [] for it in subset.addresses or []]

	def ask(self, number: int) -> bool:
		"""One ready pod after the other, as a Service does, and nobody else where one gives no answer."""
		addresses = self.endpoints()
		return bool(addresses) and is_answered(f"{addresses[number % len(addresses)]}:8000")

	def restart(self, **options: object) -> Visitors:
		before = self.programs()
		self.assertEqual(list(before), [WEB])
		with Visitors(self.ask) as visitors:
			report = self.operation(Strategy.WAIT_WORKERS, web=True, workers=False, **options).run()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assert_all_new(before)
		self.assertGreater(visitors.answered, 50)
		return visitors

	def test_one_pod_makes_way_when_its_successor_is_ready_and_no_request_fails(self):
		self.begin(1, lifecycle=LINGERS)
		self.assertEqual(self.programs()[WEB].gap, "")
		self.assertEqual(self.restart().failed, 0)

	def test_so_do_three(self):
		self.begin(3, lifecycle=LINGERS)
		self.assertEqual(self.restart().failed, 0)
		self.assertEqual(len(self.pods.running(WEB, 3)), 3)

	def test_what_costs_requests_is_told(self):
		self.begin(1, strategy={"type": "Recreate"})
		self.assertIn("strategy Recreate", self.programs()[WEB].gap)
		self.assertGreater(self.restart().failed, 0)
		(told,) = self.told(events.WebCannotLinger)
		self.assertIn("strategy Recreate", told.reason)

	def test_where_new_code_does_not_come_up_old_web_serves_and_workers_keep_the_old_code(self):
		self.begin(1, lifecycle=LINGERS)
		self.deploy("worker-l", self.rq.worker_command("long"))
		eventually(lambda: self.programs()[LONG].pid, "its node says that it runs", deadline=60)
		before = self.programs()
		operation = self.operation(Strategy.WAIT_WORKERS, web=True)
		(self.bench / "sites/app.py").write_text("raise SystemExit('no such table')")
		with Visitors(self.ask) as visitors, self.assertRaises(ProcessFault) as caught:
			operation.run()
		self.assertEqual(caught.exception.exit_code, 4)
		(stopped,) = self.told(events.RollingStopped)
		self.assertEqual((stopped.failed, stopped.not_replaced), ((WEB,), (LONG,)))
		(failed,) = self.told(events.ProcessFailed)
		self.assertIn("no such table", failed.log_tail)
		self.assertTrue(self.programs()[LONG].is_same_as(before[LONG]))
		self.assertEqual(visitors.failed, 0)
		# And once it is repaired the same command goes on
		(self.bench / "sites/app.py").write_text(APPLICATION)
		self.facts.clear()
		self.assertEqual(self.operation(Strategy.WAIT_WORKERS, web=True).run().outcome, Phase.DONE)
		self.assertTrue(is_answered(f"{self.endpoints()[0]}:8000"))


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
