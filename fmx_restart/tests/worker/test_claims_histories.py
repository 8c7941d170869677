"""
Claims in any order of events, on a real Redis: pop, start, finish, kill, stall, sweep, fence, reload, recycling, an operation's
ledger, two benches.
No job is lost, and none begins more often than it was put back after a kill.
"""

from __future__ import annotations

import json
import tempfile
import unittest
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random
from unittest import mock

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.repetitions import repetitions
from fmx_restart.worker import owners
from fmx_restart.worker.claims import Claim, Claims, KilledJob, claims_key
from fmx_restart.worker.owners import BORN, SPACE, is_gone, mark
from fmx_restart.worker.recycling import place_key
from fmx_restart.worker.requests import ALL, ask, of_worker

BENCHES = ("one", "two")
QUEUES = ("short", "long")
SLOTS = ("a", "b")  # of each bench: a worker that is gone is followed by another one
POLICIES = (KilledJob(), KilledJob("requeue", 2))


class Slot:
	"""A worker, as far as it knows itself: what Redis has told it."""

	def __init__(self, bench: RqBench, name: str) -> None:
		self.bench, self.name = bench, name
		bench.register(*QUEUES, name=name)
		mark(bench.connection, f"rq:worker:{name}")
		self.claims = Claims(bench.connection, bench.id, name)
		self.claim: Claim | None = None
		self.runs = self.is_elsewhere = False

	def set(self, field: str, value: str) -> None:
		self.bench.connection.hset(f"rq:worker:{self.name}", field, value)


#: What may happen → how often, beside the others
EVENTS = {
	"enqueue": 1,
	"take_a_new_job": 4,
	"pop": 3,
	"start": 4,
	"finish": 1,
	"kill": 4,
	"leave": 1,
	"stall": 2,
	"sweep": 4,
	"suspend": 1,
	"lift": 2,
	"ask_to_reload": 1,
	"put_lost_jobs_back": 1,
}
EVENTS_OF_ONE = 60


