"""
What runs on a real node of Kubernetes: the contract of process managers, whose a Deployment is, permission. test_kubernetes.py
begins it there.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import unittest
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import ClassVar

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.kubernetes.api import Access, Api
from fmx_restart.adapters.managers.kubernetes.namespace import GOOD_FOR, Namespace
from fmx_restart.adapters.managers.kubernetes.processes import KubernetesProcesses
from fmx_restart.adapters.managers.kubernetes.workloads import KEPT
from fmx_restart.doctor.bench_view import BenchAccess, BenchView
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.pods import INSIDE, Pods
from fmx_restart.tests.adapters.processes_contract import KillContract, ProcessesContract
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually

KUBECONFIG = os.environ.get("KUBECONFIG", "")
SELECTOR = "app.kubernetes.io/instance=erp"
#: A kubelet before 1.22 goes on with the grace that it has begun with, whatever it is told later
GRACE = 5
#: Of pods that no node takes, so that none has to tidy up after them
NOWHERE = {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}


class KubernetesCase(unittest.TestCase):
	"""Each test has a bench and a namespace of its own."""

	def setUp(self) -> None:
		super().setUp()
		self.clock = SystemClock()
		self.bench = make_bench(short_folder(self) / "bench")
		self.pods = Pods(self.bench.parent)
		self.addCleanup(self.pods.remove)

	def deploy(self, program: str, command: str, **about: object) -> str:
		words = command.split()
		args = [f"{self.bench}/env/bin/{words[0]}", *words[1:]]
		about = {"sites": self.bench / "sites", "at": self.bench, "grace": GRACE, **about}
		return self.pods.deploy(program, args, self.bench, **about)

	def processes_of(
		self, selector: str = SELECTOR, claim: str = "", api: Api | None = None
	) -> KubernetesProcesses:
		api = api or Api(Access(KUBECONFIG))
		namespace = Namespace(api, self.pods.namespace, str(self.bench), selector=selector, claim=claim)
		return KubernetesProcesses(namespace, source="a test")


class TestContract(KillContract, ProcessesContract, KubernetesCase):
	WEB, SLOW, STUBBORN, CRASHING = (
		f"erp-erpnext-{it}" for it in ("gunicorn", "worker-s", "worker-l", "scheduler")
	)
	KINDS: ClassVar = {
		WEB: ProcessKind.WEB,
		SLOW: ProcessKind.WORKER,
		STUBBORN: ProcessKind.WORKER,
		CRASHING: ProcessKind.SCHEDULER,
	}
	COMMANDS: ClassVar = {
		"gunicorn": "gunicorn frappe.app:application slow",
		"worker-s": "bench worker --queue short slow",
		"worker-l": "bench worker --queue long refuses",
		"scheduler": "bench schedule crashes",
	}
	POLL = 0.1
	NOBODY = "nobody"
	CRASHED = "it ended with exit code 1"
	HAS_OWN_PIDS = False  # each is the first process of its container

	def setUp(self) -> None:
		super().setUp()
		for program, command in self.COMMANDS.items():
			self.deploy(program, command, replicas=int(program != "scheduler"))
		for name in (self.WEB, self.SLOW, self.STUBBORN):
			self.pods.running(name)
		self.processes = self.processes_of()
		self.texts: dict[str, str] = {}

	def group_of(self, name: str) -> str:
		return name

	def log_of(self, name: str) -> str:
		"""A pod takes its log with it, and its node answers for a while that there is none: what was read before stays."""
		for pod in self.pods.of(name):
			if pod.metadata.deletion_timestamp and pod.metadata.uid in self.texts:
				continue
			read = self.pods.core.read_namespaced_pod_log
			with suppress(ApiException):  # it has not begun
				self.texts[pod.metadata.uid] = read(pod.metadata.name, self.pods.namespace)
		return "".join(self.texts.values())

	def end_from_outside(self, name: str) -> None:
		self.pods.kill(name)

	def test_its_settings_name_all_that_it_runs_on_this_machine(self):
		self.assertEqual(self.processes.settings().pids, frozenset())  # their pids mean nothing here

	def test_the_start_command_names_each_program(self):
		words = shlex.split(self.processes.start_command([self.WEB, self.SLOW]))
		wanted = [f"deployment/{it}" for it in (self.WEB, self.SLOW)]
		self.assertEqual(words[-4:], ["scale", "--replicas=1", *wanted])


class LateApi(Api):
	"""Before each deletion something else happens."""

	before: Callable[[], object]

	def delete(self, path: str, body: Mapping) -> bool:
		self.before()
		return super().delete(path, body)


class TestStart(KubernetesCase):
	"""Of a program that is down, in the moment in which its node starts it."""

	def test_a_pod_whose_container_runs_again_meanwhile_is_not_deleted(self):
		# Given a container that cannot be made yet
		name = self.deploy("worker-l", "bench worker --queue long slow", replicas=0)
		lacks = {"name": "long", "envFrom": [{"configMapRef": {"name": "later"}}]}
		body = {"spec": {"replicas": 1, "template": {"spec": {"containers": [lacks]}}}}
		self.pods.apps.patch_namespaced_deployment(name, self.pods.namespace, body)
		processes = self.processes_of(api=LateApi(Access(KUBECONFIG)))

		def state() -> ProcessState:
			return processes.list()[0].state

		eventually(lambda: state() is ProcessState.FAILED, "it has failed", deadline=60)
		(before,) = self.pods.of(name)
		# When its node makes it between our last look and our order
		processes.api.before = self.let_it_run
		self.assertEqual(processes.order(start=[name]), {})
		# Then its pod is the same, and runs on
		(after,) = self.pods.of(name)
		self.assertEqual(after.metadata.uid, before.metadata.uid)
		self.assertIsNone(after.metadata.deletion_timestamp)
		self.assertIs(state(), ProcessState.RUNNING)

	def test_one_that_could_not_be_told_to_end_and_starts_anew_by_itself_runs(self):
		name = self.deploy("worker-l", "bench worker --queue long slow")
		self.pods.running(name)
		processes = self.processes_of(api=LateApi(Access(KUBECONFIG)))
		(before,) = processes.list()

		def get_lost() -> None:
			raise ProcessFault("the network is away")

		processes.api.before = get_lost
		self.assertEqual(list(processes.order(leave=[name])), [name])
		self.assertIs(processes.list()[0].state, ProcessState.STOPPING)
		self.pods.kill(name)

		def is_another() -> bool:
			(now,) = processes.list()
			return now.state is ProcessState.RUNNING and not now.is_same_as(before)

		eventually(is_another, "it has started anew", deadline=60)

	def let_it_run(self) -> None:
		wanted = {"metadata": {"name": "later"}, "data": {"A": "b"}}
		self.pods.core.create_namespaced_config_map(self.pods.namespace, wanted)
		self.pods.running("erp-erpnext-worker-l")


class TestWhose(KubernetesCase):
	"""As the chart has them: in each pod the bench lies at one path, and only the volume of its sites tells whose it is."""

	def setUp(self) -> None:
		super().setUp()
		self.claim = self.pods.claim("erp-erpnext", self.bench / "sites")
		self.other = make_bench(short_folder(self) / "bench")
		self.others_claim = self.pods.claim("other-erpnext", self.other / "sites")

	def deploy_as_chart(self, program: str, args: str, claim: str, **about: object) -> str:
		words = args.split()
		# of a release, with nothing that runs: whose it is can be told
		return self.pods.deploy(program, words, f"{INSIDE}/sites", claim=claim, **{"replicas": 0, **about})

	def deploy_chart(self) -> None:
		self.deploy_as_chart("gunicorn", "", self.claim)
		self.deploy_as_chart("nginx", "nginx-entrypoint.sh", self.claim)
		self.deploy_as_chart("scheduler", "bench schedule", self.claim)
		self.deploy_as_chart("worker-l", "bench worker --queue long,default,short", self.claim)

	def names(self, **about: str) -> list[str]:
		return sorted(it.name.removeprefix("erp-erpnext-") for it in self.processes_of(**about).list())

	def test_the_charts_deployments_are_programs_and_nginx_stays(self):
		self.deploy_chart()
		programs = {it.name.removeprefix("erp-erpnext-"): it for it in self.processes_of().list()}
		self.assertEqual(
			{name: it.kind for name, it in programs.items()},
			{
				"gunicorn": ProcessKind.WEB,
				"nginx": ProcessKind.OTHER,
				"scheduler": ProcessKind.SCHEDULER,
				"worker-l": ProcessKind.WORKER,
			},
		)
		self.assertEqual([name for name, it in programs.items() if it.stays], ["nginx"])
		self.assertIn("rollout restart deployment/erp-erpnext-nginx", programs["nginx"].stays.remedies[0])

	def test_a_neighbour_with_the_same_labels_is_never_ours(self):
		self.deploy_chart()
		seen_before = self.processes_of()
		names = [it.name for it in seen_before.list()]
		self.deploy_as_chart("worker-s", "bench worker --queue short", self.others_claim)
		time.sleep(GOOD_FOR)
		self.assertEqual([it.name for it in seen_before.list()], names)  # it does not stop a restart half-way
		with self.assertRaises(ProcessFault) as caught:
			self.names()
		self.assertIn("several benches", str(caught.exception))
		self.assertEqual(self.names(claim=self.claim), ["gunicorn", "nginx", "scheduler", "worker-l"])
		self.assertEqual(self.names(claim=self.others_claim), ["worker-s"])
		self.assertEqual(self.names(claim="nobodys"), [])
		with self.assertRaises(ProcessFault):
			self.names(selector="app.kubernetes.io/instance in (erp")  # the API server says so

	def test_what_a_person_has_scaled_back_is_that_persons_to_stop(self):
		name = self.deploy_as_chart("worker-l", "bench worker --queue long", self.claim, spec=NOWHERE)
		self.scale(name, 0, kept="2")  # as an operation that died has left it
		processes = self.processes_of()
		self.assertIs(processes.list()[0].state, ProcessState.FAILED)
		self.scale(name, 1)
		time.sleep(GOOD_FOR)
		processes.list()
		processes.order(start=[name])
		self.scale(name, 0)
		eventually(
			lambda: processes.list()[0].state is ProcessState.STOPPED, "it is down on purpose", deadline=60
		)

	def scale(self, name: str, replicas: int, **kept: str) -> None:
		about = {"annotations": {KEPT: kept["kept"]}} if kept else {}
		body = {"metadata": about, "spec": {"replicas": replicas}}
		self.pods.apps.patch_namespaced_deployment(name, self.pods.namespace, body)

	def test_an_autoscaler_is_named_and_does_nothing_while_all_pods_are_down(self):
		about = {"replicas": 2, "spec": NOWHERE}
		name = self.deploy_as_chart("worker-l", "bench worker --queue long", self.claim, **about)
		autoscaler = {"metadata": {"name": "loads"}, "spec": {"minReplicas": 1, "maxReplicas": 4}}
		autoscaler["spec"]["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
		self.autoscaling.create_namespaced_horizontal_pod_autoscaler(self.pods.namespace, autoscaler)
		processes = self.processes_of()
		self.assertEqual({it.scaled_by for it in processes.list()}, {"hpa/loads"})
		# When all are stopped, and what it wants changes meanwhile
		names = [it.name for it in processes.list()]
		self.assertEqual(processes.order(stop=names), {})
		eventually(self.is_switched_off, "it has seen that", deadline=60)
		self.autoscaling.patch_namespaced_horizontal_pod_autoscaler(
			"loads", self.pods.namespace, {"spec": {"minReplicas": 3}}
		)
		self.assertEqual(self.replicas(name), 0)
		# Then it sets the number again only once they are started
		self.assertEqual(processes.order(start=names), {})
		self.assertEqual(self.replicas(name), 2)
		eventually(lambda: self.replicas(name) == 3, "it sets it again", deadline=60)

	@property
	def autoscaling(self) -> client.AutoscalingV1Api:
		return client.AutoscalingV1Api(self.pods.core.api_client)

	def is_switched_off(self) -> bool:
		read = self.autoscaling.read_namespaced_horizontal_pod_autoscaler
		told = (read("loads", self.pods.namespace).metadata.annotations or {}).values()
		return "ScalingDisabled" in "".join(told)

	def replicas(self, name: str) -> int:
		return self.pods.apps.read_namespaced_deployment(name, self.pods.namespace).spec.replicas

	def test_from_a_pod_of_the_bench_its_own_are_found_without_a_setting(self):
		self.deploy_chart()
		self.deploy_as_chart("worker-s", "bench worker --queue short", self.others_claim)
		(self.bench / "sites/inside.py").write_text(ASKS)
		rules = [
			{
				"apiGroups": ["apps"],
				"resources": ["deployments", "statefulsets"],
				"verbs": ["get", "list", "patch"],
			},
			{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete"]},
		]
		told = self.output_inside(self.pods.account("restarts", rules))
		self.assertEqual(told[0], f"{self.pods.namespace} gunicorn inside nginx scheduler worker-l")
		self.assertIn("inside cannot be restarted from its own pod", told[1])
		self.assertEqual(told[2], "None")

	def test_from_a_pod_without_the_right_the_role_is_told(self):
		(self.bench / "sites/inside.py").write_text(ASKS)
		told = "\n".join(self.output_inside(self.pods.account("nobody", [])))
		self.assertIn("this is a pod of Kubernetes, whose API is not used", told)
		self.assertIn(f"the account system:serviceaccount:{self.pods.namespace}:nobody", told)
		self.assertIn("kind: RoleBinding", told)

	def output_inside(self, account: str) -> list[str]:
		"""Of ASKS, which runs in a worker's pod as far as its command tells."""
		words = [sys.executable, f"{INSIDE}/sites/inside.py", "bench", "worker"]
		environment = {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
		about = {"account": account, "environment": environment, "claim": self.claim}
		name = self.pods.deploy("inside", words, f"{INSIDE}/sites", **about)
		told = eventually(
			lambda: text if "the end" in (text := self.pods.log(name)) or "Traceback" in text else "",
			"it has asked",
			deadline=60,
		)
		return told.splitlines()

	def test_the_doctor_names_workers_whose_pods_are_killed_before_their_jobs_can_end(self):
		self.deploy_as_chart("worker-l", "bench worker --queue long", self.claim)
		self.deploy_as_chart("worker-s", "bench worker --queue short", self.claim, grace=360)
		processes = self.processes_of()
		ways = {
			**dict.fromkeys(BenchAccess.__dataclass_fields__),
			"processes": lambda: processes,
			"config": dict,
		}
		found = run_checks(BenchView(str(self.bench), "bench", BenchAccess(**ways)), ["stop-grace"]).findings
		(finding,) = found
		self.assertEqual((finding.severity.value, finding.subject), ("error", "erp-erpnext-worker-l"))
		self.assertIn(
			"Kubernetes kills it 30 s after the order to stop, but its jobs may run for 25 min", finding.text
		)
		# and what it says to type mends it
		subprocess.run(shlex.split(finding.remedy.partition(": ")[2]), check=True, capture_output=True)
		self.assertEqual(processes_grace(self.processes_of(), "erp-erpnext-worker-l"), 1560)


def processes_grace(processes: KubernetesProcesses, name: str) -> float:
	return next(it.stop_seconds for it in processes.settings().programs if it.name == name)


ASKS = f"""
import signal, sys
from fmx_restart.adapters.managers.kubernetes.kind import KIND
from fmx_restart.engine.errors import ProcessFault
search = KIND.find({INSIDE!r}, {{}}, ())
for refusal in search.refusals:
	print(refusal.message, refusal.hint)
for found in search.found:
	names = sorted(it.name for it in found.processes.list())
	print(found.name, *(name.rpartition("-erpnext-")[2] for name in names), flush=True)
	for name in ("inside", "worker-l"):
		try:
			print(found.processes.check_orders([it for it in names if it.endswith(name)]))
		except ProcessFault as fault:
			print(str(fault).replace("erp-erpnext-", ""), fault.hint)
print("the end", flush=True)
signal.pause()
"""


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
