"""One process handed over to its successor: told to stop, down, told to start, up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Bench, Host, HostProcess, Process, ProcessKind, ProcessState
from fmx_restart.engine.report import ProcessChange, ReplacedBy

ATTEMPTS = 3  # how often an order is given that the manager refuses or does not answer
COMES_BACK = 1.5  # seconds within which a manager brings back a program that ended by itself
RETRIES_TAKE = 15.0  # seconds that a process gets whose manager tries to start it again
DOWN = {ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FAILED}
UP = {ProcessState.STARTING, ProcessState.RUNNING}


class Stage(str, Enum):
	"""How far a process' replacement has come."""

	WAITING = "waiting"  # it runs on until others are back
	STOPPING = "stopping"
	DOWN = "down"  # and it stays so until it is released
	STARTING = "starting"
	UP = "up"
	FAILED = "failed"
	REMOVED = "removed"  # its manager's new configuration has no such program


class StopMethod(str, Enum):
	"""Who makes the old process of a replacement stop."""

	MANAGER = "manager"
	TERM = "term"  # a signal of ours: a worker at work leaves when its job is done
	OTHERS = "others"  # someone else, as the pill of a rolling restart
	RELOAD = "reload"  # it stays, and goes on with new code: engine/reload.py


class Order(str, Enum):
	"""What a manager can be told to do with a program."""

	STOP = "stop"
	START = "start"
	LEAVE = "leave"  # a TERM through the manager, for a worker of another machine
	RESTART = "restart"  # its manager ends it and makes its successor


def family_of(process: Process, host: Host) -> list[HostProcess]:
	"""Its process and all below it, as far as they may be signalled."""
	return host.family(process.local_pid) if process.local_pid and not process.ends_all else []


