"""Which workers there are: which of them are processes of this machine, which are alive, and which run a job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache

from fmx_restart.engine.frozen import changed, frozen
from fmx_restart.engine.ports import (
	Bench,
	Host,
	HostProcess,
	Likeness,
	LocalWorkers,
	Look,
	Pool,
	Process,
	Queue,
	StartedJob,
	Worker,
	WorkerState,
)
from fmx_restart.engine.waiting import Clock

#: Seconds without a heartbeat after which a worker whose record does not expire is gone. RQ beats each second while
#: suspended, each 30 s while busy, and each 405 s while idle (rq/worker.py: worker_ttl, job_monitoring_interval).
SILENCE = {
	WorkerState.SUSPENDED: 60.0,
	WorkerState.BUSY: 120.0,
	WorkerState.IDLE: 480.0,
	WorkerState.STARTED: 480.0,
}
ASK_AGAIN = 1.0  # seconds between two questions who is connected: it takes the kernel milliseconds
Managed = Callable[[], Iterable[Process]]


def no_processes() -> tuple[Process, ...]:
	"""In place of a manager's answer, where none was asked."""
	return ()


@frozen
class Claim:
	"""The record of a worker that may be this process; of several claims to one process the heaviest wins."""

	worker: Worker
	process: HostProcess
	likeness: Likeness
	was_seen: bool  # this worker was that process at an earlier look
	is_by_name: bool  # the record's host name is ours

	@property
	def weight(self) -> tuple:
		"""Compares two claims to one process."""
		return self.likeness, self.was_seen, self.is_by_name


class Locator:
	"""Tells which process each worker is. Remembers from look to look: one for each operation, or for one question."""

	def __init__(self, host: Host, queue: Queue, clock: Clock) -> None:
		self._host, self._queue, self._clock = host, queue, clock
		self._seen: dict[str, HostProcess] = {}  # by name: the process of this machine that it was
		#: by name: the heartbeat that is its last; None: not known yet
		self._ended: dict[str, float | None] = {}
		self._heard: dict[str, tuple[float, float]] = {}  # by name: a heartbeat, and when it was new to us
		self._ask_at = clock.now()
		#: of what the manager runs: for which question, pids
		self._trees: tuple[object, set[int]] = (
			None,
			set(),
		)

	def locate(self, look: Look, managed: Managed = no_processes) -> Look:
		"""
		The same look, with what can be said about where its workers are. `managed`: what the process manager runs; called
		where that must be known.
		"""
		programs = cache(lambda: tuple(managed()))
		trees = cache(lambda: self._pids_below(programs(), look))
		claims = [claim for worker in look.workers if (claim := self._claim(worker, trees))]
		claims, doubtful = settled(claims)
		running = {claim.worker.name: claim.process for claim in claims}
		self._seen |= {name: process for name, process in running.items() if name not in doubtful}
		others = [worker for worker in look.workers if worker.name not in running]
		ended = self._ended_among(others) | ended_elsewhere(others, programs)
		local = LocalWorkers(
			running,
			ended=frozenset(ended),
			silent=frozenset(worker.name for worker in others if self._is_silent(worker, look)),
			companions=frozenset(c.worker.name for c in claims if c.likeness < Likeness.WORKER),
			doubtful=doubtful,
		)
		return changed(look, local=local)

	def _claim(self, worker: Worker, trees: Callable[[], Collection[int]]) -> Claim | None:
		is_by_name = worker.host == self._host.name
		if not is_by_name and worker.pid not in trees():
			return None  # of another host: that some process here has its pid is the rule
		process = self._host.process(worker.pid) if worker.pid else None
		if process is None or worker.name in self._ended:
			return None
		likeness = self._host.likeness(process, worker)
		is_companion = likeness is Likeness.BENCH and is_by_name and worker.pid in trees()
		if likeness < Likeness.WORKER and not is_companion:
			return None
		return Claim(worker, process, likeness, self._seen.get(worker.name) == process, is_by_name)

	def _pids_below(self, managed: Iterable[Process], look: Look) -> set[int]:
		"""The whole process table is read once for the same programs and the same workers."""
		heads = frozenset(process.local_pid for process in managed if process.local_pid)
		question = heads, frozenset(worker.name for worker in look.workers)
		if question != self._trees[0]:
			self._trees = question, {process.pid for process in self._host.family(*heads)}
		return self._trees[1]

	def _ended_among(self, others: Iterable[Worker]) -> set[str]:
		"""`others` do not run here."""
		ours = [worker for worker in others if worker.host == self._host.name or worker.name in self._seen]
		ended = {worker.name for worker in ours if self._is_known_to_have_ended(worker)}
		unknown = {worker.name for worker in ours} - ended
		if unknown and self._knows_all_clients():
			self._ended.update(dict.fromkeys(unknown))
			ended |= unknown
		return ended

	def _is_known_to_have_ended(self, worker: Worker) -> bool:
		name = worker.name
		if name in self._seen:
			del self._seen[name]
			self._ended[name] = None  # it may have beaten between this look and its end
			return True
		if name not in self._ended:
			return False
		if self._ended[name] is None:
			self._ended[name] = worker.heartbeat
		if self._ended[name] != worker.heartbeat:
			del self._ended[name]
			return False
		return True

	def _knows_all_clients(self) -> bool:
		if self._clock.now() < self._ask_at:
			return False
		self._ask_at = self._clock.now() + ASK_AGAIN
		address = self._queue.reached_at()
		return bool(address) and self._host.knows_all_clients(address)

	def _is_silent(self, worker: Worker, look: Look) -> bool:
		now = self._clock.now()
		heartbeat, since = self._heard.get(worker.name, (None, now))
		if heartbeat != worker.heartbeat:
			since = now
		self._heard[worker.name] = (worker.heartbeat, since)
		if worker.expires is not None or not worker.heartbeat:
			return False  # without a heartbeat that can be read nothing tells that it is gone
		was_silent = worker.is_recorded and look.time - worker.heartbeat > SILENCE[worker.state]
		return was_silent or now - since > SILENCE[worker.state]


