"""What the process of an ordered operation does with `--order OPERATION`, before it begins."""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import click

from fmx_restart.commands.parameters import Invocation, invocation
from fmx_restart.commands.restart import order_of
from fmx_restart.desk import start_order
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.tests.commands.typed import context_of
from fmx_restart.tests.desk.test_start_order import ID, OLDER, ORDER, SITE


def called(*words: str) -> Invocation:
	context = context_of(*words)
	return invocation(context, context.params)


class TestTheOption(unittest.TestCase):
	def test_it_names_the_operation_and_nothing_else(self):
		self.assertEqual(called("--order", ID), Invocation(order=ID))
		self.assertEqual(called("--order", ID, "--json"), Invocation(order=ID, as_json=True))

	def test_whoever_launched_it_stands_beside_it_and_nowhere_else(self):
		self.assertTrue(called("--order", ID, "--launched-from-web").launched_from_web)
		with self.assertRaises(click.UsageError):
			called("--launched-from-web")

	def test_an_option_beside_it_would_do_nothing_and_is_refused(self):
		for words in (
			("--rolling",),
			("--migrate",),
			("--wait-workers-timeout", "3"),
			("--yes",),
			("--site", "a"),
		):
			with self.subTest(words), self.assertRaises(click.UsageError) as raised:
				called("--order", ID, *words)
			self.assertEqual(raised.exception.exit_code, 2)

	def test_it_is_not_shown(self):
		self.assertTrue(next(it for it in context_of().command.params if it.name == "order").hidden)


class TestTheFile(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-order-")
		self.addCleanup(folder.cleanup)
		self.addCleanup(os.chdir, Path.cwd())
		self.bench = Path(folder.name)
		sites = self.bench / "sites"
		for path in (sites / SITE, self.bench / "apps"):
			path.mkdir(parents=True)
		(sites / SITE / "site_config.json").write_text("{}")
		(sites / "common_site_config.json").write_text("{}")
		(sites / "apps.txt").touch()
		os.chdir(sites)
		environment = patch.dict(os.environ, FRAPPE_BENCH_ROOT=folder.name)
		environment.start()
		self.addCleanup(environment.stop)
		self.folder = self.bench / "logs" / "fmx_restart"
		start_order.write(self.folder, ORDER)

	def refused(self, text: str, operation: str = ID) -> None:
		with self.assertRaisesRegex(WrongEnvironment, text) as raised:
			order_of(operation)
		self.assertIn("Nothing was changed", str(raised.exception))
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertTrue(raised.exception.hint)

	def test_its_options_are_those_that_were_ordered(self):
		self.assertEqual(order_of(ID), ORDER)

	def test_one_that_is_not_there_or_not_whole_is_refused(self):
		self.refused("is not an operation id", "../../x")
		self.refused("has no file", "20261122-120000-d0c8")
		path = self.folder / f"{ID}.request.json"
		path.write_text(json.dumps(OLDER))
		self.refused("Another version of fmx_restart wrote it")
		path.write_text(path.read_text()[:-9])
		self.refused("cannot be used")

	def test_one_that_was_carried_out_is_not_carried_out_again(self):
		(self.folder / f"{ID}.jsonl").touch()
		self.refused("was begun already")

	def test_a_site_that_was_dropped_since_is_named(self):
		start_order.remove(self.folder, ID)
		gone = replace(ORDER, options=replace(ORDER.options, sites=(SITE, "gone.example.com")))
		start_order.write(self.folder, gone)
		self.refused("no site 'gone.example.com'")


if __name__ == "__main__":
	unittest.main()
