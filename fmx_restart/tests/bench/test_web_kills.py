"""kill -9 while web is restarted whose old workers linger: web answers throughout or soon again, and nothing is left."""

from __future__ import annotations

import unittest

from fmx_restart.tests.bench.support import BenchTestCase
from fmx_restart.tests.bench.web_kills import POINTS, WebKills
from fmx_restart.tests.repetitions import IS_LONG_RUN

AGAIN = 5.0  # seconds from the kill until web answers


@unittest.skipUnless(IS_LONG_RUN, "takes some minutes: bin/test --long")
class TestWebKills(BenchTestCase):
	def test_a_process_that_is_killed_while_web_is_restarted_leaves_web_that_answers_and_nothing_else(self):
		from development.web_load import web_load
		from development.web_program import configuration_kept, restart_web, set_up

		# Given a bench that is set up, under load
		with configuration_kept(self.bench):
			set_up(self.bench, is_lingering=True)
			with web_load(self.bench) as load:
				kills = WebKills(self.bench, load)
				for kill in POINTS:
					with self.subTest(str(kill)):
						# When one of them is killed
						outcome = kills.run(kill)
						# Then web answers again by itself, and nothing is left behind
						self.assertTrue(outcome.is_hit)
						self.assertLess(outcome.without_answer, AGAIN)
						self.assertEqual(outcome.left, [])
		restart_web(self.bench)
