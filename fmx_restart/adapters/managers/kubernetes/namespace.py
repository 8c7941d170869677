"""One look at a namespace: the Deployments and StatefulSets of this bench, and the pods that each of them has."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.kubernetes.api import Api, own_namespace
from fmx_restart.adapters.managers.kubernetes.pods import Pod
from fmx_restart.adapters.managers.kubernetes.proof import Ours, is_in, only_sites, own_pod, sites_here
from fmx_restart.adapters.managers.kubernetes.workloads import PLURALS, Workload, labels_of_all
from fmx_restart.engine.errors import ProcessFault

APPS, CORE = "/apis/apps/v1/namespaces", "/api/v1/namespaces"
AUTOSCALING = "/apis/autoscaling/v1/namespaces"
#: Seconds for which an answer is good, unless we have ordered something since: an operation looks twenty times a second
GOOD_FOR = 0.25


class Namespace:
	"""`selector`: of Deployments; empty for all. `claim`: of the bench's sites, where a person has named it."""

	def __init__(self, api: Api, name: str, bench_path: str, *, selector: str = "", claim: str = "") -> None:
		self.api, self.name, self._selector, self._claim = api, name, selector, claim
		self._bench = BenchFolder(bench_path)
		self._ours: Ours | None = None
		self._seen: dict[str, tuple[Workload, list[Pod]]] = {}
		self._seen_at = float("-inf")
		self._have_run: set[str] = set()  # uids of pods whose container was seen to run

	@property
	def pods_path(self) -> str:
		"""Where the API has them."""
		return f"{CORE}/{self.name}/pods"

	@property
	def ours(self) -> Ours:
		"""Raises ProcessFault where the server does not answer."""
		if self._ours is None:
			self._ours = self._find_ours()
		return self._ours

	def path_of(self, workload: Workload) -> str:
		"""Where the API has it."""
		return f"{APPS}/{self.name}/{PLURALS[workload.kind]}/{workload.name}"

	def look(self) -> dict[str, tuple[Workload, list[Pod]]]:
		"""By reference. Raises ProcessFault."""
		if time.monotonic() - self._seen_at > GOOD_FOR:
			workloads = self._workloads()
			pods = self._pods(labels_of_all(workloads)) if workloads else []
			self._seen = {it.reference: (it, pods_of(it, pods, self._have_run)) for it in workloads}
			self._have_run |= {pod.uid for _, own in self._seen.values() for pod in own if pod.running}
			self._seen_at = time.monotonic()
		return self._seen

	@cached_property
	def autoscalers(self) -> dict[str, str]:
		"""By the reference of what they scale; empty where we may not know. Asked once: a person sets them."""
		try:
			told = self.api.items(f"{AUTOSCALING}/{self.name}/horizontalpodautoscalers")
		except ProcessFault:
			return {}
		targets = ((it, (it.get("spec") or {}).get("scaleTargetRef") or {}) for it in told)
		return {
			f"{str(target.get('kind', '')).lower()}/{target.get('name', '')}": f"hpa/{it['metadata']['name']}"
			for it, target in targets
		}

	def forget(self) -> None:
		"""What was seen is old: something was ordered."""
		self._seen_at = float("-inf")

	def _workloads(self) -> list[Workload]:
		query = {"labelSelector": self._selector} if self._selector else {}
		told = [
			Workload(kind, one)
			for kind, plural in PLURALS.items()
			for one in self.api.items(f"{APPS}/{self.name}/{plural}", **query)
		]
		known = [it for it in told if not it.is_strange]
		ours = self.ours
		if not ours.sites and self._selector:
			sites = only_sites(known, self._selector, self._bench.sites, self._claim)
			ours = self._ours = Ours(sites, ours.pod, ours.bench_sites)  # a neighbour may come in the middle
		return [it for it in known if ours.owns(it)]

	def _pods(self, labels: str) -> list[Mapping[str, Any]]:
		return self.api.items(self.pods_path, **({"labelSelector": labels} if labels else {}))

	def _find_ours(self) -> Ours:
		"""Our own pod tells, where it is in this namespace of this cluster; a claim that a person has named counts more."""
		is_here = self.api.access.is_pods and own_namespace() == self.name
		uid = own_pod() if is_here else ""
		sites = sites_here(self._pods(""), uid, self._bench.sites) if uid else ""
		if self._claim and not is_in(sites, self._claim):
			sites = ""
		return Ours(sites, uid, self._bench.sites)


def pods_of(workload: Workload, pods: list[Mapping[str, Any]], have_run: Collection[str] = ()) -> list[Pod]:
	"""Its own, but for those that run nothing any more. `have_run`: uids."""
	container = str(workload.container.get("name", ""))
	ours = (it for it in pods if workload.owns(it))
	own = [Pod(it, container, (it.get("metadata") or {}).get("uid") in have_run) for it in ours]
	return [it for it in own if not it.is_over]


def own_place() -> str:
	"""The namespace that we run in; empty in none."""
	try:
		return own_namespace() if own_pod() else ""
	except ProcessFault:
		return ""