def ended_elsewhere(others: Iterable[Worker], programs: Managed) -> set[str]:
	"""
	`others` do not run here. Of a program that has a host name of its own, and is down or was started again since they were born, or
	has another host name now.
	"""
	others = [worker for worker in others if worker.born]
	managed = programs() if others else ()
	alone = [it for it in managed if it.alone_since is not None]
	gone = {host for program in managed for host in program.ended_hosts}
	return {
		worker.name
		for worker in others
		for program in alone
		if worker.host == program.host and (worker.born < program.alone_since or program.is_down)
	} | {worker.name for worker in others if worker.host in gone}


def settled(claims: Iterable[Claim]) -> tuple[list[Claim], frozenset[str]]:
	"""One claim for each process, and the names of workers that only their start times tell from others."""
	best: dict[HostProcess, Claim] = {}
	doubtful = set()
	for claim in sorted(claims, key=lambda claim: (claim.weight, claim.worker.born)):
		other = best.get(claim.process)
		if other and other.weight == claim.weight and claim.likeness is not Likeness.NAMED:
			doubtful.add(claim.worker.name)
		best[claim.process] = claim
	return list(best.values()), frozenset(doubtful)


def look_at(bench: Bench, managed: Managed = no_processes) -> Look:
	"""One look at the queue, and where its workers are. `managed`: what the process manager runs."""
	return Locator(bench.host, bench.queue, bench.clock).locate(bench.queue.look(), managed)


def is_live(worker: Worker, look: Look) -> bool:
	"""Whether the worker runs, here or on any machine, as far as that can be known."""
	return worker.name not in look.local.ended and worker.name not in look.local.silent


def live_workers(look: Look) -> list[Worker]:
	"""Those that run, here or elsewhere."""
	return [worker for worker in look.workers if is_live(worker, look)]


def local_workers(look: Look) -> list[Worker]:
	"""Those that run on this machine."""
	return [worker for worker in look.workers if worker.name in look.local.running]


def workers_outside(bench: Bench, look: Look, processes: Iterable[Process]) -> list[Worker]:
	"""Live workers that none of these processes is, or has in its tree."""
	inside = runners(processes, look, bench.host)
	return [worker for worker in live_workers(look) if worker.name not in inside]


def with_workers(processes: Iterable[Process], look: Look, host: Host) -> list[Process]:
	"""Which of the manager's processes have a registered worker in their tree, whatever their commands say."""
	processes = list(processes)
	with_worker = {process.name for process in runners(processes, look, host).values()}
	return [changed(process, has_workers=process.name in with_worker) for process in processes]


def runners(processes: Iterable[Process], look: Look, host: Host) -> dict[str, Process]:
	"""
	By a worker's name: the one of these processes that it is, or descends from. Here the process table tells, of another
	machine its record.
	"""
	processes = list(processes)
	heads = {process.local_pid: process for process in processes if process.local_pid}
	owners = {name: heads.get(host.head(local.pid, heads)) for name, local in look.local.running.items()}
	for worker in look.workers:
		if worker.name not in look.local.running:
			remote = (process for process in processes if is_elsewhere_in(process, worker, look))
			owners[worker.name] = next(remote, None)
	return {name: process for name, process in owners.items() if process is not None}


