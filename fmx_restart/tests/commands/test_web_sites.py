"""Which sites must answer after a restart, and where web is asked: what was typed, and what was set."""

from __future__ import annotations

import tempfile
import unittest

import click

from fmx_restart.commands.parameters import must_answer, typed_before
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.wiring import web


class TestWhichMustAnswer(unittest.TestCase):
	def test_those_that_somebody_typed_each_once(self):
		self.assertEqual(must_answer(["a", "b", "a"]), ("a", "b"))

	def test_none_where_nobody_typed_any_or_all(self):
		for typed in ([], [None], ["all"], ["a", "all"]):
			self.assertEqual(must_answer(typed), ())

	def test_a_default_site_that_bench_chose_was_not_typed(self):
		@click.group()
		@click.option("--site")
		def bench(site):
			"""As Frappe's bench_helper."""

		for words, typed in ((["--site", "a.localhost"], "a.localhost"), ([], None)):
			parent = bench.make_context("bench", [*words, "x"], resilient_parsing=True)
			self.assertEqual(typed_before(click.Context(click.Command("safe-restart"), parent=parent)), typed)
		self.assertIsNone(typed_before(click.Context(click.Command("safe-restart"))))


class TestTheSetting(unittest.TestCase):
	def test_one_that_cannot_be_read_refuses_a_restart_and_no_recovery(self):
		with tempfile.TemporaryDirectory() as folder:
			for config in ({"fmx_restart_web_url": "ftp://x"}, {"webserver_port": "no-port"}):
				with self.subTest(config=config):
					with self.assertRaises(WrongEnvironment):
						web(folder, config)
					self.assertEqual(web(folder, config, recovers=True).address, "127.0.0.1:8000")
