"""From JSON to facts: only what the annotations say, and fast enough for a journal of any length."""

from __future__ import annotations

import json
import time
import unittest
from dataclasses import dataclass, field
from enum import Enum

from fmx_restart.adapters.journal import fact_in
from fmx_restart.engine import events
from fmx_restart.engine.decoder import NotDecodable, decoder_of
from fmx_restart.engine.emitter import json_line
from fmx_restart.tests.console.samples import event_types, sample


class Colour(str, Enum):
	RED = "red"


@dataclass(frozen=True)
class Part:
	name: str
	size: float = 1.0


@dataclass(frozen=True)
class Whole:
	parts: tuple[Part, ...]
	colours: frozenset[Colour] = frozenset()
	count: int | None = None
	value: int | float | str | bool | None = None
	sizes: dict[str, int] = field(default_factory=dict)


class TestDecoding(unittest.TestCase):
	def decode(self, **fields) -> Whole:
		return decoder_of(Whole)({"parts": [], **fields})

	def test_each_kind_comes_back_as_its_own_type(self):
		told = {"parts": [{"name": "a", "size": 2}], "colours": ["red"], "count": 3, "sizes": {"b": 4}}
		whole = self.decode(**told)
		self.assertEqual(whole, Whole((Part("a", 2.0),), frozenset({Colour.RED}), 3, None, {"b": 4}))
		self.assertIs(type(whole.parts[0].size), float)

	def test_a_value_of_several_kinds_keeps_its_own(self):
		for value in (1, 1.5, "one", True, False, None):
			self.assertIs(type(self.decode(value=value).value), type(value))

	def test_a_field_that_is_not_told_has_its_default_and_one_that_is_not_known_is_left_out(self):
		self.assertEqual(self.decode(newer=1), Whole(()))

	def test_a_strict_one_refuses_what_it_does_not_know_however_deep(self):
		strict = decoder_of(Whole, strict=True)
		self.assertEqual(strict({"parts": [{"name": "a"}]}), Whole((Part("a"),)))
		for value in ({"parts": [], "newer": 1}, {"parts": [{"name": "a", "newer": 1}]}):
			with self.subTest(value), self.assertRaisesRegex(NotDecodable, "newer"):
				strict(value)
			self.assertIsInstance(decoder_of(Whole)(value), Whole)

	def test_whatever_does_not_fit_is_refused_and_not_bent(self):
		for fields in (
			{"parts": "abc"},
			{"parts": [1]},
			{"parts": [{"size": 1}]},
			{"parts": [{"name": 1}]},
			{"parts": [{"name": "a", "size": "1"}]},
			{"parts": [{"name": "a", "size": True}]},
			{"parts": [{"name": "a", "size": 10**400}]},
			{"colours": ["blue"]},
			{"colours": [["red"]]},
			{"count": "3"},
			{"count": 3.0},
			{"value": []},
			{"sizes": [1]},
			{"sizes": {"b": "4"}},
		):
			with self.subTest(fields), self.assertRaises(NotDecodable):
				self.decode(**fields)
		with self.assertRaises(NotDecodable):
			decoder_of(Whole)(None)

	def test_every_fact_can_be_decoded(self):
		for kind in event_types():
			with self.subTest(kind.__name__):
				fields = json.loads(json_line(sample(kind)))
				self.assertEqual(decoder_of(kind)(fields), sample(kind))

	def test_a_long_journal_is_read_in_no_time(self):
		line = json_line(sample(events.StillRunning))
		fact_in(line)
		began = time.process_time()
		for _ in range(2000):
			fact_in(line)
		self.assertLess(
			(time.process_time() - began) / 2000, 0.0005
		)  # seconds; some hundredths of a millisecond
