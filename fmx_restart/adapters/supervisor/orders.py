"""What supervisor is told about one program, and what its answers mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xmlrpc.client import Fault

from supervisor.states import ProcessStates
from supervisor.xmlrpc import Faults

from fmx_restart.adapters.supervisor.connection import asking
from fmx_restart.engine.errors import ProcessFault


@dataclass(frozen=True)
class Order:
	"""`calls` as system.multicall takes them; they are answered in their order."""

	name: str
	verb: str
	calls: tuple[Mapping, ...]
	fine: frozenset[int]  # faults that mean there was nothing to do

	@classmethod
	def stop(cls, name: str) -> Order:
		return cls(name, "stop", (call("stopProcess", name, False),), frozenset({Faults.NOT_RUNNING}))

	@classmethod
	def start(cls, name: str) -> Order:
		"""Asks for the state before: while a program is stopping, supervisor says yes and does nothing."""
		calls = (call("getProcessInfo", name), call("startProcess", name, False))
		# SPAWN_ERROR comes only when the crash is quick enough; the state tells it in either case
		return cls(name, "start", calls, frozenset({Faults.ALREADY_STARTED, Faults.SPAWN_ERROR}))

	def fault(self, answers: Iterator[object]) -> ProcessFault | None:
		"""Takes the answers to its own calls from `answers`."""
		ours = [next(answers) for _ in self.calls]
		try:
			for answer in ours:
				self._check(answer)
		except ProcessFault as fault:
			return fault
		return None

	def _check(self, answer: object) -> None:
		if not isinstance(answer, Mapping):
			return
		with asking(f"{self.verb} {self.name}", fine=self.fine):
			if "faultCode" in answer:
				raise Fault(answer["faultCode"], answer["faultString"])
			if answer["state"] == ProcessStates.STOPPING:
				raise ProcessFault(f"{self.name} cannot be started: it is still stopping")


def call(method: str, *params: object) -> Mapping:
	return {"methodName": f"supervisor.{method}", "params": list(params)}
