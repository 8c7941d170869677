"""Kubernetes as a kind of process manager: Deployments whose pods have this bench's sites folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from fmx_restart.adapters.managers.entries import Entry
from fmx_restart.adapters.managers.kind import Found, Obstacle, Refusal, Search, sign_of_setting
from fmx_restart.adapters.managers.kubernetes.setting import KEYS, KubernetesEntry, read_kubernetes
from fmx_restart.adapters.managers.names import KUBERNETES
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment

if TYPE_CHECKING:
	from fmx_restart.adapters.managers.kubernetes.processes import KubernetesProcesses

FOUND_BY = "the Deployments that have this bench's sites folder"


class KubernetesKind:
	name = KUBERNETES
	keys = KEYS
	place_key = "namespace and selector"

	def read(self, entry: Entry, environ: Mapping[str, str]) -> KubernetesEntry:
		return read_kubernetes(entry)

	def find(self, bench_path: str, config: Mapping, named: Iterable[KubernetesEntry]) -> Search:
		named = list(named)
		if named:
			from fmx_restart.adapters.managers.kubernetes.api import refuse_without_client

			refuse_without_client()
			return Search(tuple(named_one(entry, bench_path) for entry in named))
		from fmx_restart.adapters.managers.kubernetes.api import is_in_pod

		return look_for(bench_path) if is_in_pod() else Search()

	def sign(self, bench_path: str, config: Mapping, table: ProcessTable) -> str:
		return sign_of_setting(config, KUBERNETES)

	def runs(self, table: ProcessTable, row: Row) -> bool:
		return False  # in a pod its first process has no parent, and outside nobody takes a pod's for the bench's


def named_one(entry: KubernetesEntry, bench_path: str) -> Found:
	"""It belongs to the bench even while its API server does not answer."""
	from fmx_restart.adapters.managers.kubernetes.api import Access, Api
	from fmx_restart.adapters.managers.kubernetes.namespace import Namespace

	api = Api(Access(entry.kubeconfig, entry.context))
	namespace = Namespace(api, entry.namespace, bench_path, selector=entry.selector, claim=entry.claim)
	return Found(entry.name, KUBERNETES, processes_of(namespace, entry.source), is_named=True)


def processes_of(namespace: object, source: str) -> KubernetesProcesses:
	"""Imported where a cluster is used, and nowhere else."""
	from fmx_restart.adapters.managers.kubernetes.processes import KubernetesProcesses

	return KubernetesProcesses(namespace, source=source)


def look_for(bench_path: str) -> Search:
	"""In a pod: its own namespace, asked with its own account, where a Deployment there has the sites folder of our pod."""
	from fmx_restart.adapters.managers.kubernetes.api import Api, refuse_without_client
	from fmx_restart.adapters.managers.kubernetes.namespace import Namespace, own_place

	try:
		if not (place := own_place()):
			return Search()
		refuse_without_client()
		processes = processes_of(Namespace(Api(), place, bench_path), FOUND_BY)
		if not any(not program.stays for program in processes.list()):
			return Search()
	except (ProcessFault, WrongEnvironment) as fault:
		text = str(fault).removesuffix(" Nothing was changed.").rstrip(".")
		refusal = Refusal(
			Obstacle.UNEQUIPPED, f"this is a pod of Kubernetes, whose API is not used: {text}", fault.hint
		)
		return Search(refusals=(refusal,))
	return Search((Found(place, KUBERNETES, processes),))


KIND = KubernetesKind()
