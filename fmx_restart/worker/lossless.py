"""
A worker of RQ that loses no job, whoever stops it. Lossless goes before any worker class of rq 1.15 to 2.x, and leaves all
that is not about waiting, popping, starting and stopping to that class.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
import traceback
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.queue import Queue
from rq.registry import AbandonedJobError
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import StopRequested, WorkerStatus

from fmx_restart.worker.bells import OFTEN, Bells
from fmx_restart.worker.claims import Claim, Claims, bench_of, remove_started
from fmx_restart.worker.connections import Spare, may_list_no_clients
from fmx_restart.worker.grace import grace_of
from fmx_restart.worker.horse import dies_with, has_ended, opened
from fmx_restart.worker.jobs import share_page, tell_job
from fmx_restart.worker.killed_jobs import Policies, read_hooks, read_settings
from fmx_restart.worker.membership import membership
from fmx_restart.worker.owners import identity, is_gone
from fmx_restart.worker.persistent import AWAY, Persistent, persistently
from fmx_restart.worker.recycling import Recycling, limits_of
from fmx_restart.worker.reload import Program, reloaded
from fmx_restart.worker.renewal import Renewal
from fmx_restart.worker.stop import Stop, leave_to_the_worker

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two pops while Redis is away
SWEEP_EVERY = 5.0
RECORD_EVERY = 30.0  # seconds between two looks at failures that somebody else had to record
LOOK_EVERY = 2.0  # seconds, while a job runs
OF_OPERATION = b"fmx_restart:"  # begins the value of a suspension by this app
BEAT_EVERY = 30.0  # seconds, while the worker is idle; its record lasts eight minutes, and one after a job
BEAT_AGAIN = 20.0  # seconds
KILLED = (
	"The process that ran this job ended before the job did: it was killed by a process manager, by a person, or because"
	" memory was short. It belonged to worker {owner}. The job may have done a part of its work."
)
OUT_OF_TIME = (
	"Worker {owner} was told to leave, and this job had not ended shortly before the worker would have been killed. So the"
	" worker ended the job. It may have done a part of its work."
)


class Lossless(Renewal, Persistent):
	forks = True  # each job has a process of its own
	connection_timeout = 60  # seconds: unlike RQ's, the worker blocks on none of its own connections

	def __init__(self, *args: Any, **kwargs: Any) -> None:
		with may_list_no_clients(kwargs.get("connection")):
			super().__init__(*args, **kwargs)
		self.claim: Claim | None = None
		self._horse_died, self._reason = False, KILLED
		self._swept_at = self._beaten_at = self._recorded_at = 0.0

	def work(self, *args: Any, **kwargs: Any) -> bool:
		self.program = Program()
		self.stop = Stop()
		self.stop.listen()  # RQ does so after it has registered
		names = self.queue_names()
		self.bench_id, self.pool = bench_of(names[0]), membership()
		self.claims = Claims(
			self.connection, self.bench_id, self.name, identity(), has_parent=self.has_own_pool
		)
		self.bells = Bells(self.connection, [queue.key for queue in self.queues], self.claims.call)
		settings = read_settings(Path())
		self.spare = Spare(self.connection.connection_pool)
		self.policies = Policies(settings, read_hooks(Path()))
		self.grace = grace_of(settings, names)
		limits, faults = limits_of(settings)
		self.recycling = Recycling(limits, is_again=reloaded().recycled > 0)
		self.unused = [*faults, *self.recycling.faults()]
		share_page()
		self._prctl = ctypes.CDLL(None).prctl
		try:
			has_worked = super().work(*args, **kwargs)
		finally:
			self.bells.take_down()
			self.spare.close()
		if self._next:
			self.program.run_anew(self._next, self.stop)
			self.free_place(self._next.name)
		return has_worked

	def register_birth(self) -> None:
		super().register_birth()
		self.introduce()

	def register_anew(self) -> None:
		"""Redis has lost its data, or has let the record expire while this worker could not reach it."""
		self.log.warning("Worker %s: its record in Redis is gone, it writes another one", self.name)
		self.connection.delete(self.key)  # a part of one
		self.register_birth()
		super().set_state(self._state)

	def listen_again(self) -> None:
		"""
		RQ 1 hears no more commands, such as to stop a job, once Redis was away. What it had is closed first: left as garbage, it
		gives its connection back at any instant, also while the lock of the connections is held, and then for ever.
		"""
		if self.pubsub_thread and not self.pubsub_thread.is_alive():
			self.pubsub.close()
			self.subscribe()

	# Signals

	def _install_signal_handlers(self) -> None:
		"""They are there already."""

	@property
	def is_leaving(self) -> bool:
		return self.stop.asked_at is not None

	# The wait and the pop

	def check_for_suspension(self, burst: bool) -> None:
		"""POP looks, in the same step."""

	def dequeue_job_and_maintain_ttl(
		self, timeout: int | None, max_idle_time: int | None = None
	) -> tuple[Job, Queue] | None:
		"""None where there is no job: RQ's way to say that a worker in burst mode, or one idle for too long, ends."""
		idle_since, pause, is_burst = time.monotonic(), FIRST_PAUSE, timeout is None
		self.procline(f"Listening on {','.join(self.queue_names())}")
		while not self.is_leaving:
			try:
				what, job = self.next_step(is_burst=is_burst)
			except AWAY as error:
				self.log.error("Worker %s: Redis does not answer: %s", self.name, error)
				self.stop.wait(pause)
				pause = min(pause * 2, LONGEST_PAUSE)
				continue
			pause = FIRST_PAUSE
			if job:
				return job
			is_idle = what == "none"
			if is_idle and (is_burst or 0 < (max_idle_time or 0) < time.monotonic() - idle_since):
				return None
		self.handle_warm_shutdown_request()
		raise StopRequested

	def next_step(self, *, is_burst: bool) -> tuple[str, tuple[Job, Queue] | None]:
		"""One look, and one wait where there is no job. Returns what POP said, and the job."""
		self.keep_house()
		what, claim, record = self.claims.pop(
			[queue.key for queue in self._ordered_queues], *self.wish(is_burst=is_burst), stays=not is_burst
		)
		if what in ("job", "again") and claim:
			return what, self.fetched(claim, record, is_again=what == "again")
		if what in ("unregistered", "reload", "recycle"):
			self.start_anew(what)
			return what, None
		if what == "suspended" and is_burst:
			self.log.info("Worker %s: the queue is suspended, quitting", self.name)
			raise StopRequested
		self.be(WorkerStatus.SUSPENDED if what == "suspended" else WorkerStatus.IDLE)
		if what == "unfinished":
			self.let_go_own(is_killed=True)
		elif what == "suspended":
			self.wait_at_fence()
		elif not is_burst:
			self.wait_for_a_bell()
		return what, None

	def be(self, state: WorkerStatus) -> None:
		if self._state != state:
			if state == WorkerStatus.SUSPENDED:
				self.log.info("Worker %s: the queue is suspended", self.name)
			super().set_state(state)

	def set_state(self, state: str, pipeline: Any = None) -> None:
		"""RQ calls this around each job. POP has written that the worker is busy, and who has no next job says so by itself."""
		is_between_jobs = self._state == WorkerStatus.BUSY and state in (WorkerStatus.BUSY, WorkerStatus.IDLE)
		if pipeline is not None or not is_between_jobs:
			super().set_state(state, pipeline)

	def keep_house(self) -> None:
		"""What RQ does between two pops, and the sweep."""
		self.stop.hear()
		self.listen_again()
		if self.pool and self.pool.is_over:
			self.leave("the process of its pool is gone")
		now = time.monotonic()
		if now - self._beaten_at > BEAT_EVERY:
			self.heartbeat()
		if self.should_run_maintenance_tasks:
			self.run_maintenance_tasks()
		if self.claims.others and now - self._swept_at > SWEEP_EVERY:
			self._swept_at = now
			self.sweep()
		if now - self._recorded_at > RECORD_EVERY:
			self._recorded_at = now
			self.record_failures()

	def run_maintenance_tasks(self) -> None:
		"""RQ also calls this before its first wait, where it quits when Redis does not answer. What failed is due again."""
		with suppress(*AWAY):
			super().run_maintenance_tasks()

	def wait_for_a_bell(self) -> None:
		if self.forks:
			self.spare.open()
		is_called = self.bells.wait(self.stop, is_lookout=self.claims.is_lookout)
		if is_called and not self.is_leaving:
			self.bells.wait(self.stop, is_lookout=True)

	def fetched(
		self, claim: Claim, record: dict[bytes, bytes], *, is_again: bool
	) -> tuple[Job, Queue] | None:
		"""None for a job that was deleted, and for one that cannot be read: it would end each worker that takes it."""
		self.claim = claim
		if is_again:
			remove_started(self.connection, claim)  # RQ 2 may have listed it, and will do so once more
		else:
			self._state = WorkerStatus.BUSY  # POP has written it
		queue = next((queue for queue in self.queues if queue.key == claim.queue), self.queues[0])
		try:
			job = self.job_class(claim.id, connection=self.connection, serializer=self.serializer)
			job.restore(record)
		except NoSuchJobError:
			self.claims.forget()
			return None
		except RedisError:
			raise
		except Exception:
			self.log.exception("Worker %s: %s cannot be read, and has failed", self.name, claim.id)
			self.claims.bury(claim)
			return None
		self.reorder_queues(reference_queue=queue)
		job.redis_server_version = self.get_redis_server_version()
		description = f" {job.description}" if self.log_job_description else ""
		self.log.info("%s:%s (%s)", queue.name, description, job.id)
		return job, queue

	def heartbeat(self, *args: Any, **kwargs: Any) -> None:
		"""RQ beats after each job, and says no more by that than the job did."""
		if not args and not kwargs and time.monotonic() - self._beaten_at < BEAT_AGAIN:
			return
		self._beaten_at = time.monotonic()
		with suppress(*AWAY):  # a worker that quits takes its job with it
			super().heartbeat(*args, **kwargs)

	def maintain_heartbeats(self, job: Job) -> None:
		with suppress(*AWAY):
			super().maintain_heartbeats(job)

	def set_current_job_working_time(self, *args: Any, **kwargs: Any) -> None:
		with suppress(*AWAY):
			super().set_current_job_working_time(*args, **kwargs)

	# The job

	def execute_job(self, job: Job, queue: Queue) -> None:
		if self.is_leaving:
			raise StopRequested  # teardown puts it back
		self._horse_died, self._parent = False, os.getpid()
		tell_job(to_stop=self.is_leaving)  # a signal may have come just now
		self.recycling.count_job()
		if not self.forks and not self.may_start(job):
			return
		try:
			super().execute_job(job, queue)
		except StopRequested:
			if not self.forks:  # Frappe ends a worker without processes of jobs so when a job's time is over
				super().handle_job_failure(job, queue, exc_string=traceback.format_exc())
			raise
		except AWAY as error:  # the next pop says whether the job is over
			self.log.error("Worker %s: Redis does not answer: %s", self.name, error)

	def fork_work_horse(self, *args: Any, **kwargs: Any) -> None:
		super().fork_work_horse(*args, **kwargs)
		self.spare.leave_to(self.horse_pid)

	def setup_work_horse_signals(self) -> None:
		self.spare.take()
		leave_to_the_worker()
		dies_with(self._parent, self._prctl)

	def prepare_job_execution(self, job: Job, *args: Any, **kwargs: Any) -> None:
		if self.is_horse and not self.may_start(job):
			self.log.warning("Worker %s: %s is not started here", self.name, job.id)
			os._exit(0)
		super().prepare_job_execution(job, *args, **kwargs)

	def may_start(self, job: Job) -> bool:
		queue = self.claim.queue_name[len(bench_of(self.claim.queue_name)) + 1 :]
		killed = self.policies.of(job, queue)
		seconds = self.get_heartbeat_ttl(job)
		try:
			return persistently(lambda: self.claims.start(self.claim, killed, seconds))
		except AWAY as error:  # the next pop gives it again
			self.log.error("Worker %s: Redis does not answer: %s", self.name, error)
			return False

	def wait_for_horse(self) -> tuple:
		"""As RQ's, but a signal to this process is heard meanwhile."""
		with opened(self.horse_pid) as files:
			if not self.stop.wait(OFTEN, files) and not self.is_leaving:
				self.spare.open()  # not sooner: the job's first steps would have less of the processor
			while not has_ended(self.horse_pid):
				seconds = self.time_left() if self.is_leaving else LOOK_EVERY
				if not self.stop.wait(min(seconds, LOOK_EVERY if files else OFTEN), files):
					self.look_around()
		return super().wait_for_horse()

	def time_left(self) -> float:
		"""Seconds. Raises StopRequested when the job has none, and was ended: teardown says what becomes of it."""
		if self._shutdown_requested_date is None:
			self.tell_that_it_leaves()
		left = self.stop.asked_at + self.grace - time.monotonic()
		if self.stop.is_cold or left <= 0:
			self._reason = KILLED if self.stop.is_cold else OUT_OF_TIME
			self.end_horse()
			raise StopRequested
		return left

	def look_around(self) -> None:
		"""While a job runs. An operation waits for it; whoever else suspends the queue may not."""
		with suppress(*AWAY):
			pipe = self.connection.pipeline(transaction=False)
			suspended, is_known = pipe.get(WORKERS_SUSPENDED).hexists(self.key, "birth").execute()
			if (suspended or b"").startswith(OF_OPERATION):
				tell_job(to_stop=True)
			if not is_known:
				self.register_anew()
			self.listen_again()

	def tell_that_it_leaves(self) -> None:
		self._shutdown_requested_date = datetime.now(timezone.utc)
		self.log.info("Worker %s: it leaves when its job has ended", self.name)
		with suppress(*AWAY):
			self.set_shutdown_requested_date()

	def end_horse(self) -> None:
		"""Teardown says what becomes of the job."""
		if (
			os.getpgid(self.horse_pid) == os.getpgrp()
		):  # it is just being forked, and RQ would kill this group
			os.kill(self.horse_pid, signal.SIGKILL)
		else:
			self.kill_horse()
		super().wait_for_horse()
		self._horse_pid, self._horse_died = 0, True

	def handle_work_horse_killed(self, job: Job, *about: Any) -> None:
		"""RQ calls this when the process of a job ended and the job did not."""
		super().handle_work_horse_killed(job, *about)
		elapsed = now_as(job.started_at) - job.started_at
		self._horse_died = not 0 < (job.timeout or 0) < elapsed.total_seconds()  # else its time was over

	def handle_job_failure(self, job: Job, *args: Any, **kwargs: Any) -> None:
		"""RQ calls this right after it."""
		if self._horse_died and not self.is_horse:
			self._horse_died = False
			what, _ = self.claims.let_go(self.name, is_owner=True, is_killed=True)
			if what != "failed":
				self.log.warning("Worker %s: %s was killed: %s", self.name, job.id, what)
				self.set_current_job_id(None)
				return
			super().handle_job_failure(job, *args, **kwargs)
			self.claims.recorded(job.id)
			return
		super().handle_job_failure(job, *args, **kwargs)

	# What is left of a worker that is no more

	def sweep(self) -> None:
		for owner, claim in self.claims.of_others().items():
			if is_gone(self.connection, owner, claim):
				what, _ = self.claims.let_go(owner, claim.raw)
				self.told_apart(what, owner, claim)

	def record_failures(self) -> None:
		"""Whoever had to do it has not learnt that, or is gone."""
		for owner, claim in self.claims.unrecorded():
			self.log.warning("Worker %s: %s of worker %s was killed", self.name, claim.id, owner)
			self.fail_killed_job(owner, claim)

	def let_go_own(self, *, is_killed: bool) -> None:
		what, claim = self.claims.let_go(self.name, is_owner=True, is_killed=is_killed)
		if claim:
			self.told_apart(what, self.name, claim)

	def told_apart(self, what: str, owner: str, claim: Claim) -> None:
		if what in ("returned", "requeued", "failed"):
			self.log.warning("Worker %s: %s of worker %s is %s", self.name, claim.id, owner, what)
		if what == "failed":
			self.fail_killed_job(owner, claim)

	def fail_killed_job(self, owner: str, claim: Claim) -> None:
		"""As RQ fails a job whose worker is gone, its callback included. Where this breaks off, another worker does it."""
		reason = (self._reason if owner == self.name else KILLED).format(owner=owner)
		queue = self.queue_class.from_queue_key(
			claim.queue, connection=self.connection, job_class=self.job_class, serializer=self.serializer
		)
		try:
			job = self.job_class.fetch(claim.id, connection=self.connection, serializer=self.serializer)
		except NoSuchJobError:
			return
		except RedisError:
			raise
		except Exception:
			self.log.exception("Worker %s: %s cannot be read", self.name, claim.id)
			self.claims.bury(claim)
			return
		job.ended_at = job.ended_at or now_as(job.started_at)
		self.execution = None  # of RQ 2: it is another job's
		try:
			error = AbandonedJobError(reason)
			job.execute_failure_callback(self.death_penalty_class, AbandonedJobError, error, None)
		except Exception:
			self.log.exception("Worker %s: the failure callback of %s failed", self.name, claim.id)
		super().handle_job_failure(job, queue, exc_string=reason)
		remove_started(self.connection, claim)
		self.claims.recorded(claim.id)

	def teardown(self) -> None:
		if not self.is_horse:
			if self.horse_pid:
				self.end_horse()
			with suppress(RedisError):  # otherwise the sweep of another does it
				self.let_go_own(is_killed=self._horse_died)
				self.claims.leave()
		with suppress(*(AWAY if self._next and not self.is_horse else ())):
			super().teardown()  # its record expires by itself, and the new code registers under another name


def now_as(moment: datetime | None) -> datetime:
	"""In UTC, with a time zone where that moment has one: RQ 1 writes none."""
	now = datetime.now(timezone.utc)
	return now if moment is None or moment.tzinfo else now.replace(tzinfo=None)
