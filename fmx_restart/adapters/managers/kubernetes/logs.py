"""What pods have written, as their nodes keep it: that of the container that runs, and of the one before it."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable

from fmx_restart.adapters.log_text import plain, without_jobs
from fmx_restart.adapters.managers.kubernetes.api import Api
from fmx_restart.adapters.managers.kubernetes.pods import Pod
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import LogTail

LINES = 200  # that are looked at for what is new
LOG_TAIL = 4096  # characters that are shown


class PodLogs:
	"""Of one namespace's pods. `kubectl`: the command with its options."""

	def __init__(self, api: Api, pods: str, kubectl: list[str]) -> None:
		self._api, self._pods, self._kubectl = api, pods, kubectl
		self._marks: dict[str, frozenset[str]] = {}  # program → incarnations of what ran before

	def mark(self, name: str, incarnations: Collection[str]) -> None:
		"""What these have written is old."""
		self._marks[name] = frozenset(incarnations)

	def tail(self, name: str, pods: Iterable[Pod], why: str) -> str:
		"""`why`: what Kubernetes says. The end of what is new, nothing about jobs among it; empty where nothing was marked."""
		old = self._marks.get(name)
		if old is None:
			return ""
		texts = [text for pod in pods for text in self._new(pod, old)]
		shown = "\n".join(filter(None, texts))[-LOG_TAIL:]
		return "\n".join(filter(None, [shown, f"Kubernetes: {plain(why)}" if why else ""]))

	def tails(self, pod: Pod, count: int) -> LogTail:
		"""The last lines."""
		source = shlex.join([*self._kubectl, "logs", pod.name])
		try:
			lines = self._lines(pod, count + 1)
		except ProcessFault as fault:
			return LogTail(source, (), str(fault))
		return LogTail(source, tuple(lines[-count:]), is_cut=len(lines) > count)

	def _new(self, pod: Pod, old: Collection[str]) -> Iterable[str]:
		if pod.earlier and pod.earlier not in old:
			yield self._shown(pod, previous=True)
		if pod.own and pod.incarnation not in old:
			yield self._shown(pod)

	def _shown(self, pod: Pod, *, previous: bool = False) -> str:
		try:
			lines = self._lines(pod, LINES, previous=previous)
		except ProcessFault:
			return ""
		return without_jobs("\n".join(lines), is_shared=False, is_cut=len(lines) >= LINES).rstrip()

	def _lines(self, pod: Pod, count: int, *, previous: bool = False) -> list[str]:
		"""Raises ProcessFault, also where the container has not begun to write."""
		query = {"container": pod.container, "tailLines": count, "previous": str(previous).lower()}
		return plain(self._api.text(f"{self._pods}/{pod.name}/log", **query)).splitlines()
