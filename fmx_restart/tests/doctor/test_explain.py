"""bench doctor --explain: each check's page, as text for a terminal, with commands that can be pasted."""

from __future__ import annotations

import os
import re
import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from fmx_restart.__main__ import main
from fmx_restart.doctor.explain import explain
from fmx_restart.doctor.registry import CHECKS


class TestExplain(unittest.TestCase):
	def explain(self, name: str):
		return CliRunner().invoke(main, ["doctor", "--explain", name])

	def test_each_check_has_a_page_without_marks_of_markdown(self):
		for name in CHECKS.all():
			with self.subTest(check=name):
				done = self.explain(name)
				self.assertEqual(done.exit_code, 0, done.output)
				self.assertIn("What to do.", done.output)
				self.assertNotRegex(done.output, r"\*\*|\]\(|\(\.\./")

	def test_an_unknown_name_is_refused_with_those_that_are_like_it(self):
		done = self.explain("ghost-job")
		self.assertEqual(done.exit_code, 7)
		self.assertIn("ghost-jobs", done.output)

	def test_in_a_bench_its_commands_have_the_address_of_its_redis(self):
		before = Path.cwd()
		with tempfile.TemporaryDirectory() as folder:
			self.addCleanup(os.chdir, before)
			Path(folder, "sites").mkdir()
			text = '{"redis_queue": "redis://:secret@127.0.0.1:11311"}'
			Path(folder, "sites", "common_site_config.json").write_text(text)
			os.chdir(Path(folder, "sites"))
			with patch.dict(os.environ):
				os.environ.pop("FRAPPE_REDIS_QUEUE", None)
				shown, elsewhere = explain("redis-latency"), explain("redis-latency", has_address=False)
			os.chdir(before)
		self.assertIn("redis-cli -p 11311 --askpass --latency", shown)
		self.assertNotIn("secret", shown)
		self.assertNotIn("11311", elsewhere)
		self.assertFalse(re.findall(r"<redis_\w+>", shown))
