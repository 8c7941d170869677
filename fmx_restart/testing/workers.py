"""
RQ's workers in one process: they block in their pop, look at the suspension only at the top of their loop, and poll it
once a second while suspended, as RQ's do (facts: rq/worker.py work, check_for_suspension). Those of this app look at the
suspension in the step in which they pop, once a second, and when a bell rings (worker/bells.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fmx_restart.engine.ports import WorkerState

WAKE = "wake-"
TOLD_WITHIN = 30.0  # seconds, as in leave.py
POLL = 1.0  # seconds between two looks of a suspended worker at the suspension
IMPORTS = 1.0  # seconds that it takes to try new code, and once more to boot with it
HEARS_BELL = 0.002  # seconds until a worker of this app has looked
#: Seconds between two heartbeats, and until Redis forgets a worker that does not beat (rq/worker.py heartbeat).
BEATS = {
	WorkerState.STARTED: (405.0, 480.0),
	WorkerState.IDLE: (405.0, 480.0),
	WorkerState.SUSPENDED: (1.0, 480.0),
	WorkerState.BUSY: (30.0, 90.0),
}


@dataclass
class Task:
	"""A job and how it behaves."""

	id: str
	queue: str = "default"
	seconds: float = 0.0  # how long it runs
	timeout: float | None = 300.0
	site: str = "one.localhost"
	method: str = "app.tasks.work"
	is_own: bool = False
	status: str | None = "queued"
	enqueued: float = 0.0
	started: float | None = None
	worker: str | None = None
	runs: int = 0  # how often it was started
	reasons: list[str] = field(default_factory=list)  # why it failed, each time; "" where it ended well
	leavers: frozenset[str] = frozenset()  # workers that leave after it
	told: frozenset[str] = frozenset()  # those of them that are at work with it until they are told to end

	@property
	def reason(self) -> str:
		"""Why it failed last; empty if it never did."""
		return self.reasons[-1] if self.reasons else ""


@dataclass
class SimulatedWorker:
	name: str
	pid: int
	queues: tuple[str, ...] = ("default",)
	host: str = "host-1"
	state: WorkerState = WorkerState.STARTED
	task: Task | None = None
	born: float = 0.0
	beat_at: float = 0.0  # the clock's now() at its last change of state
	is_dead: bool = False
	is_hung: bool = False  # takes nothing and says nothing
	is_recorded: bool = True
	is_unseen: bool = False  # its pid counts in another namespace
	is_lossless: bool = False  # of this app
	times: int = 0  # how often it was reloaded
	answered: int = 0  # the number of the newest request that it has followed or refused
	refused: str = ""
	pool: str = ""  # the name of its pool, one of this app


class WorkerLoops:
	"""How workers behave; the queue that they listen to brings its lists, its clock and its host."""

	def _loop(self, worker: SimulatedWorker) -> None:
		"""The top of a worker's loop: the only place where it looks at the suspension."""
		if worker.is_dead:
			self._unregister(worker)
		elif self.server.is_away:
			self.clock.after(POLL, lambda: self._loop(worker))
		elif worker.is_lossless and self.asked.get(worker.name, 0) > worker.answered:
			if worker.pool:
				self._leave_pool(worker)
			else:
				self._try_new_code(worker, self.asked[worker.name])
		elif self.suspension.standing() is not None:
			worker.state = WorkerState.SUSPENDED
			self._beat(worker)
			self.clock.after(POLL, lambda: self._loop(worker))
		else:
			worker.state = WorkerState.IDLE
			self._beat(worker)
			self.blocked.append(worker)
			for queue in worker.queues:
				self._serve(queue)
			if worker.is_lossless:
				self.clock.after(POLL, lambda: self._look_up(worker))

	def _try_new_code(self, worker: SimulatedWorker, number: int) -> None:
		worker.state = WorkerState.SUSPENDED
		self._beat(worker)
		self.clock.after(IMPORTS, lambda: self._answer(worker, number))

	def _answer(self, worker: SimulatedWorker, number: int) -> None:
		"""Its process is told to leave, or gone, in the meantime; or it refuses; or it is another worker of the same process."""
		if worker.is_dead or worker.is_hung:
			self._loop(worker)
			return
		if self.server.is_away:
			self.clock.after(POLL, lambda: self._answer(worker, number))
			return
		if why := self.refusals.get(worker.name.partition("+")[0]):
			worker.answered, worker.refused = number, why
			self._loop(worker)
			return
		self._unregister(worker)
		times = worker.times + 1
		name = f"{worker.name.partition('+')[0]}+{times}"
		new = replace(worker, name=name, times=times, answered=number, refused="", state=WorkerState.STARTED)
		self.clock.after(IMPORTS, lambda: self._boot(new))

	def _boot(self, worker: SimulatedWorker) -> None:
		if self.host and not worker.is_unseen and not self.host.process(worker.pid):
			return  # it was ended meanwhile
		if self.server.is_away:
			self.clock.after(POLL, lambda: self._boot(worker))
			return
		worker.born = self.clock.time()
		self.workers[worker.name] = worker
		self._loop(worker)

	def _look_up(self, worker: SimulatedWorker) -> None:
		"""One of this app looks by itself, unless it has a job meanwhile."""
		if worker in self.blocked and not worker.is_hung:
			self.blocked.remove(worker)
			self._loop(worker)

	def _hears(self, worker: SimulatedWorker) -> bool:
		"""Whether a pop that is answered now may take a job: one of this app looks at the suspension in the same step."""
		return not worker.is_hung and not (worker.is_lossless and self.suspension.standing() is not None)

	def _serve(self, queue: str) -> None:
		"""A blocking pop serves whoever waits longest."""
		ids = [] if self.server.is_away else self.lists.get(queue, [])
		for worker in [w for w in self.blocked if queue in w.queues and self._hears(w)]:
			if ids and worker in self.blocked:
				self.blocked.remove(worker)
				self._run(worker, self.tasks[ids.pop(0)])

	def _run(self, worker: SimulatedWorker, task: Task) -> None:
		worker.state, worker.task = WorkerState.BUSY, task
		task.status, task.started, task.worker = "started", self.clock.time(), worker.name
		task.runs += 1
		if self.host and self.host.process(worker.pid) and not worker.is_unseen:
			self.host.add(horse_pid(worker), parent=worker.pid, is_horse=True)
		self._beat(worker)
		self.clock.after(task.seconds, lambda: self._finish(worker, task))

	def _finish(self, worker: SimulatedWorker, task: Task) -> None:
		if worker.task is not task:
			return  # it was killed meanwhile
		if self.server.is_away:
			self.clock.after(POLL, lambda: self._finish(worker, task))  # its horse can tell nobody
			return
		if self._waits_for_its_end(worker, task):
			self.clock.after(POLL, lambda: self._finish(worker, task))
			return
		if self.host and not worker.is_unseen:
			self.host.remove(horse_pid(worker))
		worker.task = None
		task.status = "finished"
		task.reasons.append("")
		self.tasks[task.id] = task  # also where Redis had lost it
		if task.id.startswith(WAKE):
			del self.tasks[task.id]
		if worker.name in task.leavers:
			self.stop_worker(worker.name)
			self._unregister(worker)
			if worker.is_unseen:
				self.when_left_elsewhere(worker.host, worker.pid)
			else:
				self.when_left(worker.pid)
		else:
			self._loop(worker)

	def _waits_for_its_end(self, worker: SimulatedWorker, task: Task) -> bool:
		began = self.clock.time() if task.started is None else task.started
		return worker.name in task.told and not worker.is_dead and self.clock.time() - began < TOLD_WITHIN

	def _unregister(self, worker: SimulatedWorker) -> None:
		self.workers.pop(worker.name, None)
		if worker.pool and self.host and not worker.is_unseen:
			self.host.remove(worker.pid)  # no program's own process
		if worker in self.blocked:
			self.blocked.remove(worker)

	def _beat(self, worker: SimulatedWorker) -> None:
		worker.beat_at = self.clock.now()

	def _last_beat(self, worker: SimulatedWorker) -> float:
		"""The clock's now() then: RQ beats between two changes of state, too."""
		if worker.is_hung or (worker.is_dead and worker.task is None):
			return worker.beat_at
		interval, _ = BEATS[worker.state]
		return worker.beat_at + (self.clock.now() - worker.beat_at) // interval * interval

	def _expires(self, worker: SimulatedWorker) -> float:
		"""Seconds until Redis forgets it, by its own clock on the wall."""
		_, outlives = BEATS[worker.state]
		return self.clock.time_at(self._last_beat(worker)) + outlives - self.clock.time()


def horse_pid(worker: SimulatedWorker) -> int:
	"""The pid of the process that runs the worker's job."""
	return worker.pid * 1000
