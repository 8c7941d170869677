from __future__ import annotations

import errno
import unittest

from fmx_restart.engine import events
from fmx_restart.engine.emitter import Emitter
from fmx_restart.engine.errors import JournalFault

FACT = events.NoWorkersFound()


class TestEmitter(unittest.TestCase):
	def setUp(self):
		self.heard: list[events.Event] = []

	def test_a_listener_whose_terminal_went_away_is_dropped_and_the_others_go_on(self):
		def gone(fact):
			raise BrokenPipeError

		emitter = Emitter(None, [gone, self.heard.append])
		emitter(FACT)
		emitter(FACT)
		self.assertEqual(self.heard, [FACT, FACT])
		self.assertNotIn(gone, emitter.listeners)

	def test_a_journal_that_cannot_be_written_is_told_once_to_whoever_acts_and_everybody_else_still_hears(
		self,
	):
		def full(fact):
			raise OSError(errno.ENOSPC, "No space left on device")

		emitter = Emitter(full, [self.heard.append])
		with self.assertRaisesRegex(JournalFault, "No space left on device"):
			emitter(FACT)
		emitter(FACT)
		self.assertEqual(self.heard, [FACT, FACT])

	def test_a_terminal_that_cannot_show_a_character_misses_that_fact_only(self):
		shown = []

		def latin(fact):
			shown.append(None)
			"→".encode("latin-1")

		emitter = Emitter(None, [latin, self.heard.append])
		emitter(FACT)
		emitter(FACT)
		self.assertEqual((len(self.heard), len(shown)), (2, 2))