class History:
	"""One that chance makes, of workers that live in this process."""

	def __init__(self, server: RedisServer, seed: int) -> None:
		self.chance = Random(seed)
		self.redis = server.connection()
		self.redis.flushall()
		self.benches = {id: RqBench(server, id) for id in BENCHES}
		self.names = (f"worker-{number}" for number in count())
		self.ids = (f"job-{number}" for number in count())
		self.slots = {
			(id, slot): Slot(bench, next(self.names)) for id, bench in self.benches.items() for slot in SLOTS
		}
		self.begun, self.requeued = Counter(), Counter()
		self.policies: dict[str, KilledJob] = {}  # at the last start
		self.jobs: dict[str, tuple[str, str]] = {}  # id → bench, queue
		self.fence = RedisFence(self.redis, "fmx_restart:one:operation-1", seconds=300)

	def run(self) -> None:
		"""Events one after another, then the end."""
		acts, weights = zip(*EVENTS.items(), strict=True)
		for name in self.chance.choices(acts, weights, k=EVENTS_OF_ONE):
			which = "one" if self.chance.random() < 0.8 else "two", self.chance.choice(SLOTS)
			getattr(self, name)(which)
			self.check()
		self.end()

	def enqueue(self, which: tuple[str, str]) -> None:
		id, queue = next(self.ids), self.chance.choice(QUEUES)
		self.jobs[id] = which[0], queue
		self.benches[which[0]].enqueue(id, queue)

	def take_a_new_job(self, which: tuple[str, str]) -> None:
		if not self.slots[which].claim:
			self.enqueue(which)
			self.pop(which)

	def pop(self, which: tuple[str, str]) -> None:
		slot = self.slots[which]
		if slot.runs:
			return
		keys = [slot.bench.queue(queue).key for queue in QUEUES]
		place = self.redis.get(place_key(which[0]))
		what, claim, _ = slot.claims.pop(keys, self.chance.choice(("", "idle", "now")))
		if what in ("reload", "recycle"):
			assert not self.redis.hexists(slot.claims.key, slot.name)
			slot.claims.answered = slot.claims.asked
		if what == "recycle":
			assert place in (None, slot.name.encode()) and not self.redis.exists("rq:suspended")
			self.leave_the_place(which)
		if what in ("reload", "recycle"):
			what, claim, _ = slot.claims.pop(keys)
		assert what in ("job", "again", "none", "suspended"), what
		slot.claim = claim
		if claim:
			assert self.jobs[claim.id][0] == which[0]  # of its own bench

	def leave_the_place(self, which: tuple[str, str]) -> None:
		"""Unless it is killed meanwhile, or stopped: then the place expires, sooner or later."""
		if self.chance.random() < 0.7:
			self.redis.delete(place_key(which[0]))

	def start(self, which: tuple[str, str]) -> None:
		slot, policy = self.slots[which], self.chance.choice(POLICIES)
		if slot.claim and not slot.runs and slot.claims.start(slot.claim, policy, 90):
			self.begun[slot.claim.id] += 1
			self.policies[slot.claim.id] = policy
			slot.runs = True

	def finish(self, which: tuple[str, str]) -> None:
		slot = self.slots[which]
		if slot.runs:
			self.redis.hset(f"rq:job:{slot.claim.id}", "status", "finished")
			slot.runs, slot.claim = False, None

	def kill(self, which: tuple[str, str]) -> None:
		slot = self.slots[which]
		if slot.is_elsewhere:
			self.redis.delete(f"rq:worker:{slot.name}")  # as RQ lets it expire
		else:
			slot.set(BORN, "1")  # another process has its pid now
		self.slots[which] = Slot(slot.bench, next(self.names))

	def leave(self, which: tuple[str, str]) -> None:
		slot = self.slots[which]
		if not slot.runs:
			self.note(*slot.claims.let_go(slot.name, is_owner=True))
			self.kill(which)

	def stall(self, which: tuple[str, str]) -> None:
		"""On another machine, for so long that others count it as slow; then it goes on."""
		slot = self.slots[which]
		slot.is_elsewhere = True  # its claim is swept, and it may still start
		slot.set(SPACE, "elsewhere")
		held = self.redis.hget(slot.claims.key, slot.name)
		if held:
			claim = json.loads(held)
			self.redis.hset(slot.claims.key, slot.name, json.dumps({**claim, "at": 1}))

	def sweep(self, which: tuple[str, str]) -> None:
		claims = self.slots[which].claims
		for owner, claim in claims.of_others().items():
			if is_gone(self.redis, owner, claim):
				self.note(*claims.let_go(owner, claim.raw))

	def note(self, what: str, claim: Claim | None) -> None:
		"""What a worker does with a job that has to fail; and that another one may begin once more."""
		if what == "failed":
			self.redis.hset(f"rq:job:{claim.id}", "status", "failed")
		if what == "requeued":
			self.requeued[claim.id] += 1
			policy = self.policies[claim.id]
			assert policy.policy == "requeue" and self.requeued[claim.id] <= policy.tries, claim

	def suspend(self, _which: tuple[str, str]) -> None:
		self.fence.hold()

	def lift(self, _which: tuple[str, str]) -> None:
		self.fence.release()

	def ask_to_reload(self, which: tuple[str, str]) -> None:
		ask(self.redis, which[0], self.chance.choice((ALL, of_worker(self.slots[which].name))))

	def put_lost_jobs_back(self, which: tuple[str, str]) -> None:
		"""As the audit of an operation does, for each job whose hash says that it waits."""
		self.fence.hold()
		own = [id for id, (bench, _) in self.jobs.items() if bench == which[0]]
		RedisQueue(self.redis, which[0], "operation-1").put_back(own, self.fence)

	def check(self) -> None:
		"""Each job is in one place, and began no more often than it was put back after a kill."""
		held = Counter()
		for bench in BENCHES:
			for raw in self.redis.hvals(claims_key(bench)):
				claim = json.loads(raw)
				held[claim["id"]] += claim["state"] == "popped"
		for id, (bench, queue) in self.jobs.items():
			status = self.redis.hget(f"rq:job:{id}", "status").decode()
			waits = self.redis.lrange(self.benches[bench].queue(queue).key, 0, -1).count(id.encode())
			assert waits + held[id] == (status == "queued"), (id, status, waits, held[id])
			assert self.begun[id] <= 1 + self.requeued[id], id

	def end(self) -> None:
		"""When nothing more happens, a worker of each bench brings every job to an end."""
		self.fence.release()
		for which, slot in list(self.slots.items()):
			if slot.runs:
				self.finish(which)
			else:
				self.kill(which)
		for bench in BENCHES:
			which = bench, SLOTS[0]
			self.sweep(which)
			for _ in self.jobs:
				self.pop(which)
				self.start(which)
				self.finish(which)
		ended = {id: self.redis.hget(f"rq:job:{id}", "status") for id in self.jobs}
		assert set(ended.values()) <= {b"finished", b"failed"}, ended
		self.redis.close()
		for bench in self.benches.values():
			bench.stop()


class TestClaimsHistories(unittest.TestCase):
	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		folder = tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp")  # a unix socket's path is short
		cls.addClassCleanup(folder.cleanup)
		cls.server = RedisServer(Path(folder.name))
		cls.addClassCleanup(cls.server.stop)
		cls.server.start()
		# that Redis has just started means nothing here
		at_once = mock.patch.object(owners, "RECORDS_BACK", -1)
		at_once.start()
		cls.addClassCleanup(at_once.stop)

	@settings(
		max_examples=repetitions("histories of claims", 30, long=2000),
		deadline=None,
		database=None,
		phases=(Phase.generate,),  # a seed cannot be made smaller
		suppress_health_check=list(HealthCheck),
	)
	@given(st.integers(0, 2**32))
	def test_no_job_is_lost_and_none_begins_too_often(self, seed: int) -> None:
		History(self.server, seed).run()
