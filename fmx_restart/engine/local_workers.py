"""
Which workers are processes of this machine, and which of all others are alive.

A record in Redis names a host and a pid, and both may deceive: containers share a host name and count their pids each for
itself, a host is renamed while its workers run, a pid is given to another process, and no clock tells which of two was
first. So the process that has the pid is asked what it *is* (Likeness), the manager what it has started, Redis who is
connected:

- A worker **runs here** when the process with its pid is named after it; or runs a worker of this bench, and the host name
  is ours or the manager started it (then the host was renamed); or is some other process of this bench, the host name is
  ours, and the manager started it (a companion that gunicorn forked). Where several records claim one process, the likeliest
  one has it; where nothing but their births tells them apart, the younger one, and that is doubtful: no job is ended then.
- A worker **has ended** when it does not run here, though it was seen running here earlier in this operation; or though its
  host name is ours, and everybody who is connected to Redis is a process of a bench that we see. A heartbeat that comes after
  that takes it back: it lives where we do not see it.
- **Every other worker lives elsewhere**, whatever its host name: as long as RQ keeps its record, which it lets expire when
  heartbeats stay away. Where a record does not expire (Redis lost it, or an odd one), it is silent when nothing was heard of
  it, since we looked first, for longer than RQ is ever silent. It is never signalled, and its job counts as running.

So a worker of ours that is killed while we look on has ended at once; one that was killed before, at once where Redis serves
this machine alone, else when its record has expired: within 2 minutes if it was at work, 8 if not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache

from fmx_restart.engine.ports import (
	Host,
	HostProcess,
	Likeness,
	LocalWorkers,
	Look,
	Process,
	Queue,
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


def nothing() -> tuple[Process, ...]:
	"""What a manager runs that nobody has asked."""
	return ()


@dataclass(frozen=True)
class Claim:
	worker: Worker
	process: HostProcess
	likeness: Likeness
	was_seen: bool  # this worker was that process at an earlier look
	is_by_name: bool  # the record's host name is ours

	@property
	def weight(self) -> tuple:
		return self.likeness, self.was_seen, self.is_by_name


class Locator:
	"""Remembers from look to look whom it saw: one for each operation, or for one question."""

	def __init__(self, host: Host, queue: Queue, clock: Clock) -> None:
		self._host, self._queue, self._clock = host, queue, clock
		self._seen: dict[str, HostProcess] = {}  # by name: the process of this machine that it was
		self._ended: dict[
			str, float | None
		] = {}  # by name: the heartbeat that is its last; None: not known yet
		self._heard: dict[str, tuple[float, float]] = {}  # by name: a heartbeat, and when it was new to us
		self._ask_at = clock.now()

	def locate(self, look: Look, managed: Managed = nothing) -> Look:
		"""
		The same look, with what can be said about where its workers are. `managed`: what the process manager runs; called
		where that must be known.
		"""
		heads = cache(lambda: {process.pid for process in managed() if process.pid})
		claims = [claim for worker in look.workers if (claim := self._claim(worker, heads))]
		claims, doubtful = settled(claims)
		running = {claim.worker.name: claim.process for claim in claims}
		self._seen |= {name: process for name, process in running.items() if name not in doubtful}
		others = [worker for worker in look.workers if worker.name not in running]
		ended = self._ended_among(others)
		local = LocalWorkers(
			running,
			ended=frozenset(ended),
			silent=frozenset(worker.name for worker in others if self._is_silent(worker, look)),
			companions=frozenset(c.worker.name for c in claims if c.likeness < Likeness.WORKER),
			doubtful=doubtful,
		)
		return replace(look, local=local)

	def _claim(self, worker: Worker, heads: Callable[[], Collection[int]]) -> Claim | None:
		process = self._host.process(worker.pid) if worker.pid else None
		if process is None or worker.name in self._ended:
			return None
		likeness, is_by_name = self._host.likeness(process, worker), worker.host == self._host.name
		lacking = (Likeness.WORKER if is_by_name else Likeness.NAMED) - likeness
		# the manager's word makes up for one step: for the host's name, or for a command that says nothing
		if lacking > 1 or (lacking == 1 and self._host.head(worker.pid, heads()) is None):
			return None
		return Claim(worker, process, likeness, self._seen.get(worker.name) == process, is_by_name)

	def _ended_among(self, others: Iterable[Worker]) -> set[str]:
		"""`others` do not run here."""
		ours = [worker for worker in others if worker.host == self._host.name or worker.name in self._seen]
		ended = {worker.name for worker in ours if self._is_known_to_have_ended(worker)}
		unknown = {worker.name for worker in ours} - ended
		if unknown and self._sees_everybody():
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

	def _sees_everybody(self) -> bool:
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


def settled(claims: Iterable[Claim]) -> tuple[list[Claim], frozenset[str]]:
	"""One for each process, and the names of those that nothing but their births tells from others."""
	best: dict[HostProcess, Claim] = {}
	doubtful = set()
	for claim in sorted(claims, key=lambda claim: (claim.weight, claim.worker.born)):
		other = best.get(claim.process)
		if other and other.weight == claim.weight and claim.likeness is not Likeness.NAMED:
			doubtful.add(claim.worker.name)
		best[claim.process] = claim
	return list(best.values()), frozenset(doubtful)
