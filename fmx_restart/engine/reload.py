"""
A worker that reloads in place: its process goes on with the code that is there now. It is asked through Redis, and its own
record says what became of that, so no process manager takes part, and it may run on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, QueueUnreachable
from fmx_restart.engine.ports import (
	Bench,
	Host,
	HostProcess,
	Look,
	Pool,
	Process,
	ProcessKind,
	ProcessState,
	Reloadable,
	Scheduler,
	Worker,
	WorkerState,
)
from fmx_restart.engine.replacement import Replacement, Stage, StopMethod, family_of
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.workers import live_workers, members, runners

#: Seconds, while it runs no job: it tries for a minute at most whether the new code can be imported
ANSWERS_WITHIN = 90.0
#: Seconds within which a person starts all again that has ended
STARTED_WITHIN = 15.0
#: What it refuses with where only another way can bring the new code into service
CANNOT = {
	"WorkerPool": "it belongs to a worker-pool, whose own process would have to reload",
	"SwitchedOff": "workers of this app were switched off since it was started",
}
FAULTS = {
	"TimeoutError": "its new code takes too long to be imported",
	"ChildProcessError": "its new code ends the process that imports it",
}


def reloadable(look: Look, listed: Iterable[Process], host: Host) -> list[tuple[Process, Reloadable]]:
	"""
	Live workers and pools that can reload, each with its program: the one of those listed whose process it is, or else one that
	stands for it; and the scheduler, where it is one of those listed. One below a program's own process is left to that program: it would start the next one with old code.
	"""
	listed = list(listed)
	programs = runners(listed, look, host)
	pairs = [(program, look.scheduler) for program in listed if is_scheduler(program, look, host)]
	for one, names in able_ones(look):
		is_local = not look.local.running.keys().isdisjoint(names)
		if is_local and host.process(one.pid) is None:
			continue  # a pool that was killed: its workers leave
		own = next((programs[name] for name in names if name in programs), None)
		program = own or stand_in(one, one.pid, host if is_local else None)
		if program.pid == one.pid:
			pairs.append((program, one))
	return pairs


def is_scheduler(program: Process, look: Look, host: Host) -> bool:
	"""Whether it is the one that has written its record, on this machine."""
	one = look.scheduler
	is_here = one is not None and one.host == host.name and program.local_pid == one.pid
	return is_here and program.kind is ProcessKind.SCHEDULER


def able_ones(look: Look) -> Iterator[tuple[Reloadable, list[str]]]:
	"""Those that say that they can, and the names of the workers that they are, or have."""
	for worker in live_workers(look):
		if worker.reload and worker.queues and not worker.is_leaving:
			yield worker, [worker.name]
	for pool in look.pools:
		if pool.queues and (names := [worker.name for worker in members(pool, look)]):
			yield pool, names


def stand_in(one: Reloadable, pid: int, host: Host | None) -> Process:
	"""For one that no manager runs, as far as we know. `host`: the machine we are on, where it runs there."""
	what = "pool with pid" if isinstance(one, Pool) else "pid"
	return Process(
		f"{what} {pid} on {one.host} ({','.join(one.queues) or one.name})",
		ProcessKind.SCHEDULER if isinstance(one, Scheduler) else ProcessKind.WORKER,
		ProcessState.RUNNING,
		pid,
		one.born,
		has_workers=not isinstance(one, Scheduler),
		host="" if host else one.host,
		is_managed=False,
	)


class Reload(Replacement):
	"""
	Nobody is asked before begin() is called. Where the process ends instead, its manager's next one has new code as well;
	where the worker cannot reload and has a manager here, it is told to leave, which loses no job.
	"""

	MISSING = "it is not in Redis' list of workers any more"

	def __init__(
		self, process: Process, worker: Reloadable, bench: Bench, emit: Callable[[events.Event], None]
	) -> None:
		super().__init__(process, bench, emit, method=StopMethod.RELOAD, waits=True)
		self.family = []  # nothing of the old code stays
		self.change.by = ReplacedBy.RELOAD
		self.worker, self.before = worker, worker.reload
		self.is_at_work = worker.state is WorkerState.BUSY
		self.is_registered = True
		self._free_since = self._seen_at = bench.clock.now()

	@property
	def needs_manager(self) -> bool:
		return self.method is not StopMethod.RELOAD or self.stage in (Stage.DOWN, Stage.STARTING)

	@property
	def is_asked(self) -> bool:
		"""It has been asked, and nothing is known of what became of that."""
		return self.method is StopMethod.RELOAD and self.stage is Stage.STOPPING

	@property
	def is_missing(self) -> bool:
		"""Whether it may not serve now. Before it is new."""
		return self.stage is Stage.STOPPING or not self.is_registered

	@property
	def is_later(self) -> bool:
		return self.method is StopMethod.RELOAD and self.is_at_work and not self.is_settled

	def begin(self) -> None:
		"""Ask it. Raises QueueUnreachable; then it was not asked."""
		self.emit(events.ReloadAsked(self.old.name, self.worker))
		if self.old.is_managed:
			with suppress(ProcessFault):  # only the log's end is missing then, should it refuse
				self.bench.processes.mark_log(self.old.name)
		self.bench.queue.ask_to_reload([self.worker])
		self.before = self.worker.reload  # someone else may have asked it meanwhile
		self.stage, self.stopped_at = Stage.STOPPING, self.bench.clock.now()
		self._free_since = self.stopped_at

	def adopt(self) -> None:
		"""An operation that died has asked it."""
		self.stage = Stage.STOPPING

	def may_have_begun(self, look: Look) -> bool:
		"""
		A moment after the request was withdrawn: it follows it, unless it had not seen it. While it tries new code it says
		that it is suspended.
		"""
		is_begun = self.is_trying(look) or not self.is_registered or self.needs_manager
		return not self.is_settled and is_begun

	def is_trying(self, look: Look) -> bool:
		"""New code. At the fence a worker says the same where it does not."""
		return look.suspension is None and self.worker.state is WorkerState.SUSPENDED

	def withdraw(self) -> None:
		"""It waits for its turn again; one that has seen the request follows it. Raises QueueUnreachable."""
		self.bench.queue.withdraw_reloads([self.worker])
		self.stage = Stage.WAITING if self.is_asked else self.stage

	def see(self, look: Look) -> None:
		"""What the records say now."""
		if self.method is not StopMethod.RELOAD or self.stage not in (Stage.WAITING, Stage.STOPPING):
			return
		worker = self.record_in(look)
		self.is_registered = worker is not None
		self.is_at_work = worker is not None and worker.state is WorkerState.BUSY
		if worker is None or not self._note_answer(worker):
			self._note_silence(is_waiting=worker is not None and self.stage is Stage.WAITING)

	def record_in(self, look: Look) -> Reloadable | None:
		"""
		Of its process, as long as that lives: what one leaves behind that was killed says that it is at work. Where a process
		could not take its old record away, the newest one.
		"""
		records = self.records(look)
		same = [one for one in records if one.reload and one.reload.process == self.before.process]
		return max(same, key=lambda worker: worker.reload.times, default=None)

	def records(self, look: Look) -> list[Worker] | list[Pool]:
		"""Of its like."""
		return live_workers(look)

	def _note_answer(self, worker: Reloadable) -> bool:
		"""False where there is none."""
		former, self.worker = self.worker, worker
		if worker.reload.times > self.before.times:
			self._note_reloaded(former)
		elif worker.reload.answered > self.before.answered and self.is_asked:
			self._note_refused(worker.reload.refused)
		else:
			return False
		return True

	def _note_silence(self, *, is_waiting: bool) -> None:
		now = self.bench.clock.now()
		if not self._has_ended():
			self._seen_at = now
		elif now - self._seen_at > STARTED_WITHIN:
			self._forget_request(self.worker)
			self.fail("its process has ended, and with it all that its manager ran")
			self.remedy = f"Start them again: {self.bench.processes.start_command([self.old.name])}."
			return
		if self.is_at_work or is_waiting:
			self._free_since = now
		elif now - self._free_since > ANSWERS_WITHIN:
			self._give_up()

	def _has_ended(self) -> bool:
		"""Unless a person starts all again, for good. A reload keeps the process."""
		process = self.old.local_pid and HostProcess(self.old.local_pid, self.old.incarnation)
		return self.old.ends_all and bool(process) and not self.bench.host.alive([process])

	def _note_reloaded(self, former: Reloadable) -> None:
		"""`former`: its record before."""
		now = self.bench.clock.now()
		self.stage, self.up_at, self.is_at_work = Stage.UP, now, False
		self.change.new_pid, self.change.seconds_down = self.old.pid, now - self._free_since
		self.emit(events.WorkerReloaded(self.old.name, self.old.kind, self.old.pid, now - self._free_since))
		self._forget_request(former)

	def _note_refused(self, why: str) -> None:
		self._forget_request(self.worker)
		if why in CANNOT and self.may_leave:
			self._make_it_leave()
			return
		reason = CANNOT.get(why) or FAULTS.get(why) or f"its new code cannot be imported: {why}"
		self.fail(f"{reason}; it keeps the old code and goes on serving")
		self.remedy = (
			f"The log of {self.old.name} says in which module. Repair it, and type the same command again."
		)
		if why in CANNOT:
			self.remedy = self.other_way

	@property
	def other_way(self) -> str:
		"""What to type where it cannot reload."""
		if self.old.stays:
			return " ".join(self.old.stays.remedies)
		return f"Restart {self.old.name} where it was started."

	@property
	def may_leave(self) -> bool:
		"""Its manager on this machine starts the next one, and no job is lost."""
		return self.old.is_managed and not self.old.host and not self.old.ends_all

	def _make_it_leave(self) -> None:
		self.method, self.change.by = StopMethod.TERM, ReplacedBy.MANAGER
		self.family = family_of(self.old, self.bench.host)
		super().begin()

	def _give_up(self) -> None:
		self._forget_request(self.worker)
		pid, there = self.old.pid, f" on {self.old.host}" if self.old.host else ""
		if not self.is_registered:
			self.fail(f"{self.MISSING}, for {ANSWERS_WITHIN:.0f} s")
			self.remedy = f"Look whether its process {pid}{there} runs, and at its log."
			return
		self.fail(f"it has not answered the request to reload for {ANSWERS_WITHIN:.0f} s")
		self.remedy = (
			f"Look at its process{there}: kill -CONT {pid} if it is stopped, else py-spy dump --pid {pid}."
			" Then type the same command again."
		)

	def _forget_request(self, worker: Reloadable) -> None:
		with suppress(
			QueueUnreachable
		):  # nobody follows it any more, but for one that is asked and cannot be reached
			self.bench.queue.withdraw_reloads([worker])

	def follow(self, process: Process) -> None:
		if self.stage is Stage.WAITING and self.is_successor(process):
			self.stage = Stage.STOPPING  # someone restarted it meanwhile
		super().follow(process)

	def note_down(self) -> None:
		self.change.by = ReplacedBy.MANAGER
		self._forget_request(self.worker)  # its successor has another name
		super().note_down()

	def fail(self, reason: str) -> None:
		if self.old.is_managed:
			super().fail(reason)
			return
		self.stage, self.reason = Stage.FAILED, reason
		self.emit(events.ProcessFailed(self.old.name, reason, ""))