class Replacement:
	"""
	Follows what the manager says of one process, and knows the next order. No start before the old process is down, and
	with `keeps_down` not before it is released: what comes back until then, whoever started it, is stopped again.

	`method`: who makes the old process stop. A TERM to a worker at work goes past its manager, which would kill it when the
	time it gives to stop is over. Where it is not the manager, the manager may start the successor by itself; where it does
	not, we do. A fault of the manager ends this replacement at most: the others must still be started. `waits`: nothing is
	done before begin() is called.
	"""

	def __init__(
		self,
		process: Process,
		bench: Bench,
		emit: Callable[[events.Event], None],
		*,
		method: StopMethod = StopMethod.MANAGER,
		keeps_down: bool = False,
		waits: bool = False,
	) -> None:
		self.old, self.bench, self.emit = process, bench, emit
		self.keeps_down, self.state = keeps_down, process.state
		self.change = ProcessChange(process.name, process.kind, process.pid, old_state=process.state)
		if process.ends_all:
			self.change.by = ReplacedBy.RELOADER
		self.family = family_of(process, bench.host)
		self.method, self.stage = method, Stage.WAITING
		self.order: Order | None = None  # what the manager has still to do
		self.attempts = 0  # how often it was given that order
		self.stopped_at = self.started_at = bench.clock.now()
		self.up_at: float | None = None  # when the successor was first seen running
		self.up_incarnation = ""  # of the successor, where it has one
		self.current_pid = process.pid  # of whichever process it is now
		self.current = process  # as its manager listed it last
		self.remedy = ""  # what to type after a failure; empty where only its log can tell
		self.reason = ""  # of its failure
		self.retried_at: float | None = None  # when the successor was first seen to need another attempt
		if not waits:
			self.begin()

	def begin(self) -> None:
		"""Make the old process stop."""
		old = self.old
		self.stage, self.stopped_at = Stage.STOPPING, self.bench.clock.now()
		self.order = Order.STOP if self.method is StopMethod.MANAGER else None
		if self.is_rolled_out:
			self.order = Order.RESTART
		if self.method is StopMethod.TERM and old.host:
			self.order = Order.LEAVE
		self.emit(events.ProcessStopping(old.name, old.kind, old.pid, old.incarnation))
		if self.method is StopMethod.TERM and self.family:
			self.bench.host.terminate(self.family[0])

	@property
	def is_rolled_out(self) -> bool:
		"""Its manager replaces it by one order; not where it is to stay down for a while."""
		return self.method is StopMethod.MANAGER and self.old.rolls_out and not self.keeps_down

	@property
	def needs_manager(self) -> bool:
		"""Without its manager nothing more comes of it."""
		return True

	@property
	def is_later(self) -> bool:
		"""Its turn comes when a job has ended, for as long as that takes."""
		return False

	@property
	def remark(self) -> str:
		"""What is still missing, after its name, where it is new but for a part of it."""
		return ""

	@property
	def is_settled(self) -> bool:
		"""It is up, has failed, or is no more to be."""
		return self.stage in (Stage.UP, Stage.FAILED, Stage.REMOVED)

	@property
	def is_held(self) -> bool:
		"""It is down until it is released: its manager will not start it by itself any more."""
		waited = self.bench.clock.now() - self.started_at
		return self.stage is Stage.DOWN and (self.state is ProcessState.STOPPED or waited >= COMES_BACK)

	def begin_start(self) -> None:
		"""Its manager has it since a moment ago: nothing is to be stopped."""
		self.stage, self.order, self.started_at = Stage.STARTING, Order.START, self.bench.clock.now()
		with suppress(ProcessFault):
			self.bench.processes.mark_log(self.old.name)

	def note_removed(self) -> None:
		"""Nobody will start it any more."""
		self.stage, self.order, self.change.is_removed = Stage.REMOVED, None, True

	def release(self) -> None:
		"""Let it start again."""
		self.keeps_down = False
		if self.stage is Stage.DOWN:
			self.stage, self.order = Stage.STARTING, Order.START

	def follow(self, process: Process) -> None:
		"""`process`: as its manager lists it now."""
		self.state, self.current_pid, self.current = process.state, process.pid, process
		if self.stage in (Stage.WAITING, Stage.REMOVED):
			return
		if self.attempts and self.is_obeyed(process):
			self.note_answer(None)
		if self.stage is Stage.STOPPING and (process.state in DOWN or self.is_rolled_out):
			self.watch_stop(process)
		elif self.keeps_down and self.is_back(process):
			self.stop_again(process)
		elif self.stage is Stage.STOPPING and self.is_successor(process):
			self.note_down()
		elif self.stage is Stage.STARTING:
			self.watch_start(process)
		elif self.stage is Stage.UP and self.has_ended_again(process):
			self.fail("it ended again soon after its start")

	def watch_stop(self, process: Process) -> None:
		"""It is down, or its manager rolls it out."""
		if self.is_rolled_out:
			self.watch_rollout(process)
			return
		self.note_down()
		self.order = None if self.keeps_down else Order.START

	def watch_rollout(self, process: Process) -> None:
		"""Until nothing of the old one is left: its manager has started the successor by then, or is about to."""
		if self.order is not None or process.state is ProcessState.STOPPING:
			return
		if process.state is ProcessState.FAILED:
			self.fail(f"its successor does not come up: {process.detail or process.state.value}")
		elif not process.is_same_as(self.old):
			self.note_down()
			self.order = Order.START if process.state in DOWN else None

	def has_ended_again(self, process: Process) -> bool:
		"""By its pid, and where all have the same one, as in containers, by its incarnation."""
		if self.change.new_pid not in (None, process.pid):
			return True
		return bool(self.up_incarnation) and process.incarnation not in ("", self.up_incarnation)

	def is_successor(self, process: Process) -> bool:
		"""It runs, and is another process than the old one."""
		is_up = process.pid is not None and process.state is not ProcessState.STOPPING
		return is_up and not process.is_same_as(self.old)

	def is_back(self, process: Process) -> bool:
		"""Someone has started it although it is to stay down."""
		if self.stage is Stage.DOWN:
			return process.state not in DOWN
		return self.stage is Stage.STOPPING and self.is_successor(process)

	def stop_again(self, process: Process) -> None:
		"""Order it to stop once more: its manager, or a person, has started it meanwhile."""
		self.old, self.stage, self.order, self.attempts = process, Stage.STOPPING, Order.STOP, 0
		host = self.bench.host
		self.family = [*host.alive(self.family), *family_of(process, host)]
		self.stopped_at = self.bench.clock.now()
		self.emit(events.ProcessStopping(process.name, process.kind, process.pid))

	def is_obeyed(self, process: Process) -> bool:
		"""The last order was followed, although its answer got lost."""
		if self.order in (Order.LEAVE, Order.RESTART):
			return not process.is_same_as(self.old)
		return process.state not in (UP if self.order is Order.STOP else DOWN)

	def note_answer(self, fault: ProcessFault | None) -> None:
		"""`fault`: why the order was refused; None where it was taken. A refused one is given again, ATTEMPTS times in all."""
		if fault is None:
			self.order, self.attempts = None, 0
			return
		self.attempts += 1
		if self.attempts < ATTEMPTS:
			return
		if self.order is Order.LEAVE and self.method is StopMethod.OTHERS:
			self.order, self.attempts = None, 0  # it leaves by itself a while later
		else:
			self.fail(str(fault))

	def note_down(self) -> None:
		"""The old process has ended."""
		self.order, self.attempts = None, 0
		now = self.bench.clock.now()
		self.emit(events.ProcessDown(self.old.name, self.old.pid, now - self.stopped_at))
		with suppress(ProcessFault):  # only the log's end is missing then, should the successor fail
			self.bench.processes.mark_log(self.old.name)
		self.started_at = now
		self.stage = Stage.DOWN if self.keeps_down else Stage.STARTING

	def watch_start(self, process: Process) -> None:
		"""Up, failed, or neither yet."""
		if self.order is not None:
			return
		if process.state is ProcessState.RUNNING and not process.is_same_as(self.old):
			self.note_up(process)
		elif process.state is ProcessState.EXITED and process.kind is ProcessKind.SCHEDULER:
			self.stage = Stage.UP  # it ends by itself where a worker-pool holds the scheduler's lock
		elif process.state is ProcessState.RETRYING:
			self.watch_retries(process)
		elif process.state in (ProcessState.FAILED, ProcessState.EXITED):
			self.fail(f"it did not stay up: {process.detail or process.state.value}")

	def note_up(self, process: Process) -> None:
		"""The successor runs."""
		self.stage = Stage.UP
		self.up_at = self.bench.clock.now()
		self.change.new_pid, self.up_incarnation = process.pid, process.incarnation
		self.change.seconds_down = seconds = self.bench.clock.now() - self.started_at
		self.emit(events.ProcessUp(process.name, process.kind, self.old.pid, process.pid, seconds))

	def watch_retries(self, process: Process) -> None:
		"""Its manager starts it again and again: for a while that is waited for."""
		now = self.bench.clock.now()
		if self.retried_at is None:
			self.retried_at = now
			self.emit(events.ProcessRetried(process.name, process.detail))
		elif now - self.retried_at > RETRIES_TAKE:
			self.fail(f"it does not stay up and keeps being restarted: {process.detail}")

	def fail(self, reason: str) -> None:
		"""It is not followed any more. `reason` goes on after the program's name."""
		self.stage, self.order = Stage.FAILED, None
		if self.old.state in (ProcessState.FAILED, ProcessState.RETRYING):
			reason += f" (it was already down before the restart: {self.old.detail or self.old.state.value})"
		try:
			tail = self.bench.processes.log_tail(self.old.name)
		except ProcessFault as fault:
			tail = str(fault)
		self.reason = reason
		self.emit(events.ProcessFailed(self.old.name, reason, tail))


def give_orders(bench: Bench, replacements: Iterable[Replacement]) -> None:
	"""Each manager once: one that takes seconds for an answer must not take them for each process."""
	waiting = {
		replacement.old.name: replacement for replacement in replacements if replacement.order is not None
	}
	if not waiting:
		return
	orders = {
		order: [name for name, replacement in waiting.items() if replacement.order is order]
		for order in Order
	}
	faults = bench.processes.order(**{order.value: names for order, names in orders.items()})
	for name, replacement in waiting.items():
		replacement.note_answer(faults.get(name))
