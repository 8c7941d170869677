"""RQ's queues, registries and the operation's mailbox in one process. How workers behave stands in workers.py."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import count
from statistics import median

from fmx_restart.engine.ledger import Beat, Ids, Inventory, Place, Places, id_of, no_beat
from fmx_restart.engine.ports import (
	Job,
	Look,
	Mail,
	PutBack,
	Reloadable,
	ReloadRecord,
	Request,
	StartedJob,
	Trial,
	UnreadableRecord,
	UnreadableRecords,
	Worker,
)
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.leases import InMemoryFence, Server, Suspension
from fmx_restart.testing.pools import PoolLoops, SimulatedPool
from fmx_restart.testing.processes import InMemoryHost, ignore_kill
from fmx_restart.testing.workers import (
	HEARS_BELL,
	IMPORTS,
	POLL,
	WAKE,
	SimulatedWorker,
	Task,
	WorkerLoops,
	horse_pid,
)

PAGE = 100  # ids read at once
ENDS = {"started": Place.RUNNING, "finished": Place.FINISHED, "failed": Place.FAILED}
REGISTRY_MARGIN = 90.0  # seconds until RQ gives up on a started job without a heartbeat


def ignore_leaver(_host: str, _pid: int) -> None:
	"""What follows from its end, unless a bench says otherwise."""


@dataclass
class InMemoryQueue(WorkerLoops, PoolLoops):
	clock: FakeClock
	server: Server = field(default_factory=Server)
	suspension: Suspension = field(init=False)
	tasks: dict[str, Task] = field(default_factory=dict)
	lists: dict[str, list[str]] = field(default_factory=dict)
	workers: dict[str, SimulatedWorker] = field(default_factory=dict)
	blocked: list[SimulatedWorker] = field(default_factory=list)  # longest waiting first
	other_benches: dict[str, int] = field(default_factory=dict)
	when_left: Callable[[int], object] = ignore_kill  # a worker with this pid ended by itself
	when_left_elsewhere: Callable[[str, int], object] = ignore_leaver  # one of another machine did
	host: InMemoryHost | None = None  # where horses show up, if a test looks at processes
	address: str = "in-memory:1"
	page_takes: float = 0.0  # seconds for each page of a long look; others act meanwhile
	is_seen: set[str] = field(default_factory=set)  # names of workers that were in a look
	pools: dict[str, SimulatedPool] = field(default_factory=dict)
	asked: dict[str, int] = field(default_factory=dict)  # worker or pool → the number of a request to reload
	refusals: dict[str, str] = field(default_factory=dict)  # worker or pool → why its new code cannot be run
	tried: dict[str, Trial] = field(default_factory=dict)  # worker → what it found on its host
	scheduler: str = ""  # of this app, as people know it
	is_scheduler_asked: bool = False
	odd: list[UnreadableRecord] = field(default_factory=list)  # what a test says that other programs wrote
	_wakes: count = field(default_factory=lambda: count(1))
	_numbers: count = field(default_factory=lambda: count(1))

	def __post_init__(self) -> None:
		self.suspension = Suspension(self.clock, self.server)

	@property
	def is_away(self) -> bool:
		"""Redis does not answer: every call raises QueueUnreachable."""
		return self.server.is_away

	@is_away.setter
	def is_away(self, away: bool) -> None:
		self.server.is_away = away

	# what a test does to it

	def add_worker(
		self, name: str, pid: int, queues: Collection[str] = ("default",), **how
	) -> SimulatedWorker:
		"""A worker that registers, beats, and pops as long as the queue is not suspended."""
		worker = SimulatedWorker(name, pid, tuple(queues), born=self.clock.time(), **how)
		self.workers[name] = worker
		self._beat(worker)
		self._loop(worker)
		return worker

	def enqueue(self, id: str, **how) -> Task:
		"""Push a job; an idle worker takes it at once."""
		task = self.tasks[id] = Task(id, enqueued=self.clock.time(), **how)
		self.lists.setdefault(task.queue, []).append(id)
		self._serve(task.queue)
		return task

	def stop_worker(self, name: str) -> None:
		"""A TERM: at once unless it is busy (warm shutdown, rq/worker.py request_stop)."""
		worker = self.workers[name]
		if worker.is_dead:
			return
		worker.is_dead = True
		if worker.task is None:
			self._unregister(worker)

	def is_at_work(self, name: str) -> bool:
		"""The worker runs a job. False for one that does not exist."""
		return name in self.workers and self.workers[name].task is not None

	def kill_horse(self, pid: int) -> None:
		"""Its worker notices, and records the job as failed (rq/worker.py monitor_work_horse)."""
		for worker in self.workers.values():
			if worker.task and horse_pid(worker) == pid:
				worker.task.status = "failed"
				worker.task.reasons.append("Work-horse terminated unexpectedly")
				worker.task = None
				self.clock.after(0.01, lambda worker=worker: self._loop(worker))

	def kill_worker(self, name: str) -> None:
		"""SIGKILL to it and its horse: its record stays, its job stays started, nobody works on it."""
		worker = self.workers[name]
		if self.host and not worker.is_unseen:
			self.host.remove(horse_pid(worker))
		worker.beat_at = self._last_beat(worker)
		worker.is_dead = True
		worker.task = None
		if worker in self.blocked:
			self.blocked.remove(worker)

	def has_unseen_clients(self) -> bool:
		"""Whether a worker is connected that is in no process table of ours."""
		living = [worker for worker in self.workers.values() if worker.task or not worker.is_dead]
		return any(worker.is_unseen or not self.host.process(worker.pid) for worker in living)

	def lose(self, id: str) -> None:
		"""A worker pops the job and dies before it marks it (rq #2236)."""
		self.lists[self.tasks[id].queue].remove(id)

	def step_clock(self, seconds: float) -> None:
		"""The clock on the wall is set, by which Redis lets things expire."""
		self.clock.step(seconds)
		for slot in self.server.slots:
			if slot.expires is not None:
				slot.expires -= seconds

	def forget(self) -> None:
		"""Redis loses all its data. Who runs goes on, and enters only what changes (rq/worker.py register_birth)."""
		self.tasks.clear()
		self.lists.clear()
		for slot in self.server.slots:
			slot.clear()
		for worker in self.workers.values():
			worker.is_recorded = False

	# the port

	def fail(self, ids: Iterable[str], reason: str) -> None:
		self.server.take()
		for id in self.tasks.keys() & set(ids):
			task = self.tasks[id]
			if reason not in task.reasons:
				task.status = "failed"
				task.reasons.append(reason)

	def requeue(self, ids: Iterable[str], reason: str) -> list[str]:
		self.server.take()
		killed = [id for id in ids if id in self.tasks and self.tasks[id].reason == reason]
		for id in reversed(killed):
			task = self.tasks[id]
			if task.status == "failed":
				task.status = "queued"
				self.lists.setdefault(task.queue, []).insert(0, id)
				self._serve(task.queue)
		return killed

	def look(self) -> Look:
		self.server.answer()
		for worker in self.workers.values():
			worker.is_recorded = worker.is_recorded and self._expires(worker) > 0
		self.is_seen |= {worker.name for worker in self.workers.values() if worker.is_recorded}
		known = [worker for worker in self.workers.values() if worker.name in self.is_seen]
		return Look(
			time=self.clock.time(),
			workers=tuple(self._seen(worker) for worker in known),
			depths=self._depths(),
			started=tuple(self._started()),
			suspension=self.suspension.standing(),
			other_benches=dict(self.other_benches),
			pools=tuple(pool.port() for pool in self.pools.values() if pool.size),
			scheduler=self._scheduler_seen(),
		)

	def reached_at(self) -> str:
		self.server.answer()
		return self.address

	def wake(self, workers: Collection[Worker]) -> None:
		self.server.take()
		for worker in workers:
			if worker.is_lossless:
				simulated = self.workers[worker.name]
				self.clock.after(HEARS_BELL, lambda simulated=simulated: self._look_up(simulated))
				continue
			task = Task(f"{WAKE}{next(self._wakes)}", worker.queues[0], enqueued=self.clock.time())
			self.tasks[task.id] = task
			self.lists.setdefault(task.queue, []).insert(0, task.id)
		for queue in list(self.lists):
			self._serve(queue)

	def ask_to_leave(self, queue: str, names: Collection[str], told: Collection[str] = ()) -> str:
		self.server.take()
		task = Task(f"{WAKE}{next(self._wakes)}", queue, enqueued=self.clock.time())
		task.leavers, task.told = frozenset(names), frozenset(told)
		self.tasks[task.id] = task
		self.lists.setdefault(queue, []).insert(0, task.id)
		self._serve(queue)
		return task.id

	def ask_to_reload(self, whom: Collection[Reloadable]) -> None:
		self.server.take()
		self.asked.update((one.name, next(self._numbers)) for one in whom)

	def withdraw_reloads(self, whom: Collection[Reloadable]) -> None:
		self.server.take()
		for one in whom:
			self.asked.pop(one.name, None)

	def ask_to_try(self, workers: Collection[Worker]) -> None:
		self.server.take()
		self.tried = {}
		for name in [worker.name for worker in workers]:
			if self.workers[name].is_lossless and not self.workers[name].is_hung:
				self.clock.after(POLL, lambda name=name: self.tried.update({name: Trial(is_seen=True)}))
				self.clock.after(POLL + IMPORTS, lambda name=name: self._note_tried(name))

	def _note_tried(self, name: str) -> None:
		fault = self.refusals.get(name.partition("+")[0], "")
		self.tried[name] = Trial(is_seen=True, is_over=True, fault=fault)

	def trials(self, workers: Collection[Worker]) -> dict[str, Trial]:
		self.server.answer()
		return {worker.name: self.tried.get(worker.name, Trial()) for worker in workers}

	def ask_scheduler_to_reload(self) -> str:
		self.server.take()
		self.is_scheduler_asked = bool(self.scheduler)
		return self.scheduler

	def recall(self) -> int:
		self.server.answer()
		wakes = [id for ids in self.lists.values() for id in ids if id.startswith(WAKE)]
		for id in wakes:
			self.lists[self.tasks.pop(id).queue].remove(id)
		return len(wakes)

	def describe(self, ids: Iterable[str]) -> dict[str, Job]:
		self.server.answer()
		return {id: to_job(self.tasks[id]) for id in ids if id in self.tasks}

	def usual_durations(self, methods: Collection[str]) -> dict[str, float]:
		self.server.answer()
		took: dict[str, list[float]] = {}
		for task in self.tasks.values():
			if task.status == "finished" and task.method in methods:
				took.setdefault(task.method, []).append(task.seconds)
		return {method: median(seconds) for method, seconds in took.items()}

	def inventory(self, beat: Beat = no_beat) -> Inventory:
		"""As Redis is read: each queue from its end, page by page, then whoever has left it."""
		self.server.answer()
		now, places = self.clock.time(), Places()
		for queue in list(self.lists):
			read = 0
			while page := self.lists[queue][: len(self.lists[queue]) - read][-PAGE:]:
				places.add(Place.WAITING, ids_of(page))
				read += len(page)
				self._turn_page(beat)
		for status, place in ENDS.items():
			ids = [id for id, task in self.tasks.items() if task.status == status]
			places.add(place, ids_of(ids))
			self._turn_page(beat)
		return Inventory(now, places)

	def _turn_page(self, beat: Beat) -> None:
		"""Others act meanwhile."""
		self.clock.sleep(self.page_takes)
		beat()
		self.server.answer()

	def unreadable(self) -> UnreadableRecords:
		return UnreadableRecords(len(self.odd), tuple(self.odd))

	def statuses(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, str | None]:
		self.server.answer()
		return {id: self.tasks[id].status if id in self.tasks else None for id in ids}

	def takers(self, pills: Iterable[str]) -> dict[str, str]:
		self.server.answer()
		tasks = (self.tasks[id] for id in pills if id in self.tasks)
		return {task.id: task.worker for task in tasks if task.status == "started" and task.worker}

	def hashes(self, beat: Beat = no_beat) -> Ids:
		self.server.answer()
		ids, names = Ids(), list(self.tasks)
		for begin in range(0, len(names), PAGE):
			ids.add(ids_of(names[begin : begin + PAGE]))
			self._turn_page(beat)
		return ids

	def queued(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, float]:
		ids = list(ids)
		self._turn_page(beat)
		tasks = (self.tasks[id] for id in ids if id in self.tasks)
		return {task.id: task.enqueued for task in tasks if task.status == "queued"}

	def put_back(self, ids: Iterable[str], fence: InMemoryFence, beat: Beat = no_beat) -> PutBack:
		outcome, taken = PutBack(), fence.taken
		for id in reversed(list(ids)):
			self._turn_page(beat)
			if outcome.refused or fence.taken != taken or not fence.has_stood():
				outcome.refused.append(id)
			elif self._is_ghost(id):
				self.server.take()
				queue = self.tasks[id].queue
				self.lists.setdefault(queue, []).insert(0, id)
				self._serve(queue)
				outcome.pushed.append(id)
		return outcome

	def _is_ghost(self, id: str) -> bool:
		is_queued = id in self.tasks and self.tasks[id].status == "queued"
		return is_queued and not any(id in ids for ids in self.lists.values())

	def _depths(self) -> dict[str, int]:
		known = {queue for worker in self.workers.values() for queue in worker.queues} | self.lists.keys()
		return {queue: len(self.lists.get(queue, [])) for queue in known}

	def _seen(self, worker: SimulatedWorker) -> Worker:
		id = worker.task.id if worker.task and not worker.task.id.startswith(WAKE) else None
		return Worker(
			worker.name,
			worker.host,
			worker.pid,
			worker.queues,
			worker.state,
			id,
			worker.born,
			self.clock.time_at(self._last_beat(worker)),
			self._expires(worker) if worker.is_recorded else None,
			is_leaving=worker.is_dead and worker.task is not None,
			is_recorded=worker.is_recorded,
			is_lossless=worker.is_lossless,
			reload=self._reload_record(worker) if worker.is_lossless and not worker.pool else None,
			membership=self._membership(worker),
		)

	def _reload_record(self, worker: SimulatedWorker) -> ReloadRecord:
		process = f"{worker.host} {worker.pid}"
		return ReloadRecord(process, worker.times, worker.answered, worker.refused)

	def _started(self) -> Iterable[StartedJob]:
		for task in self.tasks.values():
			if task.status == "started" and not task.id.startswith(WAKE):
				worker = self.workers.get(task.worker or "")
				is_run = worker is not None and worker.task is task
				beat = self.clock.time_at(self._last_beat(worker)) if is_run else task.started or 0.0
				yield StartedJob(task.id, task.worker, beat + REGISTRY_MARGIN)


def to_job(task: Task) -> Job:
	"""A simulated job as the engine sees it."""
	return Job(task.id, task.site, task.method, task.queue, task.started, task.timeout, task.is_own)


def ids_of(names: Iterable[str]) -> list[bytes]:
	"""Without wake-ups."""
	return [id_of(name) for name in names if not name.startswith(WAKE)]


@dataclass
class InMemoryRequests:
	waiting: list[Request] = field(default_factory=list)
	unreadable: list[str] = field(default_factory=list)  # what others put there: why it cannot be read

	def take(self) -> Mail:
		mail = Mail(tuple(self.waiting), tuple(self.unreadable))
		self.waiting.clear()
		self.unreadable.clear()
		return mail

	def put(self, request: Request) -> None:
		"""Ask; the operation reads it at its next poll."""
		self.waiting.append(request)
