"""What engine tests share: run one operation on an in-memory bench and keep its facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import crashed_operation_of
from fmx_restart.engine.errors import FenceFault
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.recovery import Recovery
from fmx_restart.engine.report import Report
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import FENCE_OWNER, InMemoryBench
from fmx_restart.testing.leases import InMemoryFence, InMemoryLease


class Run:
	"""One operation, not started yet."""

	def __init__(self, bench: InMemoryBench, options: Options | None = None, id: str = "operation-1") -> None:
		self.bench, self.id = bench, id
		self.facts: list[events.Event] = []
		self.operation = operation_for(bench.port(id), options or Options(), self.facts.append, id)

	def go(self):
		return self.operation.run()

	def go_to_lapse(self) -> Report:
		"""It ends well but for the fence, which lapsed when nothing could be undone any more."""
		try:
			self.go()
		except FenceFault:
			return self.operation.report
		raise AssertionError("the fence has not lapsed")

	def of(self, kind: type) -> list:
		return [fact for fact in self.facts if isinstance(fact, kind)]

	def when(self, what: Phase | type, act: Callable[[], object]) -> None:
		"""Do it, once, as soon as it has told that it enters this phase, or a fact of this kind."""
		done: list[bool] = []

		def watch(fact: events.Event) -> None:
			is_it = isinstance(fact, what) if isinstance(what, type) else fact == events.PhaseEntered(what)
			if is_it and not done:
				done.append(True)
				act()

		self.operation.listen(watch)

	def stalls(self, what: Phase | type, seconds: float = 40.0) -> None:
		"""It is stopped (SIGSTOP, a paused machine) at that moment; everything else goes on."""
		self.when(what, lambda: self.bench.clock.sleep(seconds))

	def recovery(self, bench: InMemoryBench) -> Recovery:
		"""By its guardian, from what its journal tells. Writes on in the same journal."""
		crashed = crashed_operation_of((bench.clock.time(), fact) for fact in self.facts)
		owner = f"{self.id}/recovery"
		lock = InMemoryLease(bench.clock, bench.lock_slot, owner, replaces=self.id)
		fence = InMemoryFence(bench.queue.suspension, FENCE_OWNER + owner, replaces=FENCE_OWNER)
		port = replace(bench.port(self.id), lock=lock, fence=fence)
		return Recovery(port, crashed, self.facts.append)

	@property
	def phases(self) -> list[Phase]:
		return [Phase.PREFLIGHT, *(fact.phase for fact in self.of(events.PhaseEntered))]
