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


class TestBounds(unittest.TestCase):
	def test_a_number_out_of_bounds_is_refused_as_wrong_usage_and_names_its_option(self):
		for option, values in (
			("--wait-workers-timeout", ("-1", "nan", "inf", "soon")),
			("--force-kill-timeout", ("-0.1", "nan", "inf")),
			("--wait-workers-poll", ("0", "nan")),
			("--rolling-share", ("101%", "-1", "nan", "a lot", "")),
			("--migrate-timeout", ("0.5", "nan", "inf")),
		):
			for value in values:
				with self.subTest(f"{option} {value}"), self.assertRaises(click.UsageError) as raised:
					options_of("--wait-workers", "--migrate", option, value)
				self.assertEqual(raised.exception.exit_code, 2)
				self.assertIn(option, raised.exception.format_message())
