"""Several sites share the workers of a bench: whose job it is, is told."""

from __future__ import annotations

import json

from fmx_restart.tests.bench.real_jobs import HOLD
from fmx_restart.tests.bench.second_site import add_second_site, remove_second_site
from fmx_restart.tests.bench.support import BenchTestCase


class TestSites(BenchTestCase):
	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.addClassCleanup(remove_second_site, cls.bench)
		cls.second = add_second_site(cls.bench)

	def test_jobs_of_every_site_are_waited_for_and_named_with_it(self):
		# Given a running job of each site; one worker takes no long ones, so that comes first
		second, first = self.jobs.hold("long", site=self.second), self.jobs.hold("short")
		before = self.pids()
		# When the command is told one site
		done = self.run_command("--wait-workers", "--wait-workers-timeout", "1", "--json")
		# Then it waits for both, for the workers are theirs together
		told = {(job["id"], job["site"], job["method"]) for job in done.report["still_running"]}
		self.assertEqual(told, {(first.id, self.bench.site, HOLD), (second.id, self.second, HOLD)})
		for site in (self.bench.site, self.second):
			self.assertIn(f"{site}: {HOLD}", done.errors)
		self.assert_nothing_restarted(before)

	def test_the_site_of_the_command_makes_no_difference_to_the_plan(self):
		job = self.jobs.hold()
		done = self.run_command("--wait-workers", "--dry-run", "--json", site=self.second)
		self.assertEqual(done.code, 0, done.text)
		plan = json.loads(done.output)
		self.assertEqual(
			[(found["id"], found["site"]) for found in plan["jobs"]], [(job.id, self.bench.site)]
		)
