"""What a process beside us tells of a site's configuration, or does not tell."""

from __future__ import annotations

import sys
import tempfile
import time
import unittest
from pathlib import Path

from fmx_restart.adapters.site_config_asked import MODULE, AskedSiteConfig
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.tests.adapters.redis_server import CHECKOUT

ANSWERS = """
import json, sys
for line in sys.stdin:
	site = json.loads(line)
	known = {"one": {"config": {"db_name": "_one", "long": "x" * 200_000}}}
	print(json.dumps(known.get(site, {"error": f"{site} is broken.", "hint": "Mend it."})), flush=True)
"""
HANGS = "import time; time.sleep(600)"
ENDS = "raise SystemExit(3)"
TALKS = 'print("hello", flush=True); input()'
#: A Frappe whose import prints, and that hangs or not
FRAPPE = """
print("an app that talks")
import os, sys, time, types
local = types.SimpleNamespace()
utils = types.SimpleNamespace(get_bench_path=lambda: os.path.realpath(".."))
def init(site): local.conf = {{"initialised": True}}
def get_site_config(sites_path, site_path): return {{"db_name": site_path, "db_password": "secret"}}
{more}
"""


class TestAnswers(unittest.TestCase):
	def asked(self, code: str, within: float = 30.0) -> AskedSiteConfig:
		asked = AskedSiteConfig([sys.executable, "-c", code], within)
		self.addCleanup(asked._end)
		return asked

	def test_one_process_tells_of_all_sites(self):
		asked = self.asked(ANSWERS)
		self.assertEqual(asked("one")["db_name"], "_one")
		process = asked._process.pid
		with self.assertRaises(WrongEnvironment) as caught:
			asked("two")
		self.assertEqual((str(caught.exception), caught.exception.hint), ("two is broken.", "Mend it."))
		self.assertEqual(len(asked("one")["long"]), 200_000)
		self.assertEqual(asked._process.pid, process)

	def test_one_that_hangs_is_ended_and_told(self):
		asked = self.asked(HANGS, within=0.2)
		with self.assertRaises(WrongEnvironment) as caught:
			asked("one")
		self.assertIn("did not tell the configuration of one within 0.2 s", str(caught.exception))
		self.assertIsNone(asked._process)

	def test_one_that_ends_or_talks_of_something_else_is_told_at_once(self):
		for code in (ENDS, TALKS):
			began = time.monotonic()
			with self.assertRaises(WrongEnvironment):
				self.asked(code, within=60)("one")
			self.assertLess(time.monotonic() - began, 30)


class TestProcess(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.sites = Path(folder.name, "bench", "sites")
		(self.sites / "one").mkdir(parents=True)
		(self.sites.parent / "apps").mkdir()
		(self.sites / "common_site_config.json").write_text("{}")
		(self.sites / "one" / "site_config.json").write_text('{"db_name": "_one"}')

	def frappe(self, more: str = "") -> AskedSiteConfig:
		(self.sites / "frappe.py").write_text(FRAPPE.format(more=more))
		environment = ["/usr/bin/env", "-C", str(self.sites), f"PYTHONPATH={self.sites}:{CHECKOUT}"]
		asked = AskedSiteConfig([*environment, sys.executable, "-m", MODULE], 60.0)
		self.addCleanup(asked._end)
		return asked

	def test_it_tells_what_frappe_reads_and_nothing_that_apps_print(self):
		asked = self.frappe()
		self.assertEqual(asked("one"), {"db_name": "one", "db_password": "secret"})
		with self.assertRaises(WrongEnvironment):
			asked("no-such-site")
		self.assertEqual(asked("one")["db_name"], "one")

	def test_it_names_the_error_and_not_its_text(self):
		asked = self.frappe('def get_site_config(**paths): raise KeyError("secret")')
		with self.assertRaises(WrongEnvironment) as caught:
			asked("one")
		self.assertIn("KeyError", str(caught.exception))
		self.assertNotIn("secret", str(caught.exception) + caught.exception.hint)

	def test_it_ends_when_nobody_asks_any_more(self):
		asked = self.frappe()
		asked("one")
		asked._process.stdin.close()
		self.assertEqual(asked._process.wait(timeout=60), 0)
