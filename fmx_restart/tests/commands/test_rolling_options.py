"""Options of a rolling restart, parsed by click itself."""

from __future__ import annotations

import unittest

import click

from fmx_restart.tests.commands.typed import options_of


class TestRollingMaxFailures(unittest.TestCase):
	def test_less_than_one_is_refused_as_wrong_usage(self):
		for number in ("0", "-1", "some"):
			with self.subTest(number=number), self.assertRaises(click.UsageError) as raised:
				options_of("--rolling", "--rolling-max-failures", number)
			self.assertEqual(raised.exception.exit_code, 2)

	def test_one_is_the_default(self):
		self.assertEqual(options_of("--rolling").rolling_max_failures, 1)
