"""Park idle workers, then wait until no job runs; and the gate before each point of no return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout
from fmx_restart.engine.held import REDIS_RETURNS
from fmx_restart.engine.options import DRAINING, OnTimeout
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import elapsed, is_worth_naming, likely, most_left
from fmx_restart.engine.ports import HostProcess, Look, Worker, WorkerState
from fmx_restart.engine.report import JobWait, waited_to_their_end
from fmx_restart.engine.steps.kill import alone_elsewhere, end_jobs, leave_none_killed
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import (
	live_workers,
	restless,
	runners,
	running_jobs,
	stray_horses,
	workers_on,
)

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

PATIENCE = Patience(timeout=10.0, poll=0.01)
WAKE_AGAIN = 0.1  # seconds after which a worker that is still idle gets another wake-up


def park(operation: Operation) -> None:
	"""Raises DrainTimeout when a worker of this machine neither parks nor works."""
	operation.enter(Phase.PARK)
	wait_until_parked(operation)


def wait_until_parked(operation: Operation) -> None:
	"""park without entering a phase: also after a lapse of the fence. Raises DrainTimeout."""
	parking = Parking(operation)
	began = operation.bench.clock.now()
	if not operation.wait(parking.is_done, PATIENCE):
		parking.give_up()
	operation.insist(operation.bench.queue.recall)
	busy = sum(worker.state is WorkerState.BUSY for worker in parking.live)
	seconds = operation.bench.clock.now() - began
	operation.emit(events.WorkersParked(len(parking.live) - busy, busy, seconds))


class Parking:
	"""Wakes idle workers until all are suspended; each one again only when it had time to answer."""

	def __init__(self, operation: Operation) -> None:
		self.operation, self.bench = operation, operation.bench
		self.live: list[Worker] = []
		self.woken: dict[str, float] = {}

	def is_done(self) -> bool:
		"""Look once, and wake whoever is idle."""
		self.look = look = self.operation.look()
		self.live = [w for w in live_workers(look) if w.name not in self.operation.unanswering]
		self.wake_idle()
		return not restless(self.live)

	def wake_idle(self) -> None:
		"""Wake those that had time to answer the last wake-up."""
		now = self.bench.clock.now()
		idle = [w for w in self.live if w.state is WorkerState.IDLE and now >= self.woken.get(w.name, now)]
		if idle:
			self.bench.queue.wake(idle)
			self.woken.update((worker.name, now + WAKE_AGAIN) for worker in idle)

	def give_up(self) -> None:
		"""Raises DrainTimeout for a worker of this machine, which could still take a job. One elsewhere counts as gone."""
		silent = restless(self.live)
		managed = runners(self.operation.managed, self.look, self.bench.host)
		ours = [worker for worker in silent if worker in self.look.local or worker.name in managed]
		if ours:
			names = ", ".join(f"{worker.name} (pid {worker.pid}, {worker.state.value})" for worker in ours)
			raise DrainTimeout(
				f"These workers did not leave the queue within {PATIENCE.timeout:.0f} s: {names}."
				f" {self.operation.undone}",
				hint=f"Check what they are doing: py-spy dump --pid {ours[0].pid}. A stopped one goes on after kill -CONT {ours[0].pid}.",
			)
		for worker in silent:
			self.operation.unanswering.add(worker.name)
			self.live.remove(worker)
			self.operation.emit(events.WorkerDoesNotAnswer(worker.name, worker.host, worker.pid))


AFTER_FORCE = Patience(timeout=10.0, poll=0.02)
NEARLY = 0.9  # of the queue's limit
LOOK_EVERY = 0.05  # seconds; bounds how long after the last job's end the next phase begins


def drain(operation: Operation) -> None:
	"""Raises DrainTimeout when jobs still run after the options' time; nothing was restarted then."""
	operation.enter(Phase.DRAIN)
	wait_until_drained(operation)


def wait_until_drained(operation: Operation) -> None:
	"""drain without entering a phase: also after a lapse of the fence, with the whole time for jobs that started since."""
	draining = Draining(operation)
	began = operation.bench.clock.now()
	has_stood = False
	while not has_stood:
		operation.fence_stood = True
		operation.wait(draining.is_settled, Patience(draining.left(), LOOK_EVERY))
		if not draining.is_over and draining.left() > 0 and not draining.must_end:
			continue  # someone gave it more time meanwhile
		if not draining.is_over:
			use_force(operation, draining)
		operation.insist(operation.bench.queue.recall)
		operation.insist(lambda: operation.keep_alive(now=True))
		has_stood = operation.fence_stood  # one that lapsed meanwhile let workers go: look again
	waited = len(waited_to_their_end(operation.report))
	operation.emit(events.Drained(operation.bench.clock.now() - began, waited))


