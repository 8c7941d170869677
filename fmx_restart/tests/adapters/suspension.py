"""What stands in `rq:suspended`, for tests of its owners: in memory and in a real Redis."""

from __future__ import annotations

from redis import Redis

from fmx_restart.adapters.redis_queue.keys import SUSPENDED
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.leases import InMemoryFence, Suspension
from fmx_restart.tests.adapters.waiting import eventually


class ClockMoves:
	"""Where a clock is moved by tests, waiting costs no time."""

	clock: FakeClock
	short = 0.2

	def eventually(self, condition, what):
		for _ in range(100):
			if condition():
				return
			self.clock.sleep(0.01)
		raise AssertionError(f"not within 1 s: {what}")


class TimePasses:
	short = 0.2
	eventually = staticmethod(eventually)


class SuspensionInMemory(ClockMoves):
	def setUp(self):
		self.clock = FakeClock()
		self.suspension = Suspension(self.clock)

	def new_fence(self, owner, *, seconds=30.0, replaces=""):
		return InMemoryFence(self.suspension, owner, seconds=seconds, replaces=replaces)

	def plant(self, value):
		self.suspension.value, self.suspension.expires = value, None

	def value(self):
		return self.suspension.standing()


class SuspensionInRedis(TimePasses):
	admin: Redis

	def plant(self, value):
		if value is None:
			self.admin.delete(SUSPENDED)
		else:
			self.admin.set(SUSPENDED, value)

	def value(self):
		value = self.admin.get(SUSPENDED)
		return None if value is None else value.decode()
