"""Replace workers while the queue keeps running: one after the other, or a share of each queue's at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, Interrupted, ProcessFault, QueueUnreachable
from fmx_restart.engine.pool_reload import PoolReload
from fmx_restart.engine.ports import Look, Process, Worker, WorkerState
from fmx_restart.engine.reload import Reload
from fmx_restart.engine.replacement import Order, Replacement, Stage, StopMethod
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.steps.follow import begin_replacements, follow
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import is_of, live_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

LOOK_EVERY = 0.05  # seconds
TAKES_EFFECT = 0.5  # seconds from the moment a pill was taken until RQ has noted that its worker leaves
STAYS_UP = 1.0  # seconds that a new worker must have been registered before the next old one goes
REGISTERS_WITHIN = 90.0  # seconds
#: for workers that are just being replaced when the rolling restart ends early
SEEN_BACK = Patience(timeout=2 * REGISTERS_WITHIN, poll=LOOK_EVERY)


def roll(
	operation: Operation,
	workers: list[Process],
	reloads: list[Reload],
	*,
	failed_before: Collection[Process] = (),
) -> list[Replacement]:
	"""
	`workers`: those that are made to leave, and come back through their manager. `reloads`: those that reload in place. Ends
	early, with some workers not replaced, when as many processes as the options allow have failed: those in `failed_before`
	count too. Raises DrainTimeout when a time limit was given and is over without a failure: some workers are new then, the
	others keep running.
	"""
	rolling = Rolling(operation, workers, reloads, failed_before)
	limit = operation.options.rolling_timeout
	time_limit = math.inf if limit is None else limit
	try:
		if not operation.wait(rolling.is_done, Patience(time_limit, LOOK_EVERY)):
			rolling.is_out_of_time = True
			operation.wait(rolling.is_done, SEEN_BACK)
			if not rolling.failed():
				raise rolling.timeout()
		rolling.note_not_replaced()
	finally:
		with suppress(QueueUnreachable):  # what stays makes an old worker leave and come back, or reload
			operation.bench.queue.recall()
			rolling.take_back_turns()
	return rolling.replacements


def stop_rolling(operation: Operation, failed: Iterable[Process], not_replaced: Iterable[Process]) -> None:
	"""Note and emit which workers stay in service with the old code."""
	names = [process.name for process in not_replaced]
	operation.report.not_replaced = names
	operation.emit(events.RollingStopped(tuple(process.name for process in failed), tuple(names)))


class Rolling:
	"""Replaces workers one after the other, or a share of each queue's workers at once, while the queue runs."""

	def __init__(
		self,
		operation: Operation,
		workers: list[Process],
		reloads: list[Reload],
		failed_before: Collection[Process] = (),
	) -> None:
		self.operation, self.bench = operation, operation.bench
		self.failed_before = tuple(failed_before)
		self.is_out_of_time = False
		self.is_stopping = False  # no further worker is made to leave
		self.reloads = reloads
		self.replacements = [*begin_replacements(operation, workers, StopMethod.OTHERS), *reloads]
		operation.report.processes += [reload.change for reload in reloads]
		self.seen: dict[str, str | None] = {}  # worker's name → the job it was last seen with
		self.up_since: dict[str, float] = {}  # process name → when its new worker was first seen
		self.pills: dict[str, float] = {}  # those that may still take effect, by id → when last seen
		#: names of programs that are still the old ones, with a worker that nobody has told to leave
		self.staying: set[str] = set()
		#: program known by its host name alone → the worker that it had at first
		self.first: dict[str, str] = {}
		self.told: set[str] = set()  # names of programs whose manager was told to end them, or is to be
		self.to_tell: dict[str, Replacement] = {}  # of those whose manager was not told yet, by the pill

	def is_done(self) -> bool:
		"""Look once, and let the next workers go. Raises Interrupted and ProcessFault."""
		follow(self.operation, self.replacements)
		self.heed_stop_request()
		look = self.operation.look()
		for reload in self.reloads:
			reload.see(look)
		self.tell_takers(look)
		staying = {it.old.name for it, worker in self.pairs(look) if not worker.is_leaving}
		self.staying = staying - self.told
		self.note_new_workers(look)
		self.check_pills()
		if self.must_stop():
			return self.are_all_back()
		self.let_free_ones_go(look)
		return all(
			replacement.stage is Stage.FAILED or self.is_settled(replacement)
			for replacement in self.replacements
		)

	def let_free_ones_go(self, look: Look) -> None:
		"""As many as may be away."""
		old = self.old_workers(look)
		waiting = {
			it.worker.name: it for it in self.reloads if it.stage is Stage.WAITING and it.is_registered
		}
		# pools and the scheduler are always free
		candidates = [*old, *(it.worker for it in waiting.values())]
		free = [worker for worker in candidates if self.is_free(worker)]
		self.seen = {worker.name: worker.job_id for worker in candidates}
		self.pass_turns_on(free)
		for worker in free:
			if not self.may_go(worker, look):
				continue
			if worker.name in waiting:
				waiting[worker.name].begin()
			else:
				names, told = [w.name for w in old], sorted(self.replaceable(look))
				pill = self.bench.queue.ask_to_leave(worker.queues[0], names, told)
				self.pills[pill] = self.bench.clock.now()

	def replaceable(self, look: Look) -> dict[str, Replacement]:
		"""
		Old workers whose manager makes the successor in the same moment in which it tells them to end, by name; one that left by
		itself would be back only after a while. That manager knows them by their host names, so that no other one is told.
		"""
		known = ((it, worker) for it, worker in self.pairs(look) if it.old.rolls_out and it.old.host)
		return {
			worker.name: it
			for it, worker in known
			if it.stage is Stage.STOPPING
			and it.method is StopMethod.OTHERS
			and it.old.alone_since is not None
		}

	def tell_takers(self, look: Look) -> None:
		"""
		Such a worker that is at work with a pill loses no job, and stays so until it is told to end. One whose manager could not be
		told in time has left by itself: what has its place then may be its successor, and must not be told.
		"""
		replaceable = self.replaceable(look)
		is_asked = replaceable and (self.pills or self.to_tell)
		takers = self.bench.queue.takers([*self.pills, *self.to_tell]) if is_asked else {}
		for pill, replacement in self.to_tell.items():
			if pill not in takers and replacement.order is Order.LEAVE:
				replacement.order = None
		for pill in self.pills.keys() & takers.keys():
			if takers[pill] in replaceable:
				self.to_tell[pill] = replacement = replaceable[takers[pill]]
				replacement.order = Order.LEAVE
				self.told.add(replacement.old.name)
				del self.pills[pill]
		self.to_tell = {pill: it for pill, it in self.to_tell.items() if it.order is Order.LEAVE}

	def pass_turns_on(self, free: Iterable[Worker]) -> None:
		"""One that was asked and has taken a job before it saw that gives its turn to one that is idle."""
		if any(worker.state is not WorkerState.BUSY for worker in free):
			self.take_back_turns()

	def take_back_turns(self) -> None:
		"""Of those that reload only when their job has ended."""
		for reload in self.reloads:
			if reload.is_asked and reload.is_at_work:
				reload.withdraw()

	def failed(self) -> list[Process]:
		"""Processes that did not come back, those from before the rolling included."""
		return [
			*self.failed_before,
			*(replacement.old for replacement in self.replacements if replacement.stage is Stage.FAILED),
		]

	def waiting(self) -> list[Process]:
		"""Workers and pools that are still the old ones."""
		old = {Stage.WAITING, Stage.STOPPING}
		return [it.old for it in self.replacements if it.stage in old and not it.remark]

	def must_stop(self) -> bool:
		"""Too many failures, one and a request to stop, or no time left. Workers that took no pill keep running."""
		failures = len(self.failed())
		is_enough = failures >= self.operation.options.rolling_max_failures
		is_asked = failures > 0 and self.operation.stop_requested.is_set()
		if (is_enough or is_asked or self.is_out_of_time) and not self.is_stopping:
			self.bench.queue.recall()
			self.take_back_turns()
			self.is_stopping = True
		return self.is_stopping

	def are_all_back(self) -> bool:
		"""A pill that was taken at the last moment shows within TAKES_EFFECT; its worker has to come back first."""
		is_asked = any(it.is_asked and not it.is_at_work for it in self.reloads)
		return not (self.pills or is_asked or any(map(self.is_away, self.replacements)))

	def note_not_replaced(self) -> None:
		"""Where it ended early because of failures."""
		if self.failed() and self.waiting():
			stop_rolling(self.operation, self.failed(), self.waiting())

	def heed_stop_request(self) -> None:
		"""Between two workers it can end at any time; one that is away has to come back first. A failure is reported instead. Raises Interrupted."""
		if not self.operation.stop_requested.is_set() or self.failed():
			return
		self.take_back_turns()
		if not any(self.is_away(replacement) for replacement in self.replacements):
			raise Interrupted(
				f"Stopped on request. {self.left_over()}", hint="Type the same command to replace the rest."
			)

	def old_workers(self, look: Look) -> list[Worker]:
		"""Those that run the old code, and have not been told to leave."""
		old = (
			worker
			for it, worker in self.pairs(look)
			if it.stage is Stage.STOPPING and it.method is StopMethod.OTHERS
		)
		return [worker for worker in old if worker.queues and not worker.is_leaving]

	def pairs(self, look: Look) -> Iterator[tuple[Replacement, Worker]]:
		"""Programs that are still the old ones, each with its registered worker."""
		live = live_workers(look)
		for it in self.replacements:
			# elsewhere its record may tell it by its birth alone
			program = it.current if it.old.host else it.old
			if program.is_same_as(it.old):
				own = [worker for worker in live if is_of(program, worker, look)]
				yield from ((it, worker) for worker in own if self.is_first(program, worker))

	def is_first(self, program: Process, worker: Worker) -> bool:
		"""
		Where a worker is known by its host name, its successor has the same one. It registers with Redis before its manager says that
		the old process has ended, and must not be told to leave, too.
		"""
		if program.alone_since is None:
			return True
		return self.first.setdefault(program.name, worker.name) == worker.name

	def is_free(self, worker: Worker) -> bool:
		"""Idle, or its job has just ended: one that is in the middle of a job would only let the pill wait."""
		return (
			worker.state is not WorkerState.BUSY or self.seen.get(worker.name, worker.job_id) != worker.job_id
		)

	def may_go(self, worker: Worker, look: Look) -> bool:
		"""A pill may be taken by any old worker of its queue: the most that could be away then must be allowed."""
		if not worker.queues:
			return True  # the scheduler
		away = len(self.pills) + sum(self.is_away(replacement) for replacement in self.replacements)
		return away < min(self.allowed(queue, look) for queue in worker.queues)

	def allowed(self, queue: str, look: Look) -> int:
		"""How many of a queue's workers may be away at once: the share asked for, never all unless it has just one."""
		away = [replacement for replacement in self.replacements if self.is_away(replacement)]
		asked = {it.worker.name for it in away if isinstance(it, Reload)}
		listening = [worker for worker in live_workers(look) if worker.name not in asked]
		alone = sum(not isinstance(it, PoolReload) for it in away)  # the workers of a pool are listed
		listeners = alone + sum(queue in worker.queues for worker in listening)
		share = math.floor(self.operation.options.rolling_share * listeners)
		return max(1, min(share, listeners - 1))

	def is_away(self, replacement: Replacement) -> bool:
		"""On its way out, gone, or not back for long enough."""
		if isinstance(replacement, Reload) and replacement.stage in (Stage.WAITING, Stage.STOPPING):
			return replacement.is_missing
		if replacement.stage is Stage.STOPPING:
			return replacement.old.name not in self.staying
		return replacement.stage is not Stage.FAILED and not self.is_settled(replacement)

	def is_settled(self, replacement: Replacement) -> bool:
		"""Its new worker has been registered for long enough."""
		since = self.up_since.get(replacement.old.name)
		return (
			replacement.stage is Stage.UP and since is not None and self.bench.clock.now() - since >= STAYS_UP
		)

	def note_new_workers(self, look: Look) -> None:
		"""A program that runs, and registers no worker in time, has failed."""
		now = self.bench.clock.now()
		come = [it for it in self.replacements if it.stage is Stage.UP and it.old.name not in self.up_since]
		registered = self.with_workers(look, {it.change.new_pid for it in come if not it.old.host} - {None})
		for replacement in come:
			host, pid = replacement.old.host, replacement.change.new_pid
			is_there = bool(host) and self.is_registered_elsewhere(replacement.current, look)
			registers = replacement.old.runs_jobs and replacement.change.by is ReplacedBy.MANAGER
			if is_there or (not host and pid in registered) or not registers:
				self.up_since[replacement.old.name] = now
			elif now - replacement.started_at > REGISTERS_WITHIN:
				replacement.fail("it runs, but no worker of it has registered with Redis")

	def is_registered_elsewhere(self, process: Process, look: Look) -> bool:
		"""A worker of this program of another machine is known."""
		return any(is_of(process, worker, look) for worker in live_workers(look))

	def with_workers(self, look: Look, pids: Collection[int]) -> set[int | None]:
		"""Those of these processes that are workers, or have some below them, as a pool has."""
		return {self.bench.host.head(pid, pids) for pid in look.local.pids} if pids else set()

	def check_pills(self) -> None:
		"""One that was taken is forgotten a moment later: by then it shows who leaves, if anybody does."""
		statuses = self.bench.queue.statuses(self.pills)
		if "failed" in statuses.values():
			raise ProcessFault(
				"A worker does not know the order to leave: it was started before fmx_restart was installed.",
				hint="Restart once with --wait-workers; from then on --rolling works.",
			)
		now = self.bench.clock.now()
		self.pills.update((id, now) for id, status in statuses.items() if status is not None)
		self.pills = {id: seen for id, seen in self.pills.items() if now - seen < TAKES_EFFECT}

	def timeout(self) -> DrainTimeout:
		"""The error for a time limit that is over."""
		return DrainTimeout(
			f"Timeout reached. {self.left_over()}",
			hint="Type the same command again to replace the rest, without --wait-workers-timeout for no limit.",
		)

	def left_over(self) -> str:
		"""Which workers are still the old ones, in a sentence; the report has them too."""
		self.operation.report.not_replaced = left = [process.name for process in self.waiting()]
		partly = "".join(f" {it.old.name} has new code{it.remark}." for it in self.reloads if it.remark)
		return f"Not replaced: {', '.join(left) or 'none'}. They keep running with the old code; all others are new.{partly}"
