"""What tests of jobs that stand in no list share."""

from __future__ import annotations

from collections.abc import Collection

from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.engine.ledger import BUCKETS, text_of


class Ghosts:
	"""For a test case that has a `queue`."""

	def new_fence(self) -> RedisFence:
		owner = f"fmx_restart:{self.queue.bench_id}:operation-1"
		return RedisFence(self.queue.connection, owner, seconds=30)

	def unlisted(self, listed: Collection[str]) -> dict[str, float]:
		"""Jobs whose hash says queued, but for those in `listed`."""
		hashes = self.queue.hashes()
		ids = {text_of(id) for number in range(BUCKETS) for id in hashes.bucket(number)}
		return self.queue.queued(ids.difference(listed))

	def put_back(self, ids: Collection[str]) -> list[str]:
		"""Those that were pushed, under a fence that stands."""
		fence = self.new_fence()
		fence.hold()
		try:
			outcome = self.queue.put_back(ids, fence)
		finally:
			fence.release()
		self.assertEqual(outcome.refused, [])
		return outcome.pushed