def is_elsewhere_in(process: Process, worker: Worker, look: Look) -> bool:
	"""Whether a worker of another machine is this process of that machine, or below it: by its record."""
	return any(process.is_at(*place) for place in places_of(worker, look))


def is_of(process: Process, worker: Worker, look: Look) -> bool:
	"""Whether this worker is that process itself: here by its pid, of another machine by its own record."""
	if worker.name in look.local.running:
		return process.local_pid == worker.pid
	return process.is_at(worker.host, worker.pid, worker.born)


def host_of(worker: Worker, look: Look, programs: Mapping[str, Process], here: str) -> str:
	"""The name of the host that it runs on, as its manager knows it, else as it says. `programs`: of runners."""
	if worker.name in look.local.running:
		return here
	program = programs.get(worker.name)
	return (program.host or here) if program else worker.host


def workers_on(hosts: Collection[str], look: Look, managed: Iterable[Process], host: Host) -> set[str]:
	"""Names of workers that run on one of these hosts."""
	programs = runners(managed, look, host)
	return {worker.name for worker in look.workers if host_of(worker, look, programs, host.name) in hosts}


def places_of(worker: Worker, look: Look) -> list[tuple[str, int, float]]:
	"""Host, pid and birth, by the records: its own, and those of its pool, which is older than it."""
	pools = [pool for pool in look.pools if pool.name == worker.pool_name]
	return [(one.host, one.pid, worker.born) for one in (worker, *pools)]


def is_proved(process: Process, look: Look) -> bool:
	"""Whether a live worker's own record says that it is this very process, of another machine, and no other one says so."""
	there = [
		it for it in live_workers(look) if it.name not in look.local.running and is_of(process, it, look)
	]
	return len(there) == 1 and there[0].is_recorded


def members(pool: Pool, look: Look) -> list[Worker]:
	"""Live workers of that pool."""
	return [worker for worker in live_workers(look) if worker.pool_name == pool.name]


def restless(workers: Iterable[Worker]) -> list[Worker]:
	"""Those that could still take a job, or take one just now: neither suspended nor at work on a known job."""
	return [w for w in workers if w.state is not WorkerState.SUSPENDED and not is_at_work(w)]


def is_at_work(worker: Worker) -> bool:
	"""On a job that is known: for some milliseconds a busy worker has none yet."""
	return worker.state is WorkerState.BUSY and worker.job_id is not None


def running_jobs(look: Look) -> list[StartedJob]:
	"""Entries of the started registry that someone really works on, as far as can be told."""
	by_name = {worker.name: worker for worker in look.workers}
	return [job for job in look.started if _is_running(job, by_name.get(job.worker or ""), look)]


def running_ids(look: Look) -> set[str]:
	"""Ids of running_jobs."""
	return {job.id for job in running_jobs(look)}


def _is_running(job: StartedJob, worker: Worker | None, look: Look) -> bool:
	"""
	A live worker runs it only while it is busy: RQ can leave entries behind. The record of a dead worker of
	this machine settles it; without any record the entry counts until RQ's own expiry.
	"""
	if worker is None:
		return job.expires > look.time
	return worker.state is WorkerState.BUSY and is_live(worker, look)


def stray_horses(host: Host, look: Look, managed: Iterable[Process]) -> list[HostProcess]:
	"""
	What the process table knows and Redis does not: job processes without a worker, or of a worker without a record.
	Reading the table takes milliseconds: not for every look.
	"""
	managed = list(managed)
	known = look.local.pids
	orphans = host.orphan_horses(known | {process.local_pid for process in managed if process.local_pid})
	return [*orphans, *unrecorded_horses(host, look, managed)]


def unrecorded_horses(host: Host, look: Look, managed: Iterable[Process]) -> list[HostProcess]:
	"""
	Job processes of workers that Redis has no record of (any more): of a job of theirs nothing else may tell. A worker
	that is just starting has no record yet, and no job process either.
	"""
	known = {worker.pid for worker in local_workers(look) if worker.is_recorded}
	horses = []
	for process in managed:
		if process.runs_jobs and process.local_pid and process.local_pid not in known:
			family = {member.pid for member in host.family(process.local_pid)}
			if family.isdisjoint(known):  # the workers of a pool are its children
				horses += host.horses(process.local_pid)
	return horses
