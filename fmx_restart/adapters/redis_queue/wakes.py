"""
Wake-ups: the reason a blocked worker gets to leave its pop and see the fence (rq #526). Each is a job that
calls dict() and leaves nothing behind, so any environment can run it, whatever apps it has. It carries the
kwargs that Frappe's readers expect (bench doctor, show-pending-jobs, RQ Job); its site is none of theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from redis import Redis
from rq.job import Job, JobStatus
from rq.queue import Queue

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.engine.ports import Worker

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


class Wakes:
	def __init__(self, connection: Redis, bench_id: str, operation: str) -> None:
		self.connection, self.bench_id = connection, bench_id
		self.id_stem = f"{keys.WAKE_PREFIX}{operation}-"
		self.count = 0
		self.pending: list[tuple[str, str]] = []  # queue key, job id
		self._recall = connection.register_script(RECALL)

	def send(self, workers: Collection[Worker]) -> None:
		"""
		One wake-up per worker, all in one transaction. A pop serves whoever waits longest, so queues that few
		listen to come first: whoever has a queue of its own is gone before the shared ones are served.
		"""
		listeners = Counter(queue for worker in workers for queue in set(worker.queues))
		targets = sorted((worker.queues[0] for worker in workers), key=lambda queue: listeners[queue])
		pipe = self.connection.pipeline()
		for target in targets:
			queue = Queue(f"{self.bench_id}:{target}", connection=self.connection)
			job = self._job(queue.name)
			job.save(pipeline=pipe)
			queue.push_job_id(job.id, pipeline=pipe, at_front=True)
			self.pending.append((queue.key, job.id))
		pipe.execute()

	def recall(self) -> int:
		pipe = self.connection.pipeline()
		for queue_key, id in self.pending:
			self._recall(keys=[queue_key, keys.job_key(id)], args=[id], client=pipe)
		taken_back = sum(pipe.execute()) if self.pending else 0
		self.pending.clear()
		return taken_back

	def _job(self, queue: str) -> Job:
		"""Queue.enqueue_job would open a transaction of its own, one per wake-up."""
		self.count += 1
		return Job.create(
			"builtins.dict",
			kwargs=FRAPPE_KWARGS,
			id=f"{self.id_stem}{self.count}",
			origin=queue,
			status=JobStatus.QUEUED,
			description="fmx_restart.park",
			timeout=60,
			result_ttl=0,
			failure_ttl=60,
			connection=self.connection,
		)
