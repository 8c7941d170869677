"""Get every idle worker out of its blocking pop, without losing a job (rq #526)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Worker, WorkerState
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import live_workers, restless

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

PATIENCE = Patience(timeout=10.0, poll=0.01)
WAKE_AGAIN = 0.1  # seconds after which a worker that is still idle gets another wake-up


def park(operation: Operation) -> None:
	"""Raises DrainTimeout when a worker of this machine neither parks nor works."""
	operation.enter(Phase.PARK)
	see_parked(operation)


def see_parked(operation: Operation) -> None:
	"""As park, in whatever phase it is: once more after a lapse."""
	parking = Parking(operation)
	began = operation.bench.clock.now()
	if not operation.wait(parking.is_done, PATIENCE):
		parking.give_up()
	operation.insist(operation.bench.queue.recall)
	busy = sum(worker.state is WorkerState.BUSY for worker in parking.live)
	seconds = operation.bench.clock.now() - began
	operation.emit(events.WorkersParked(len(parking.live) - busy, busy, seconds))


class Parking:
	"""Wakes idle workers, each again only when it had time to answer. Knows who does not answer."""

	def __init__(self, operation: Operation) -> None:
		self.operation, self.bench = operation, operation.bench
		self.live: list[Worker] = []
		self.woken: dict[str, float] = {}

	def is_done(self) -> bool:
		self.look = look = self.operation.look()
		self.live = [w for w in live_workers(look) if w.name not in self.operation.unanswering]
		self.wake_idle()
		return not restless(self.live)

	def wake_idle(self) -> None:
		now = self.bench.clock.now()
		idle = [w for w in self.live if w.state is WorkerState.IDLE and now >= self.woken.get(w.name, now)]
		if idle:
			self.bench.queue.wake(idle)
			self.woken.update((worker.name, now + WAKE_AGAIN) for worker in idle)

	def give_up(self) -> None:
		"""A silent worker elsewhere is as good as gone; one on this machine could still take a job."""
		silent = restless(self.live)
		here = [worker for worker in silent if worker in self.look.local]
		if here:
			names = ", ".join(f"{worker.name} (pid {worker.pid}, {worker.state.value})" for worker in here)
			raise DrainTimeout(
				f"These workers did not leave the queue within {PATIENCE.timeout:.0f} s: {names}."
				" Nothing was restarted; the queue goes on.",
				hint="Look at what they do, e.g. py-spy dump --pid PID; a stopped process needs kill -CONT PID.",
			)
		for worker in silent:
			self.operation.unanswering.add(worker.name)
			self.live.remove(worker)
			self.operation.emit(events.WorkerDoesNotAnswer(worker.name, worker.host, worker.pid))