def use_force(operation: Operation, draining: Draining) -> None:
	"""
	Time is up: raise DrainTimeout, or kill what still runs. Jobs of other machines cannot be killed, unless their worker is
	alone in a container: then none is. Nor is one killed for a restart that its worker does not take part in.
	"""
	is_aborted = operation.requests.on_timeout is OnTimeout.ABORT or draining.runs_elsewhere()
	if is_aborted or any(process.runs_jobs for process in operation.plan.stays):
		raise draining.timeout()
	try:
		end_jobs(operation, operation.bench.clock.now() - draining.began)
		if not operation.wait(draining.is_done, AFTER_FORCE):
			raise draining.timeout()
	except BaseException as error:
		leave_none_killed(operation, error)
		raise


class Draining(Parking):
	"""Waits until no job runs. Parks workers that turn up meanwhile: one that was just started, or all after a lapse."""

	def __init__(self, operation: Operation) -> None:
		super().__init__(operation)
		self.began = self.bench.clock.now()
		self.jobs: tuple[events.RunningJob, ...] = ()
		self.named: tuple[events.RunningJob, ...] = ()  # those of them that people need to know
		self.strays: list[HostProcess] = []
		self.waits: dict[str, JobWait] = {}
		self.usual: dict[str, float] = {}  # method → seconds that it took before; 0 where nobody knows
		#: when the next report is due, and the jobs of the last one
		self.reported: tuple[float, object] = (
			0.0,
			None,
		)
		self.awaited: list[Worker] = []  # those of the live ones whose jobs have to end
		self.spared: set[str] = set()  # names of those that go on, on hosts whose turn it is not
		self.is_over = False
		self.full = ""  # the queue that came near its limit, in a few words

	def is_done(self) -> bool:
		"""One more look; true once no job runs."""
		self.is_over = self.look_again()
		return self.is_over

	def is_settled(self) -> bool:
		"""Nothing is left to wait for: no job runs, or waiting has to end."""
		return self.is_done() or self.is_queue_full() or self.operation.requests.is_forced

	def left(self) -> float:
		"""Seconds until running jobs have had their time."""
		return self.began + self.operation.requests.drain_timeout - self.bench.clock.now()

	@property
	def must_end(self) -> bool:
		"""Before its time: a queue is nearly full, or someone asked for force."""
		return bool(self.full) or self.operation.requests.is_forced

	def is_queue_full(self) -> bool:
		"""Callers of frappe.enqueue would soon get errors: the fence must not stay for long any more."""
		limit = self.operation.options.queue_limit
		if not limit:
			return False
		queue, depth = max(self.look.depths.items(), key=lambda item: item[1], default=("", 0))
		if depth < limit * NEARLY:
			return False
		self.full = f"{depth} jobs wait in {queue}, at {limit} enqueuing fails"
		self.operation.emit(events.QueueNearLimit(queue, depth, limit))
		return True

	def look_again(self) -> bool:
		"""True when no job runs: by Redis, and by the process table."""
		parked = super().is_done()
		look = self.look
		self.note_awaited(look)
		self.jobs = self.running(look)
		self.named = tuple(running for running in self.jobs if is_worth_naming(running.job, look.time))
		self.note_waits()
		busy = any(worker.state is WorkerState.BUSY for worker in self.awaited)
		is_quiet = parked and not busy and not self.jobs
		self.strays = self.find_strays() if is_quiet and self.is_here else []
		if is_quiet and not self.strays:
			return True
		self.report(look)
		return False

	@property
	def is_here(self) -> bool:
		"""Whether something of this host is restarted now."""
		hosts = self.operation.hosts
		return hosts is None or self.bench.host.name in hosts

	def find_strays(self) -> list[HostProcess]:
		"""Job processes that no record tells of."""
		return stray_horses(self.bench.host, self.look, self.operation.managed_now())

	def note_awaited(self, look: Look) -> None:
		"""Jobs on hosts whose turn it is not run on."""
		hosts = self.operation.hosts
		if hosts is None:
			self.awaited = self.live
			return
		names = workers_on(hosts, look, self.operation.managed, self.bench.host)
		self.awaited = [worker for worker in self.live if worker.name in names]
		self.spared = {worker.name for worker in look.workers if worker.name not in names}

	def running(self, look: Look) -> tuple[events.RunningJob, ...]:
		"""Jobs that a worker works on, and for how long."""
		workers = {worker.name: worker for worker in look.workers}
		jobs = []
		for entry in running_jobs(look):
			if entry.worker not in self.spared and (job := self.operation.running.get(entry.id)):
				worker = workers.get(entry.worker or "")
				pid = worker.pid if worker else None
				seconds = elapsed(job, look.time)
				jobs.append(
					events.RunningJob(job, entry.worker or "", pid, seconds, most_left(job, look.time))
				)
		return tuple(jobs)

	def runs_elsewhere(self) -> bool:
		"""Or perhaps: of a worker that shares host name and pid with another one nothing can be ended either."""
		workers, local = self.look.workers, self.look.local
		elsewhere = {worker.name for worker in workers if worker not in local} | local.doubtful
		elsewhere -= alone_elsewhere(self.operation, self.look).keys()
		return any(running.worker in elsewhere for running in self.jobs)

	def note_waits(self) -> None:
		"""For the report: how long each job was waited for, and which would be left running now."""
		self.operation.report.still_running = [running.job for running in self.named]
		seconds = self.bench.clock.now() - self.began
		for running in self.named:
			if running.job.id not in self.waits:
				self.waits[running.job.id] = JobWait(running.job, 0.0)
				self.operation.report.waited_for.append(self.waits[running.job.id])
			self.waits[running.job.id].seconds = seconds

	def report(self, look: Look) -> None:
		"""Emit StillRunning: at once when jobs came or went, else as often as the options say. Not for our own jobs alone."""
		if self.jobs and not self.named and not self.strays:
			return
		now, jobs = self.bench.clock.now(), frozenset(running.job.id for running in self.named)
		if jobs == self.reported[1] and now < self.reported[0]:
			return
		self.reported = (now + self.operation.options.report_every, jobs)
		left = self.left()
		pids = tuple(process.pid for process in self.strays)
		workers, likely_left = tuple(self.awaited), self.likely_left(look.time)
		self.operation.emit(
			events.StillRunning(workers, self.named, pids, dict(look.depths), max(0.0, left), likely_left)
		)

	def likely_left(self, now: float) -> float | None:
		"""Seconds, by how long finished jobs of these methods took. None where nothing can be said."""
		methods = {running.job.method for running in self.named}
		if new := methods - self.usual.keys():
			self.usual.update({**dict.fromkeys(new, 0.0), **self.bench.queue.usual_durations(new)})
		return likely((running.job for running in self.named), self.usual, now) if methods else None

	def timeout(self) -> DrainTimeout:
		"""The error that names what still runs; the report has it too."""
		names = "; ".join([*map(describe, self.named), *self.unnamed()])
		seconds, option = self.bench.clock.now() - self.began, self.operation.drain_option
		longer = f"Try again later, or give them longer: {option} {max(1, self.operation.requests.drain_timeout) * 2:.0f}"
		why = f" Stopped waiting: {self.full}." if self.full else ""
		return DrainTimeout(
			f"Still running after {seconds:.0f} s: {names}.{why} {self.operation.undone}",
			hint="Try again when fewer jobs wait." if self.full else longer,
		)

	def unnamed(self) -> list[str]:
		"""What else was waited for: a job that cannot be named any more, or a worker that is not idle."""
		lost = [
			f"pid {process.pid}, a job process without its worker or its record" for process in self.strays
		]
		named = {running.worker for running in self.named}
		others = [w for w in self.awaited if w.state is not WorkerState.SUSPENDED and w.name not in named]
		return lost + [f"the worker {w.name} (pid {w.pid}, {w.state.value})" for w in others]


def describe(running: events.RunningJob) -> str:
	"""One running job in a sentence: site, method, since when, limit. Never its arguments."""
	since = f", for {running.elapsed:.0f} s" if running.elapsed is not None else ""
	limit = f", limit {running.job.timeout:.0f} s" if running.job.timeout else ", no limit"
	return f"{running.job.site}: {running.job.method}{since}{limit}"


def pass_gate(operation: Operation) -> None:
	"""
	Lock and fence are renewed now. Where the fence had lapsed, workers are parked, and drained where the strategy drains,
	once more. Raises LockLost; DrainTimeout when jobs do not end in time; QueueUnreachable; Interrupted. Everything can
	still be undone then.
	"""
	while not is_guarded(operation):
		operation.fence_stood = True
		if operation.options.strategy in DRAINING:
			wait_until_drained(operation)
		else:
			wait_until_parked(operation)


def is_guarded(operation: Operation) -> bool:
	"""No worker could have taken a job since every one was seen parked or at work."""
	operation.wait(lambda: operation.keep_alive(now=True) or True, REDIS_RETURNS)
	return operation.fence_stood or not operation.is_fenced
