"""A job that takes too long, a look before: nothing is restarted, and it is said why."""

from __future__ import annotations

import json

from fmx_restart.tests.bench.support import BenchTestCase

METHOD = "fmx_restart.tests.bench.jobs.hold"
LIMIT = 1234  # seconds that the held job may take: a number that stands nowhere else
TIMED_OUT = 3  # exit code


class TestGivingUp(BenchTestCase):
	"""One job runs through all of these tests; none of them may harm it."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.held = cls.jobs.hold(timeout=LIMIT, secret="an-argument-nobody-may-read")
		cls.before = cls.pids()

	def setUp(self) -> None:
		self.addCleanup(self.assert_as_it_was)

	def assert_as_it_was(self) -> None:
		self.assert_nothing_restarted(self.before)
		self.assertEqual(self.keys_of_ours(), [])
		self.assertEqual((self.held.starts, self.held.ends), (1, 0), "the job goes on")
		self.assert_queue_moves()

	def test_a_time_out_names_the_job_its_site_since_when_and_its_limit(self):
		# When it gets less time than it takes
		done = self.run_command("--wait-workers", "--wait-workers-timeout", "2")
		# Then it is named, and what was not done is said, and what can be
		self.assertEqual(done.code, TIMED_OUT, done.text)
		self.assertRegex(done.errors, rf"{self.bench.site}: {METHOD}, for \d+ s, limit {LIMIT} s")
		self.assertIn("Nothing was restarted; the queue keeps running", done.errors)
		self.assertIn("--wait-workers-timeout 4", done.errors)
		self.assertNotIn("an-argument-nobody-may-read", done.text)

	def test_a_time_out_as_json_ends_with_a_report_that_tells_what_was_still_running(self):
		done = self.run_command("--wait-workers", "--wait-workers-timeout", "1", "--json")
		self.assertEqual(done.code, TIMED_OUT, done.text)
		self.assertEqual(
			(done.report["outcome"], done.report["failure"]["type"]), ("Aborted", "DrainTimeout")
		)
		self.assertEqual([job["id"] for job in done.report["still_running"]], [self.held.id])
		self.assertEqual(done.report["processes"], [])

	def test_a_dry_run_names_the_running_job_and_the_longest_it_can_take(self):
		done = self.run_command("--wait-workers", "--dry-run")
		self.assertEqual(done.code, 0, done.text)
		self.assertIn(f"{self.bench.site} / {METHOD} (short), time-out 20 min 34 s", done.output)
		self.assertRegex(
			done.output, r"5 processes to restart: .*\d jobs? running, at most (20|19) min \d+ s more"
		)
		self.assertIn("Nothing was changed", done.output)

	def test_a_dry_run_as_json_tells_the_same(self):
		done = self.run_command("--wait-workers", "--dry-run", "--json")
		self.assertEqual(done.code, 0, done.text)
		plan = json.loads(done.output)
		# a job of the scheduler may run just then, too
		self.assertIn((self.bench.site, METHOD), [(job["site"], job["method"]) for job in plan["jobs"]])
		self.assertTrue(LIMIT - 600 < plan["longest"] <= LIMIT, plan["longest"])
		self.assertEqual({process["pid"] for process in plan["restart"]} - set(self.before.values()), set())
