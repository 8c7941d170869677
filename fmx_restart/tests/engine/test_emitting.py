from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.emitting import Emitter

FACT = events.NoWorkersFound()


class TestEmitter(unittest.TestCase):
	def setUp(self):
		self.heard: list[events.Event] = []

	def test_a_listener_whose_terminal_went_away_is_dropped_and_the_others_go_on(self):
		def gone(fact):
			raise BrokenPipeError

		emitter = Emitter([gone, self.heard.append])
		emitter(FACT)
		emitter(FACT)
		self.assertEqual(self.heard, [FACT, FACT])
		self.assertEqual([listener for listener, _ in emitter.dropped], [gone])

	def test_a_terminal_that_cannot_show_a_character_misses_that_fact_only(self):
		shown = []

		def latin(fact):
			shown.append(None)
			"→".encode("latin-1")

		emitter = Emitter([latin, self.heard.append])
		emitter(FACT)
		emitter(FACT)
		self.assertEqual((len(self.heard), len(shown)), (2, 2))
