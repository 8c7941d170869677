"""One process handed over to its successor: told to stop, down, told to start, up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Bench, Process, ProcessKind, ProcessState
from fmx_restart.engine.report import ProcessChange

ATTEMPTS = 3  # how often an order is given that the manager refuses or does not answer
COMES_BACK = 1.5  # seconds within which a manager brings back a program that ended by itself
RETRIES_TAKE = 15.0  # seconds that a process gets whose manager tries to start it again
DOWN = {ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FAILED}
UP = {ProcessState.STARTING, ProcessState.RUNNING}


class Stage(str, Enum):
	STOPPING = "stopping"
	DOWN = "down"  # and it stays so until it is released
	STARTING = "starting"
	UP = "up"
	FAILED = "failed"


class Farewell(str, Enum):
	STOP = "stop"  # by the manager
	TERM = "term"  # a worker at work leaves when its job is done
	OTHERS = "others"  # someone else makes it leave


class Order(str, Enum):
	STOP = "stop"
	START = "start"


class Replacement:
	"""
	Told what the manager says now, it knows the next order. Never wants a start before the old one is down, and with
	`keeps_down` not before it is released: what comes back until then, by whose hand ever, is stopped again.

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
		keeps_down: bool = False,
	) -> None:
		self.old, self.bench, self.emit = process, bench, emit
		self.keeps_down, self.state = keeps_down, process.state
		self.change = ProcessChange(process.name, process.kind, process.pid, old_state=process.state)
		self.family = bench.host.family(process.local_pid) if process.local_pid else []
		self.leg = Stage.STOPPING
		self.order = Order.STOP if farewell is Farewell.STOP else None  # what the manager is still to be told
		self.in_vain = 0  # how often it was told that already
		self.stopped_at = self.started_at = bench.clock.now()
		self.up_at: float | None = None  # when the successor was first seen running
		self.remedy = ""  # what to type after a failure; empty where only its log can tell
		self.reason = ""  # of its failure
		self.retried_at: float | None = None  # when the successor was first seen to need another attempt
		emit(events.ProcessStopping(process.name, process.kind, process.pid, process.incarnation))
		if farewell is Farewell.TERM and self.family:
			bench.host.terminate(self.family[0])

	@property
	def is_settled(self) -> bool:
		return self.leg in (Stage.UP, Stage.FAILED)

	@property
	def is_held(self) -> bool:
		"""It is down for good until it is released: nobody will bring it back by himself."""
		waited = self.bench.clock.now() - self.started_at
		return self.leg is Stage.DOWN and (self.state is ProcessState.STOPPED or waited >= COMES_BACK)

	def release(self) -> None:
		"""From here on it may start again."""
		self.keeps_down = False
		if self.leg is Stage.DOWN:
			self.leg, self.order = Stage.STARTING, Order.START

	def follow(self, process: Process) -> None:
		self.state = process.state
		if self.in_vain and self.is_obeyed(process):
			self.heed(None)
		if self.leg is Stage.STOPPING and process.state in DOWN:
			self.note_down()
			self.order = None if self.keeps_down else Order.START
		elif self.keeps_down and self.is_back(process):
			self.stop_again(process)
		elif self.leg is Stage.STOPPING and self.is_successor(process):
			self.note_down()
		elif self.leg is Stage.STARTING:
			self.watch_start(process)
		elif self.leg is Stage.UP and self.change.new_pid not in (None, process.pid):
			self.fail("it ended again soon after its start")

	def is_successor(self, process: Process) -> bool:
		is_up = process.pid is not None and process.state is not ProcessState.STOPPING
		return is_up and not process.is_same_as(self.old)

	def is_back(self, process: Process) -> bool:
		if self.leg is Stage.DOWN:
			return process.state not in DOWN
		return self.leg is Stage.STOPPING and self.is_successor(process)

	def stop_again(self, process: Process) -> None:
		"""Its manager, or someone, has started it meanwhile."""
		self.old, self.leg, self.order, self.in_vain = process, Stage.STOPPING, Order.STOP, 0
		host = self.bench.host
		self.family = [
			*host.alive(self.family),
			*(host.family(process.local_pid) if process.local_pid else []),
		]
		self.stopped_at = self.bench.clock.now()
		self.emit(events.ProcessStopping(process.name, process.kind, process.pid))

	def is_obeyed(self, process: Process) -> bool:
		"""An order whose answer got lost may have been followed all the same."""
		return process.state not in (UP if self.order is Order.STOP else DOWN)

	def heed(self, fault: ProcessFault | None) -> None:
		"""What became of the order. One that was given in vain is given again at the next look."""
		if fault is None:
			self.order, self.in_vain = None, 0
			return
		self.in_vain += 1
		if self.in_vain == ATTEMPTS:
			self.fail(str(fault))

	def note_down(self) -> None:
		self.order, self.in_vain = None, 0
		now = self.bench.clock.now()
		self.emit(events.ProcessDown(self.old.name, self.old.pid, now - self.stopped_at))
		with suppress(ProcessFault):  # it only tells less then, should the successor fail
			self.bench.processes.mark_log(self.old.name)
		self.started_at = now
		self.leg = Stage.DOWN if self.keeps_down else Stage.STARTING

	def watch_start(self, process: Process) -> None:
		if self.order is not None:
			return
		if process.state is ProcessState.RUNNING and not process.is_same_as(self.old):
			self.note_up(process)
		elif process.state is ProcessState.EXITED and process.kind is ProcessKind.SCHEDULER:
			self.leg = Stage.UP  # it ends by itself where a worker-pool holds the scheduler's lock
		elif process.state is ProcessState.RETRYING:
			self.watch_retries(process)
		elif process.state in (ProcessState.FAILED, ProcessState.EXITED):
			self.fail(f"it did not stay up: {process.detail or process.state.value}")

	def note_up(self, process: Process) -> None:
		self.leg = Stage.UP
		self.up_at = self.bench.clock.now()
		self.change.new_pid = process.pid
		self.change.seconds_down = seconds = self.bench.clock.now() - self.started_at
		self.emit(events.ProcessUp(process.name, process.kind, self.old.pid, process.pid, seconds))

	def watch_retries(self, process: Process) -> None:
		now = self.bench.clock.now()
		if self.retried_at is None:
			self.retried_at = now
			self.emit(events.ProcessRetried(process.name, process.detail))
		elif now - self.retried_at > RETRIES_TAKE:
			self.fail(f"it does not stay up and keeps being restarted: {process.detail}")

	def fail(self, reason: str) -> None:
		self.leg, self.order = Stage.FAILED, None
		if self.old.state in (ProcessState.FAILED, ProcessState.RETRYING):
			reason += f" (it was already down before the restart: {self.old.detail or self.old.state.value})"
		try:
			tail = self.bench.processes.log_tail(self.old.name)
		except ProcessFault as fault:
			tail = str(fault)
		self.reason = reason
		self.emit(events.ProcessFailed(self.old.name, reason, tail))


def give_orders(bench: Bench, relays: Iterable[Replacement]) -> None:
	"""All at once: a manager that takes seconds for an answer must not take them for each process."""
	waiting = {relay.old.name: relay for relay in relays if relay.order is not None}
	if not waiting:
		return
	orders = {order: [name for name, relay in waiting.items() if relay.order is order] for order in Order}
	faults = bench.processes.order(stop=orders[Order.STOP], start=orders[Order.START])
	for name, relay in waiting.items():
		relay.heed(faults.get(name))
