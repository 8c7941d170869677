"""What engine tests share: run one operation on an in-memory bench and keep its facts."""

from __future__ import annotations

from fmx_restart.adapters.in_memory.bench import InMemoryBench
from fmx_restart.engine import events
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase


class Run:
	"""One operation, not started yet."""

	def __init__(self, bench: InMemoryBench, options: Options | None = None, id: str = "operation-1") -> None:
		self.facts: list[events.Event] = []
		self.operation = Operation(bench.port(id), options or Options(), self.facts.append, id)

	def go(self):
		return self.operation.run()

	def of(self, kind: type) -> list:
		return [fact for fact in self.facts if isinstance(fact, kind)]

	@property
	def phases(self) -> list[Phase]:
		return [Phase.PREFLIGHT, *(fact.phase for fact in self.of(events.PhaseEntered))]
