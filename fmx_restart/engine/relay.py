"""One process handed over to its successor: told to stop, down, told to start, up."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Bench, Process, ProcessKind, ProcessState
from fmx_restart.engine.report import ProcessChange

ATTEMPTS = 3  # how often an order is given that the manager refuses or does not answer
DOWN = {ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FAILED}


class Leg(str, Enum):
	STOPPING = "stopping"
	STARTING = "starting"
	UP = "up"
	FAILED = "failed"


class Farewell(str, Enum):
	STOP = "stop"  # by the manager
	TERM = "term"  # a worker at work leaves when its job is done
	OTHERS = "others"  # somebody else makes it leave


class Relay:
	"""
	Told what the manager says now, it gives the next order. Never orders a start before the old one is down.

	How the old one is made to leave: by the manager; or past the manager, which would kill it after its stopwaitsecs, by
	a TERM to a worker at work; or not by the relay at all. In the last two cases the manager may start the successor by
	itself; where it does not, we do. A fault of the manager ends this relay at most: the others must still be started.
	"""

	def __init__(
		self,
		process: Process,
		bench: Bench,
		emit: Callable[[events.Event], None],
		*,
		farewell: Farewell = Farewell.STOP,
	) -> None:
		self.old, self.bench, self.emit = process, bench, emit
		self.change = ProcessChange(process.name, process.kind, process.pid)
		self.family = bench.host.family(process.pid) if process.pid else []
		self.leg = Leg.STOPPING
		self.unheard = 0  # how often the last order was given in vain
		self.stopped_at = self.started_at = bench.clock.now()
		if farewell is Farewell.STOP:
			self._order(bench.processes.stop)
		elif farewell is Farewell.TERM and self.family:
			bench.host.terminate(self.family[0])

	@property
	def is_settled(self) -> bool:
		return self.leg in (Leg.UP, Leg.FAILED)

	def follow(self, process: Process) -> None:
		if self.leg is Leg.STOPPING and process.state in DOWN:
			self._start()
		elif self.leg is Leg.STOPPING and self.is_successor(process):
			self._note_down()
		elif self.leg is Leg.STOPPING and self.unheard and process.state is ProcessState.RUNNING:
			self._order(self.bench.processes.stop)
		elif self.leg is Leg.STARTING:
			self._watch_start(process)
		elif self.leg is Leg.UP and self.change.new_pid not in (None, process.pid):
			self.fail("it ended again soon after its start")

	def is_successor(self, process: Process) -> bool:
		return process.pid not in (None, self.old.pid) and process.state is not ProcessState.STOPPING

	def _start(self) -> None:
		self._note_down()
		self._order(self.bench.processes.start)

	def _order(self, order: Callable[[str], None]) -> None:
		"""One that was given in vain is given again at the next look, if it has not been followed all the same."""
		try:
			order(self.old.name)
			self.unheard = 0
		except ProcessFault as fault:
			self.unheard += 1
			if self.unheard == ATTEMPTS:
				self.fail(str(fault))

	def _note_down(self) -> None:
		now = self.bench.clock.now()
		self.emit(events.ProcessDown(self.old.name, self.old.pid, now - self.stopped_at))
		self.started_at = now
		self.leg = Leg.STARTING

	def _watch_start(self, process: Process) -> None:
		if self.unheard and process.state in DOWN:
			self._order(self.bench.processes.start)
		elif process.state is ProcessState.RUNNING:
			self.leg = Leg.UP
			self.change.new_pid = process.pid
			self.change.seconds_down = self.bench.clock.now() - self.started_at
			self.emit(
				events.ProcessUp(
					process.name, process.kind, self.old.pid, process.pid, self.change.seconds_down
				)
			)
		elif process.state is ProcessState.EXITED and process.kind is ProcessKind.SCHEDULER:
			self.leg = Leg.UP  # it ends by itself where a worker-pool holds the scheduler's lock
		elif process.state in (ProcessState.FAILED, ProcessState.EXITED):
			self.fail(f"it did not stay up: {process.detail or process.state.value}")

	def fail(self, reason: str) -> None:
		self.leg = Leg.FAILED
		try:
			tail = self.bench.processes.log_tail(self.old.name)
		except ProcessFault as fault:
			tail = str(fault)
		self.emit(events.ProcessFailed(self.old.name, reason, tail))
