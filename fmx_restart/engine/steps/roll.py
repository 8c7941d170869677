"""
Recycle workers without ever stopping the queue. A worker that is free gets a pill: a job that makes whoever takes it
leave, at a moment when it is certainly at work. Pills find their worker by themselves; who takes one does not matter,
only how many are away. A worker with a long job is left alone until that job ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from fmx_restart.engine.errors import (
	DrainTimeout,
	Interrupted,
	ProcessFault,
	QueueUnreachable,
	WrongEnvironment,
)
from fmx_restart.engine.ports import Look, Process, Worker, WorkerState
from fmx_restart.engine.relay import Farewell, Leg, Relay
from fmx_restart.engine.steps.restart import follow, relays_for
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import live_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

LOOK_EVERY = 0.05  # seconds
TAKES_EFFECT = 0.5  # seconds from the moment a pill was taken until RQ has noted that its worker leaves
STAYS_UP = 1.0  # seconds that a new worker must have been registered before the next old one goes
REGISTERS_WITHIN = 90.0  # seconds


def refuse_pools(operation: Operation, workers: Iterable[Process]) -> None:
	"""Raises WrongEnvironment: a worker-pool brings its children back with the code it was started with."""
	host = operation.bench.host
	registered = {worker.pid for worker in operation.look().workers if worker.host == host.name}
	pools = [process.name for process in workers if process.pid and process.pid not in registered]
	if pools:
		raise WrongEnvironment(
			f"Not single workers, or not registered yet: {', '.join(pools)}. Nothing was changed.",
			hint="A worker-pool cannot be rolled; use --no-wait-workers or --wait-workers.",
		)


def roll(operation: Operation, workers: list[Process]) -> list[Relay]:
	"""Raises DrainTimeout when a time limit was given and is over: some workers are new then, the others go on."""
	rolling = Rolling(operation, workers)
	try:
		if not operation.wait(rolling.is_done, Patience(operation.options.rolling_timeout, LOOK_EVERY)):
			raise rolling.timeout()
	finally:
		with suppress(
			QueueUnreachable
		):  # a pill that stays makes one of the old workers leave, and come back
			operation.bench.queue.recall()
	return rolling.relays


class Rolling:
	def __init__(self, operation: Operation, workers: list[Process]) -> None:
		self.operation, self.bench = operation, operation.bench
		self.relays = relays_for(operation, workers, Farewell.OTHERS)
		self.seen: dict[str, str | None] = {}  # worker's name → the job it was last seen with
		self.up_since: dict[str, float] = {}  # process name → when its new worker was first seen
		self.pills: dict[str, float] = {}  # those that may still take effect, by id → when last seen
		self.staying: set[int | None] = set()  # pids of registered workers that nobody has told to leave

	def is_done(self) -> bool:
		follow(self.operation, self.relays)
		self.heed_stop_request()
		look = self.operation.look()
		live = live_workers(look, self.bench.host)
		self.staying = {w.pid for w in live if w.host == self.bench.host.name and not w.is_leaving}
		self.note_new_workers(look)
		self.check_pills()
		old = self.old_workers(look)
		free = [worker for worker in old if self.is_free(worker)]
		self.seen = {worker.name: worker.job_id for worker in old}
		for worker in free:
			if self.may_go(worker, look):
				pill = self.bench.queue.ask_to_leave(worker.queues[0], [w.name for w in old])
				self.pills[pill] = self.bench.clock.now()
		return all(relay.leg is Leg.FAILED or self.is_settled(relay) for relay in self.relays)

	def heed_stop_request(self) -> None:
		"""Between two workers it can end at any time; one that is away is seen back first."""
		if self.operation.stop_requested.is_set() and not any(self.is_away(relay) for relay in self.relays):
			raise Interrupted(
				f"Stopped on request. {self.left_over()}", hint="Type the same command to replace the rest."
			)

	def old_workers(self, look: Look) -> list[Worker]:
		pids = {relay.old.pid for relay in self.relays if relay.leg is Leg.STOPPING}
		here = [w for w in live_workers(look, self.bench.host) if w.host == self.bench.host.name]
		return [worker for worker in here if worker.pid in pids and not worker.is_leaving]

	def is_free(self, worker: Worker) -> bool:
		"""Idle, or its job has just ended: one that is in the middle of a job would only let the pill wait."""
		return (
			worker.state is not WorkerState.BUSY or self.seen.get(worker.name, worker.job_id) != worker.job_id
		)

	def may_go(self, worker: Worker, look: Look) -> bool:
		"""A pill may be taken by any old worker of its queue: the most that could be away then must be allowed."""
		away = len(self.pills) + sum(self.is_away(relay) for relay in self.relays)
		return away < min(self.allowed(queue, look) for queue in worker.queues)

	def allowed(self, queue: str, look: Look) -> int:
		"""How many of a queue's workers may be away at once: the share asked for, never all unless it has just one."""
		listeners = sum(queue in worker.queues for worker in live_workers(look, self.bench.host))
		listeners += sum(self.is_away(relay) for relay in self.relays)
		share = math.floor(self.operation.options.rolling_share * listeners)
		return max(1, min(share, listeners - 1))

	def is_away(self, relay: Relay) -> bool:
		"""On its way out, gone, or not back for long enough."""
		if relay.leg is Leg.STOPPING:
			return relay.old.pid not in self.staying
		return relay.leg is not Leg.FAILED and not self.is_settled(relay)

	def is_settled(self, relay: Relay) -> bool:
		since = self.up_since.get(relay.old.name)
		return relay.leg is Leg.UP and since is not None and self.bench.clock.now() - since >= STAYS_UP

	def note_new_workers(self, look: Look) -> None:
		now = self.bench.clock.now()
		pids = {worker.pid for worker in look.workers if worker.host == self.bench.host.name}
		for relay in self.relays:
			if relay.leg is Leg.UP and relay.change.new_pid in pids:
				self.up_since.setdefault(relay.old.name, now)
			elif relay.leg is Leg.UP and now - relay.started_at > REGISTERS_WITHIN:
				relay.fail("it runs, but no worker of it has registered with Redis")

	def check_pills(self) -> None:
		"""One that was taken is forgotten a moment later: by then it shows who leaves, if anybody does."""
		statuses = self.bench.queue.statuses(self.pills)
		if "failed" in statuses.values():
			raise ProcessFault(
				"A worker could not run the pill: it was started before fmx_restart was installed.",
				hint="Restart once with --wait-workers; from then on --rolling works.",
			)
		now = self.bench.clock.now()
		self.pills.update((id, now) for id, status in statuses.items() if status is not None)
		self.pills = {id: seen for id, seen in self.pills.items() if now - seen < TAKES_EFFECT}

	def timeout(self) -> DrainTimeout:
		return DrainTimeout(
			f"The time is over. {self.left_over()}",
			hint="Type the same command again to replace the rest, without --wait-workers-timeout for no limit.",
		)

	def left_over(self) -> str:
		left = [relay.old.name for relay in self.relays if relay.leg is Leg.STOPPING]
		return f"Not replaced: {', '.join(left) or 'none'}. They go on as they were; all others are new."
