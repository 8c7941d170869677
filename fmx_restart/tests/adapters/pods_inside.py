"""What runs inside of a Kubernetes node: that it is a real one, and that its pods are as those of the chart. test_managers.py begins it there."""

from __future__ import annotations

import os
import sys
import unittest

from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from urllib3.exceptions import HTTPError

from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.pods import BRIEF, INSIDE, ApiServer, Pods
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually

WORKER = "worker-l"
READING = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
ASKS = """
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
config.load_incluster_config()
core, namespace = client.CoreV1Api(), open("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read()
print(len(core.list_namespaced_pod(namespace).items), flush=True)
try:
	core.list_namespaced_secret(namespace)
except ApiException as error:
	print(error.status, flush=True)
import signal
signal.pause()
"""


class TestNode(unittest.TestCase):
	def setUp(self) -> None:
		self.bench = make_bench(short_folder(self) / "bench")
		self.pods = Pods(self.bench.parent)
		self.addCleanup(self.pods.remove)
		self.claim = self.pods.claim("erp-erpnext", self.bench / "sites")

	def deploy(self, program: str = WORKER, behaviour: str = "slow", **about: object) -> str:
		words = [f"{self.bench}/env/bin/bench", "worker", behaviour]
		return self.pods.deploy(program, words, f"{INSIDE}/sites", claim=self.claim, **about)

	def ready(self, name: str, count: int = 1) -> list:
		pods = self.pods.running(name, count)
		eventually(lambda: self.pods.log(name).count("ready") == count, "they run")
		return pods

	def output_of(self, pod: str, *command: str) -> str:
		ask = self.pods.core.connect_get_namespaced_pod_exec
		return stream(ask, pod, self.pods.namespace, command=list(command), stdout=True, stderr=True)

	def test_a_worker_runs_as_the_chart_has_it_and_sees_the_sites(self):
		(self.bench / "sites/apps.txt").write_text("frappe\n")
		name = self.deploy(replicas=2, grace=60)
		one, two = self.ready(name, 2)
		self.assertEqual(name, "erp-erpnext-worker-l")
		self.assertEqual(one.metadata.labels["app.kubernetes.io/instance"], "erp-worker-l")
		self.assertEqual(
			(one.spec.containers[0].name, one.spec.termination_grace_period_seconds), ("long", 60)
		)
		self.assertNotEqual(one.status.pod_ip, two.status.pod_ip)
		for pod in (one, two):
			told = self.output_of(pod.metadata.name, "cat", "apps.txt", "/proc/sys/kernel/hostname")
			self.assertEqual(told, f"frappe\n{pod.metadata.name}\n")

	def test_a_rollout_replaces_the_pod_and_what_is_killed_starts_again(self):
		name = self.deploy()
		(before,) = self.ready(name)
		annotations = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}
		body = {"spec": {"template": annotations}}
		self.pods.apps.patch_namespaced_deployment(name, self.pods.namespace, body)
		eventually(lambda: before.metadata.uid not in {it.metadata.uid for it in self.pods.of(name)}, "gone")
		(after,) = self.ready(name)
		self.pods.kill(name)
		eventually(
			lambda: self.pods.running(name)[0].status.container_statuses[0].restart_count == 1, "again"
		)
		self.assertEqual(self.pods.running(name)[0].metadata.uid, after.metadata.uid)

	def test_from_a_pod_the_api_is_reached_and_allows_what_the_role_says(self):
		account = self.pods.account("restarter", [READING])
		paths = os.pathsep.join([str(CHECKOUT), *sys.path])
		environment = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
		words = [sys.executable, "-c", ASKS]
		name = self.pods.deploy("scheduler", words, "/", account=account, environment=environment)
		self.pods.running(name)
		eventually(lambda: self.pods.log(name) == "1\n403\n", self.pods.log(name))

	def test_the_api_server_goes_away_and_comes_back(self):
		server, listed = ApiServer(), self.pods.core.list_namespaced_pod
		server.hang()
		self.addCleanup(server.go_on)
		with self.assertRaisesRegex(HTTPError, "timed out"):
			listed(self.pods.namespace, _request_timeout=BRIEF)
		server.go_on()
		self.assertEqual(listed(self.pods.namespace).items, [])
		server.kill()
		process = server.start()
		self.addCleanup(process.poll)
		self.assertEqual(process.pid, server.pid)
		with self.assertRaises(ApiException):
			self.pods.core.read_namespaced_pod("nobody", self.pods.namespace)


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
