"""
Deployments on a real node of Kubernetes, as the chart frappe/helm makes them: one for each program, with its labels, and the
bench's sites folder from a claim. This runs inside of the node's machine.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.errors import APIError
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from development.managers.docker import IMAGE
from development.managers.kubernetes.components import ADDRESS, FOLDER, KUBECONFIG, PORT
from development.running import last_lines
from fmx_restart.tests.adapters.containers import URL, folders_of_python
from fmx_restart.tests.adapters.waiting import eventually

#: Of each bench in its image
INSIDE = "/home/frappe/frappe-bench"
#: The chart names the containers of workers by their queue
CONTAINERS = {"worker-d": "default", "worker-s": "short", "worker-l": "long"}
SIZE = {"storage": "1Gi"}
#: Seconds. When the API was away, Kubernetes' own programs look for it again after up to half a minute
PATIENCE = 120.0
BRIEF = (1, 1)  # seconds to connect and to read; the client ignores one number that is no whole one
SHARED = ["ReadWriteMany"]


class Pods:
	"""
	A namespace of its own. `folder`: what the pods see, besides the interpreter and this checkout. `release`: whose Deployments
	are called RELEASE-erpnext-worker-l and so on.
	"""

	def __init__(self, folder: Path, release: str = "erp") -> None:
		self._api = config.new_client_from_config(KUBECONFIG)
		self.core, self.apps = client.CoreV1Api(self._api), client.AppsV1Api(self._api)
		self.roles = client.RbacAuthorizationV1Api(self._api)
		self.namespace, self.release = f"test-{uuid.uuid4().hex[:8]}", release
		self._shared = [(it, True) for it in folders_of_python()]
		self._claims: list[str] = []
		self.core.create_namespace({"metadata": {"name": self.namespace}})
		eventually(lambda: self._exists("default"), "the namespace has an account", deadline=PATIENCE)
		self.see(folder)

	def _exists(self, account: str) -> bool:
		names = self.core.list_namespaced_service_account(self.namespace).items
		return account in [it.metadata.name for it in names]

	def see(self, folder: Path) -> None:
		"""Of all that are made from now on."""
		self._shared.append((str(folder), False))

	def claim(self, name: str, folder: Path) -> str:
		"""A PersistentVolumeClaim of a folder of this machine. Its name."""
		volume = f"{self.namespace}-{name}"
		common = {"accessModes": SHARED, "storageClassName": ""}
		kept = {
			"capacity": SIZE,
			"hostPath": {"path": str(folder)},
			"persistentVolumeReclaimPolicy": "Retain",
		}
		self.core.create_persistent_volume({"metadata": {"name": volume}, "spec": {**common, **kept}})
		self._claims.append(volume)
		wanted = {**common, "volumeName": volume, "resources": {"requests": SIZE}}
		body = {"metadata": {"name": name}, "spec": wanted}
		self.core.create_namespaced_persistent_volume_claim(self.namespace, body)
		# else the scheduler looks at its pods again only after a while
		eventually(lambda: self._is_bound(name), f"{name} has its volume", deadline=PATIENCE)
		return name

	def _is_bound(self, claim: str) -> bool:
		read = self.core.read_namespaced_persistent_volume_claim
		return read(claim, self.namespace).status.phase == "Bound"

	def account(self, name: str, rules: Sequence[Mapping[str, Sequence[str]]]) -> str:
		"""A ServiceAccount that may do what the rules of its Role say. Its name."""
		meta, group = {"metadata": {"name": name}}, "rbac.authorization.k8s.io"
		self.core.create_namespaced_service_account(self.namespace, meta)
		self.roles.create_namespaced_role(self.namespace, {**meta, "rules": list(rules)})
		subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
		role = {"apiGroup": group, "kind": "Role", "name": name}
		binding = {**meta, "subjects": [subject], "roleRef": role}
		self.roles.create_namespaced_role_binding(self.namespace, binding)
		return name

	def deploy(self, program: str, args: Sequence[str], folder: Path | str, **about: Any) -> str:
		"""
		The name of its Deployment. `program`: as in the chart, such as worker-l. `claim`: with the sites; `sites`: a folder in its
		place; `at`: the bench in the container. `replicas`, `labels` of the Deployment, `strategy`, and of its pods `grace` in
		seconds, `probe`, `lifecycle`, `environment`, `account`, and `spec` for all else of theirs.
		"""
		name = f"{self.release}-erpnext-{program}"
		own = {
			"app.kubernetes.io/name": f"erpnext-{program}",
			"app.kubernetes.io/instance": f"{self.release}-{program}",
		}
		pod = {
			"metadata": {"labels": {**own, "app.kubernetes.io/app": "frappe"}},
			"spec": self._pod(program, list(args), str(folder), about),
		}
		spec = {"replicas": about.get("replicas", 1), "selector": {"matchLabels": own}, "template": pod}
		if "strategy" in about:
			spec["strategy"] = about["strategy"]
		labels = {**self._labels(), **about.get("labels", {})}
		body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
		self.apps.create_namespaced_deployment(self.namespace, body)
		return name

	def _labels(self) -> dict[str, str]:
		return {
			"helm.sh/chart": "erpnext-8.0.75",
			"app.kubernetes.io/name": "erpnext",
			"app.kubernetes.io/instance": self.release,
			"app.kubernetes.io/managed-by": "Helm",
		}

	def _pod(self, program: str, args: list[str], folder: str, about: Mapping[str, Any]) -> dict[str, Any]:
		container: dict[str, Any] = {
			"name": CONTAINERS.get(program, program),
			"image": IMAGE,
			"imagePullPolicy": "Never",
			"args": args,
			"workingDir": folder,
			"env": [{"name": name, "value": value} for name, value in about.get("environment", {}).items()],
			"volumeMounts": [],
		}
		for given, wanted in (("probe", "readinessProbe"), ("lifecycle", "lifecycle")):
			if about.get(given):
				container[wanted] = about[given]
		volumes = self._volumes(container["volumeMounts"], about)
		spec = {"containers": [container], "volumes": volumes, "dnsPolicy": "Default"}
		for given, wanted in (("grace", "terminationGracePeriodSeconds"), ("account", "serviceAccountName")):
			if about.get(given) is not None:
				spec[wanted] = about[given]
		return {**spec, **about.get("spec", {})}

	def _volumes(self, mounts: list[dict[str, Any]], about: Mapping[str, Any]) -> list[dict[str, Any]]:
		volumes = []
		for number, (path, is_read_only) in enumerate(self._shared):
			volumes.append({"name": f"shared-{number}", "hostPath": {"path": path}})
			mounts.append({"name": f"shared-{number}", "mountPath": path, "readOnly": is_read_only})
		sites: dict[str, Any] = {}
		if "claim" in about:
			sites = {"persistentVolumeClaim": {"claimName": about["claim"]}}
		elif "sites" in about:
			sites = {"hostPath": {"path": str(about["sites"])}}
		if sites:
			volumes.append({"name": "sites-dir", **sites})
			mounts.append({"name": "sites-dir", "mountPath": f"{about.get('at', INSIDE)}/sites"})
		return volumes

	def of(self, deployment: str) -> list[client.V1Pod]:
		"""Its pods, those that are ending too, the oldest first."""
		(wanted,) = (
			it.spec.selector.match_labels
			for it in self.apps.list_namespaced_deployment(self.namespace).items
			if it.metadata.name == deployment
		)
		selector = ",".join(f"{name}={value}" for name, value in wanted.items())
		pods = self.core.list_namespaced_pod(self.namespace, label_selector=selector).items
		return sorted(pods, key=lambda it: (it.metadata.creation_timestamp, it.metadata.name))

	def running(self, deployment: str, count: int = 1) -> list[client.V1Pod]:
		"""Its pods, when so many run and no others are there."""

		def found() -> list[client.V1Pod]:
			pods = self.of(deployment)
			return pods if len(pods) == count and all(it.status.phase == "Running" for it in pods) else []

		return eventually(found, f"{count} pods of {deployment} run", deadline=PATIENCE)

	def log(self, deployment: str) -> str:
		"""Of the pods that it has now, and of what ran in them before."""
		texts = []
		for pod in self.of(deployment):
			for is_previous in (True, False):
				with suppress(ApiException):  # nothing ran in it yet, or before
					read = self.core.read_namespaced_pod_log
					texts.append(read(pod.metadata.name, self.namespace, previous=is_previous))
		return "".join(texts)

	def kill(self, deployment: str, number: str = "KILL") -> None:
		"""What runs in its pods gets the signal, from outside of Kubernetes."""
		dockerd = APIClient(base_url=URL, timeout=60)
		for pod in self.of(deployment):
			for status in pod.status.container_statuses or []:
				with suppress(APIError):  # it has ended meanwhile
					dockerd.kill((status.container_id or "").removeprefix("docker://"), number)
		dockerd.close()

	def remove(self) -> None:
		"""All of it, whatever it does. Kubernetes goes on with that when this returns."""
		self.core.delete_namespace(self.namespace)
		at_once = client.V1DeleteOptions(grace_period_seconds=0)
		self.apps.delete_collection_namespaced_deployment(self.namespace)
		self.core.delete_collection_namespaced_pod(self.namespace, body=at_once)
		for name in self._claims:
			self.core.delete_persistent_volume(name)
		self._api.close()


class ApiServer:
	"""The node's, for a test that takes it away for a while."""

	@property
	def pid(self) -> int:
		return int(Path(f"{FOLDER}/apiserver.pid").read_text())

	def hang(self) -> None:
		os.kill(self.pid, signal.SIGSTOP)

	def go_on(self) -> None:
		os.kill(self.pid, signal.SIGCONT)

	def kill(self) -> None:
		"""Returns when its port is free: the threads of a dead process may still have that."""
		os.kill(self.pid, signal.SIGKILL)
		eventually(self._has_no_port, "the port of the API is free")

	def _has_no_port(self) -> bool:
		try:
			socket.create_connection((ADDRESS, PORT), 1).close()
		except ConnectionRefusedError:
			return True
		return False

	def start(self) -> subprocess.Popen:
		"""Returns when it answers. It ends with the node at the latest."""
		file = Path("/tmp/apiserver.log")
		with file.open("a") as log:
			process = subprocess.Popen([f"{FOLDER}/start/apiserver"], stdout=log, stderr=log)
		eventually(lambda: process.poll() is not None or self.answers(), "it answers", deadline=PATIENCE)
		assert process.returncode is None, last_lines(file)
		return process

	def answers(self) -> bool:
		try:
			with config.new_client_from_config(KUBECONFIG) as api:
				return client.VersionApi(api).get_code(_request_timeout=BRIEF).major == "1"
		except (ApiException, HTTPError):
			return False
