"""A Deployment or StatefulSet as the API server describes it: what its pods run, how many there are to be, how they are replaced."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.adapters.managers.kubernetes.api import Resource
from fmx_restart.adapters.managers.names import SERVERS
from fmx_restart.adapters.process_kinds import is_data_store, kind_of
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind

DEPLOYMENT, STATEFUL_SET = "Deployment", "StatefulSet"
PLURALS = {DEPLOYMENT: "deployments", STATEFUL_SET: "statefulsets"}
#: How many pods there were before we stopped them all: it outlives us
KEPT = "fmx-restart/replicas"
#: As `kubectl rollout restart` sets it: helm and others know to leave it
RESTARTED = "kubectl.kubernetes.io/restartedAt"
DEFAULT_GRACE = 30.0  # seconds from TERM to KILL where nobody sets them
HASH = "pod-template-hash"  # of a Deployment's pods: part of the name of their ReplicaSet
HELM_RELEASE = "meta.helm.sh/release-name"
#: frappe/helm runs its web by the image's own command, so nothing else in the pod's description says what it is
WEB_NAME = "gunicorn"


@frozen
class Workload(Resource):
	"""What the API server tells of one."""

	kind: str
	told: Mapping[str, Any]

	@property
	def reference(self) -> str:
		"""As kubectl takes it."""
		return f"{self.kind.lower()}/{self.name}"

	@property
	def replicas(self) -> int:
		"""How many pods there are to be now."""
		number = self.spec.get("replicas")
		return 1 if number is None else int(number)

	@property
	def kept(self) -> int:
		"""How many there were before an operation stopped all; 0 where none did."""
		number = str((self.meta.get("annotations") or {}).get(KEPT, ""))
		return int(number) if number.isdigit() and len(number) < 6 else 0

	@property
	def wanted(self) -> int:
		"""How many pods there are when it is up."""
		return self.replicas or self.kept

	@property
	def labels(self) -> Mapping[str, str]:
		"""That each of its pods has."""
		return (self.spec.get("selector") or {}).get("matchLabels") or {}

	@property
	def template(self) -> Mapping[str, Any]:
		"""Of its pods."""
		return (self.spec.get("template") or {}).get("spec") or {}

	@property
	def container(self) -> Mapping[str, Any]:
		"""The first that runs a program of a bench; the first of all where none does."""
		containers = self.template.get("containers") or [{}]
		return next((it for it in containers if kind_in(it)), containers[0])

	@property
	def words(self) -> tuple[str, ...]:
		"""What it runs, as far as the image does not say. Never to be shown."""
		return words_of(self.container)

	@property
	def program(self) -> ProcessKind | None:
		"""None for what is no program of a bench."""
		return kind_in(self.container)

	@property
	def is_pool(self) -> bool:
		"""Workers below a process that is none of them."""
		return bench_command(split_words(self.words)) == "worker-pool"

	@property
	def is_strange(self) -> bool:
		"""A database, or what a supervisord in it steers."""
		words = split_words(self.words)
		is_store = is_data_store(words) and not kind_of(words)  # a worker's command may name its Redis
		return is_store or any(server in word for word in words for server in SERVERS)

	@property
	def grace(self) -> float:
		"""Seconds from TERM to KILL."""
		seconds = self.template.get("terminationGracePeriodSeconds")
		return DEFAULT_GRACE if seconds is None else float(seconds)

	@property
	def has_machines_network(self) -> bool:
		"""Its pods have the host name of their machine."""
		return bool(self.template.get("hostNetwork"))

	@property
	def release(self) -> str:
		"""Of helm; empty where that did not make it."""
		annotations = self.meta.get("annotations") or {}
		return str(annotations.get(HELM_RELEASE, ""))

	def owns(self, pod: Mapping[str, Any]) -> bool:
		"""By the reference that its controller has set; labels can be anybody's."""
		meta = pod.get("metadata") or {}
		owner = next((it for it in meta.get("ownerReferences") or () if it.get("controller")), {})
		if self.kind == STATEFUL_SET:
			return owner.get("uid") == self.meta.get("uid")
		owners = f"{self.name}-{(meta.get('labels') or {}).get(HASH, '')}"
		return owner.get("kind") == "ReplicaSet" and owner.get("name") == owners

	@property
	def is_rolled_out(self) -> bool:
		"""Its controller has seen all that it is to be, and its pods are of the newest template and available."""
		status = self.status
		has_seen = (status.get("observedGeneration") or 0) >= (self.meta.get("generation") or 0)
		updated, available = status.get("updatedReplicas") or 0, status.get("availableReplicas")
		available = status.get("readyReplicas") if available is None else available
		is_complete = updated >= self.replicas and (status.get("replicas") or 0) <= updated
		return has_seen and is_complete and (available or 0) >= self.replicas

	@property
	def fault(self) -> str:
		"""Why it has fewer pods than it is to have, or does not get on with a rollout; empty where all is well."""
		for condition in self.status.get("conditions") or ():
			kind, value, reason = (condition.get(it) for it in ("type", "status", "reason"))
			is_late = kind == "Progressing" and value == "False"
			if is_late or (kind == "ReplicaFailure" and value == "True"):
				return f"{reason}: {condition.get('message', '')}"
		return ""

	@property
	def cannot_roll_out(self) -> str:
		"""Why a changed template changes no pod; empty where it does."""
		if self.spec.get("paused"):
			return "its rollouts are paused"
		strategy = (self.spec.get("updateStrategy") or {}).get("type")
		return "its update strategy is OnDelete" if strategy == "OnDelete" else ""

	@property
	def gap(self) -> str:
		"""Why nobody may answer while it is rolled out; empty where somebody does."""
		if self.least_available < 1:
			return f"{self.reference} may have no pod that is available meanwhile ({self.way_out})"
		if not self.container.get("readinessProbe"):
			return (
				f"{self.reference} has no readinessProbe, so its new pods count as ready before they answer"
			)
		if not (self.container.get("lifecycle") or {}).get("preStop"):
			return (
				f"{self.reference} has no preStop, so for a moment requests still go to a pod that has ended"
			)
		return ""

	@property
	def least_available(self) -> int:
		"""Pods during a rollout."""
		if self.kind == STATEFUL_SET:
			return self.replicas - 1
		strategy = self.spec.get("strategy") or {}
		if strategy.get("type") == "Recreate":
			return 0
		share = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
		return self.replicas - part_of(self.replicas, share)

	@property
	def way_out(self) -> str:
		"""What makes it so, in Kubernetes' words."""
		if self.kind == STATEFUL_SET:
			return "a StatefulSet replaces a pod by one of the same name"
		strategy = self.spec.get("strategy") or {}
		if strategy.get("type") == "Recreate":
			return "strategy Recreate"
		return f"maxUnavailable {(strategy.get('rollingUpdate') or {}).get('maxUnavailable', '25%')}"


def part_of(replicas: int, share: object) -> int:
	"""A number, or a share that Kubernetes rounds down."""
	if isinstance(share, int):
		return share
	text = str(share).removesuffix("%")
	return math.floor(replicas * int(text) / 100) if text.isdigit() else replicas


def words_of(container: Mapping[str, Any]) -> tuple[str, ...]:
	"""Its command and arguments."""
	return tuple(map(str, [*(container.get("command") or ()), *(container.get("args") or ())]))


def kind_in(container: Mapping[str, Any]) -> ProcessKind | None:
	"""By its words; where it has none, by its name."""
	words = words_of(container)
	if not words:
		return ProcessKind.WEB if container.get("name") == WEB_NAME else None
	return kind_of(split_words(words))


def labels_of_all(workloads: Sequence[Workload]) -> str:
	"""A selector that each of their pods meets; empty where they have no label in common."""
	common = set(workloads[0].labels.items()) if workloads else set()
	for workload in workloads:
		common &= set(workload.labels.items())
	return ",".join(f"{key}={value}" for key, value in sorted(common))
