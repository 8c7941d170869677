"""Names that other programs chose: none of them reaches a terminal as more than text, or keeps a fact from being shown."""

from __future__ import annotations

import contextlib
import io
import json
import unittest
from dataclasses import dataclass
from unittest import mock

from rich.console import Console

from fmx_restart.console.doctor import report
from fmx_restart.console.listeners import PlainLines
from fmx_restart.console.live import LiveTerminal
from fmx_restart.console.sentences import sentence
from fmx_restart.desk.json_safe import json_safe
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.registry import Finding, Severity
from fmx_restart.engine import events
from fmx_restart.engine.plain_text import printable, printable_lines
from fmx_restart.tests.console import samples

#: Clears a screen, rings a bell, turns the line round, and is no UTF-8
ODD = "[red]caf\udce9\x1b[2J\x07\u202eevil"
SHOWN = r"caf\xe9\x1b[2J\x07\u202eevil"


def odd_facts() -> list[events.Event]:
	with mock.patch.dict(samples.PLAIN, {str: ODD}):
		return [samples.sample(kind) for kind in samples.event_types()]


class TestOddNames(unittest.TestCase):
	def assert_harmless(self, text: str) -> None:
		text.encode()
		for char in ("\x1b", "\x07", "\u202e"):
			self.assertNotIn(char, text)

	def test_every_fact_is_shown_as_plain_text(self):
		for fact in odd_facts():
			with self.subTest(type(fact).__name__):
				out = io.StringIO()
				with contextlib.redirect_stdout(out):
					PlainLines(verbose=True)(fact)
				self.assert_harmless(out.getvalue())
				if "evil" in sentence(fact):
					self.assertIn(SHOWN, out.getvalue())

	def test_so_it_is_on_a_terminal(self):
		for fact in odd_facts():
			with self.subTest(type(fact).__name__):
				out = io.StringIO()
				terminal = LiveTerminal(Console(file=out, width=500), verbose=True)
				terminal(fact)
				terminal.hide()
				self.assert_harmless(out.getvalue())

	def test_what_the_doctor_finds_is_plain_text_everywhere(self):
		found = Finding("check", Severity.ERROR, ODD, ODD, ODD)
		examination = Examination("bench", 0.0, 0.0, (), (found,), {"sites": (Row(ODD),)})
		out = io.StringIO()
		Console(file=out, width=500).print(report(examination))
		self.assert_harmless(out.getvalue())
		self.assertIn(SHOWN, out.getvalue())
		self.assert_harmless(json.dumps(examination.as_dict(), ensure_ascii=False))

	def test_answers_of_the_api_hold_no_bytes_that_are_no_text(self):
		self.assert_harmless(json.dumps(json_safe({ODD: [ODD, {"x": ODD}]}), ensure_ascii=False))

	def test_text_of_people_stays_as_it_is(self):
		for text in ("Müller & Söhne, São Paulo, 東京, 🚀", "", "a b"):
			self.assertEqual((printable(text), printable_lines(text)), (text, text))
		self.assertEqual(printable_lines("one\n\ttwo\r"), "one\n\ttwo\\r")
		self.assertEqual(printable("x" * 10, 5), "xxxxx…")


@dataclass(frozen=True)
class Row:
	name: str
