"""bench doctor --explain: each check's page, as text for a terminal, with commands that can be pasted."""

from __future__ import annotations

import json
import os
import re
import tempfile
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
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

	def test_in_a_bench_its_commands_have_that_bench_s_values(self):
		config = {
			"redis_queue": "redis://:secret@127.0.0.1:11311",
			"redis_cache": "redis://127.0.0.1:13311",
			"webserver_port": 8123,
		}
		with self.bench(config):
			shown = {
				name: explain(name) for name in ("redis-latency", "queue-suspended", "web", "redis-cache")
			}
			elsewhere = explain("redis-latency", has_address=False)
		self.assertIn("redis-cli -p 11311 --askpass --latency", shown["redis-latency"])
		self.assertIn("rq resume --url redis://127.0.0.1:11311/0", shown["queue-suspended"])
		self.assertIn("-H 'Host: erp.example.com' http://127.0.0.1:8123/", shown["web"])
		self.assertIn("redis-cli -p 13311 ping", shown["redis-cache"])
		self.assertNotIn("secret", "".join(shown.values()))
		self.assertNotIn("11311", elsewhere)

	def test_what_only_a_finding_knows_stands_in_capitals(self):
		shown = explain("orphans")
		self.assertIn("kill PID", shown)
		self.assertIn("Words in capitals, such as PID,", shown)
		for name in CHECKS.all():
			with self.subTest(check=name):
				self.assertEqual(re.findall(r"<[a-z_ ]+>", explain(name)), [])

	@contextmanager
	def bench(self, config: dict) -> Iterator[None]:
		"""In the sites folder of one with one site."""
		before = Path.cwd()
		with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ):
			os.environ.pop("FRAPPE_REDIS_QUEUE", None)
			sites = Path(folder, "sites")
			(sites / "erp.example.com").mkdir(parents=True)
			(sites / "erp.example.com" / "site_config.json").write_text("{}")
			(sites / "common_site_config.json").write_text(json.dumps(config))
			os.chdir(sites)
			try:
				yield
			finally:
				os.chdir(before)
