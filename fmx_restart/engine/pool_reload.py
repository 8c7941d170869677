"""
A pool that reloads in place: its process goes on with new code, and replaces its workers by itself, a few at a time, each when its job has
ended. The pool is new when no worker of its former code is left.
"""

from __future__ import annotations

from fmx_restart.engine import events
from fmx_restart.engine.ports import Look, Pool, Worker, WorkerState
from fmx_restart.engine.reload import ANSWERS_WITHIN, Reload
from fmx_restart.engine.replacement import Stage
from fmx_restart.engine.workers import members

#: Seconds in which none of its workers comes or goes, once all former ones have a job: the rest comes when these jobs have ended
STEADY = 3.0


class PoolReload(Reload):
	"""
	`worker`: the record of the pool. Once its process has new code, nothing is left to be asked or taken back. The pool is at work where
	only jobs of its former workers are waited for.
	"""

	worker: Pool
	MISSING = "its record is not in Redis any more"
	may_leave = False  # all of its workers would leave at once
	has_new_code = False  # its process
	former: tuple[Worker, ...] = ()  # its workers with the former code

	@property
	def is_asked(self) -> bool:
		return super().is_asked and not self.has_new_code

	@property
	def is_missing(self) -> bool:
		return super().is_missing and not (self.is_at_work and self.is_registered)

	@property
	def other_way(self) -> str:
		if self.old.is_managed and not self.old.stays:
			return "Type bench safe-restart --wait-workers: it restarts the pool through its process manager."
		return super().other_way

	@property
	def remark(self) -> str:
		number = len(self.former)
		if self.is_settled or not self.has_new_code or not number:
			return ""
		what = "one worker, which ends its job" if number == 1 else f"{number} workers, which end their jobs"
		return f" (but for {what} first)"

	def withdraw(self) -> None:
		if not self.has_new_code:
			super().withdraw()

	def may_have_begun(self, look: Look) -> bool:
		if self.is_settled:
			return False
		is_trying = not self.has_new_code and self.is_trying(look)
		is_replacing = self.has_new_code and not self.is_at_work
		return is_trying or is_replacing or not self.is_registered or self.needs_manager

	def is_trying(self, look: Look) -> bool:
		return self.worker.is_trying

	def see(self, look: Look) -> None:
		super().see(look)
		if self.has_new_code and self.is_registered and self.stage is Stage.STOPPING:
			self._see_workers(members(self.worker, look))

	def records(self, look: Look) -> list[Pool]:
		return list(look.pools)

	def note_down(self) -> None:
		self.former, self.change.workers, self.change.former_workers = (), 0, 0
		super().note_down()

	def _note_answer(self, pool: Pool) -> bool:
		if not self.has_new_code:
			return super()._note_answer(pool)
		self.worker = pool
		return True

	def _note_reloaded(self, former: Pool) -> None:
		now = self.bench.clock.now()
		self.has_new_code, self.stage = True, Stage.STOPPING
		self.change.new_pid, self.change.seconds_down = self.old.pid, 0.0
		self.change.workers = self.worker.size
		self._free_since = self._changed_at = now
		self._seen: frozenset[str] = frozenset()
		self._forget_request(former)

	def _see_workers(self, workers: list[Worker]) -> None:
		now, times = self.bench.clock.now(), self.worker.reload.times
		self.former = tuple(worker for worker in workers if worker.membership.times < times)
		self.change.former_workers = len(self.former)
		is_busy = bool(self.former) and all(worker.state is WorkerState.BUSY for worker in self.former)
		names = frozenset(worker.name for worker in workers)
		if names != self._seen:
			self._seen, self._changed_at = names, now
		if is_busy or self._changed_at == now:
			self._free_since = now
		self.is_at_work = is_busy and now - self._changed_at >= STEADY
		if self._are_all_new(workers):
			self._note_all_new()
		elif now - self._free_since > ANSWERS_WITHIN:
			self._give_up_workers(len(workers))

	def _are_all_new(self, workers: list[Worker]) -> bool:
		serving = [worker for worker in workers if worker.state is not WorkerState.STARTED]
		return not self.former and len(serving) >= self.worker.size

	def _note_all_new(self) -> None:
		now, pid = self.bench.clock.now(), self.old.pid
		self.stage, self.up_at, self.is_at_work = Stage.UP, now, False
		seconds = now - self.stopped_at
		self.emit(events.WorkerReloaded(self.old.name, self.old.kind, pid, seconds, self.worker.size))

	def _give_up_workers(self, number: int) -> None:
		there, size = f" on {self.old.host}" if self.old.host else "", self.worker.size
		if number < size:
			left = f"; {len(self.former)} of them keep the old code and go on serving" if self.former else ""
			self.fail(f"its process has new code, and only {number} of its {size} workers are there{left}")
			log = f"the log of the pool (pid {self.old.pid}{there})"
			self.remedy = f"Look at {log}: it says why a new worker does not start."
			return
		pids = " ".join(str(worker.pid) for worker in self.former)
		self.fail(f"its process has new code, and these of its workers do not leave: pid {pids}")
		self.remedy = (
			f"Look at them{there}: kill -CONT {pids} if they are stopped. The pool replaces them then."
		)
