"""Someone else has suspended the queue: that is said, respected, and left to them."""

from __future__ import annotations

from fmx_restart.tests.bench.support import BenchTestCase


class TestForeignSuspension(BenchTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.addCleanup(self.redis.delete, "rq:suspended")

	def test_it_is_told_and_still_there_afterwards(self):
		# Given a queue that someone suspended, as rq suspend does
		self.redis.set("rq:suspended", "1")
		# When the bench is restarted, and a job comes meanwhile
		command = self.start("--wait-workers", "--json")
		command.wait_for_fact("WorkersParked")
		waiting = self.jobs.work("long")
		done = command.finish()
		# Then it is, and it was told
		self.assertEqual((done.code, done.report["outcome"]), (0, "Done"), done.text)
		told = [fact["holder"] for fact in done.facts if fact["event"] == "ForeignSuspension"]
		self.assertEqual(told, ["rq suspend"])
		# And the suspension stands as it was found, without an end, and the job still waits
		self.assertEqual((self.redis.get("rq:suspended"), self.redis.ttl("rq:suspended")), ("1", -1))
		self.assertEqual(waiting.starts, 0)
		self.assertEqual(done.report["account"]["waiting"], 1)
		# Until whoever suspended it lifts that
		self.redis.delete("rq:suspended")
		self.assertEqual(waiting.wait_for_end().starts, 1)

	def test_a_dry_run_tells_it_too(self):
		self.redis.set("rq:suspended", "1")
		done = self.run_command("--wait-workers", "--dry-run", "--json")
		self.assertEqual(done.code, 0, done.text)
		self.assertIn('"suspension": "1"', done.output)
