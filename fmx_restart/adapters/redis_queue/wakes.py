"""
Wake-ups: the reason a blocked worker gets to leave its pop and see the fence (rq #526). Each is a job that
calls dict() and leaves nothing behind, so any environment can run it, whatever apps it has. It carries the
kwargs that Frappe's readers expect (bench doctor, show-pending-jobs, RQ Job); its site is none of theirs.

A worker of this app (worker/bells.py) waits for its queues without taking anything, so it needs no job: an id that stands in its
queue for an instant is enough. It wakes one that calls the next at the fence, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from redis import Redis
from redis.client import Pipeline
from rq.job import Job, JobStatus
from rq.queue import Queue

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.records import of_its_type, text
from fmx_restart.engine.ports import Worker

WAKE = "builtins.dict"
PILL = "fmx_restart.leave.leave"
FRAPPE_KWARGS = {
	"site": "fmx_restart",
	"user": "Administrator",
	"method": "fmx_restart.park",
	"event": None,
	"job_name": "fmx_restart.park",
	"is_async": True,
	"kwargs": {},
}
#: KEYS: the queue, the job's hash. ARGV: the job's id. Only a wake-up that still waits is taken back.
RECALL = """
if redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then return 0 end
redis.call('DEL', KEYS[2])
return 1
"""


FRONT = 1000  # jobs at the front of a queue, among which a dead operation's wake-ups stand


class Wakes:
	def __init__(self, connection: Redis, bench_id: str, operation: str) -> None:
		self.connection, self.bench_id = connection, bench_id
		self.id_stem = f"{keys.WAKE_PREFIX}{operation}-"
		self.count = 0
		self.has_rung = False
		self.pending: list[tuple[str, str]] = []  # queue key, job id
		self._recall = connection.register_script(RECALL)

	def send(self, workers: Collection[Worker]) -> None:
		"""
		One wake-up per worker of RQ's own, all in one transaction; workers of this app hear a bell, or that wake-up where they
		listen to the same queue. A pop serves whoever waits longest, so queues that few listen to come first: whoever has a queue
		of its own is gone before the shared ones are served.
		"""
		stock = [worker for worker in workers if not worker.is_lossless]
		self._ring(queues_to_ring(workers, {queue for worker in stock for queue in worker.queues}))
		if stock:
			self._push_wakes(stock)

	def _ring(self, queues: Collection[str]) -> None:
		"""
		Redis serves all who wait for a list before it reads the next command of this round trip, so the id is gone before any
		lookout has its answer. It is no job: whoever popped it would pass it over.
		"""
		pipe = self.connection.pipeline(transaction=False)
		for queue in queues:
			key = keys.queue_key(f"{self.bench_id}:{queue}")
			pipe.lpush(key, f"{self.id_stem}bell")
			pipe.lrem(key, 1, f"{self.id_stem}bell")
		if queues:
			self.has_rung = True
			pipe.execute()

	def _push_wakes(self, workers: Collection[Worker]) -> None:
		listeners = Counter(queue for worker in workers for queue in set(worker.queues))
		heads = [worker.queues[0] for worker in workers if worker.queues]
		targets = sorted(heads, key=lambda queue: listeners[queue])
		pipe = self.connection.pipeline()
		for target in targets:
			self._push(pipe, target, WAKE, FRAPPE_KWARGS)
		pipe.execute()

	def send_pill(self, queue: str, names: Collection[str], told: Collection[str]) -> str:
		"""To the front of that queue. Returns the id of the job."""
		pipe = self.connection.pipeline()
		further = {"told": list(told)} if told else {}
		id = self._push(pipe, queue, PILL, {**FRAPPE_KWARGS, "names": list(names), **further})
		pipe.execute()
		return id

	def recall(self) -> int:
		"""Those that we sent; a process that sent none also takes back what a dead one of the same operation left."""
		has_sent = self.count > 0 or self.has_rung
		pending = self.pending or ([] if has_sent else self._left_behind())
		pipe = self.connection.pipeline()
		for queue_key, id in pending:
			self._recall(keys=[queue_key, keys.job_key(id)], args=[id], client=pipe)
		taken_back = sum(pipe.execute()) if pending else 0
		self.pending.clear()
		return taken_back

	def _left_behind(self) -> list[tuple[str, str]]:
		"""They were pushed to the front; what was put back before them since then are a few at most."""
		stem = keys.queue_key(f"{self.bench_id}:")
		ours = [key for key in self.connection.smembers(keys.QUEUES) if key.startswith(stem)]
		pipe = self.connection.pipeline(transaction=False)
		for key in ours:
			pipe.lrange(key, 0, FRONT)
		answers = zip(ours, pipe.execute(raise_on_error=False) if ours else [], strict=True)
		return [
			(text(key), text(id))
			for key, ids in answers
			for id in of_its_type(ids) or ()
			if text(id).startswith(self.id_stem)
		]

	def _push(self, pipe: Pipeline, queue: str, function: str, kwargs: dict) -> str:
		"""Queue.enqueue_job would open a transaction of its own, one per job."""
		target = Queue(f"{self.bench_id}:{queue}", connection=self.connection)
		job = self._job(target.name, function, kwargs)
		job.save(pipeline=pipe)
		target.push_job_id(job.id, pipeline=pipe, at_front=True)
		self.pending.append((target.key, job.id))
		return job.id

	def _job(self, queue: str, function: str, kwargs: dict) -> Job:
		self.count += 1
		return Job.create(
			function,
			kwargs=kwargs,
			id=f"{self.id_stem}{self.count}",
			origin=queue,
			status=JobStatus.QUEUED,
			description="fmx_restart.park",
			timeout=60,
			result_ttl=0,
			failure_ttl=60,
			connection=self.connection,
		)


def queues_to_ring(workers: Collection[Worker], woken: Collection[str]) -> list[str]:
	"""A few that reach each worker of this app. `woken`: queues that get wake-ups, which ring there, too."""
	ringing: dict[str, None] = {}
	for worker in workers:
		own = [queue for queue in worker.queues if queue not in woken]
		if worker.is_lossless and own and ringing.keys().isdisjoint(own):
			ringing[own[0]] = None
	return list(ringing)
