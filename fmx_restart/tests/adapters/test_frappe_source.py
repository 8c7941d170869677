"""The depth at which frappe.enqueue fails, by the code of three versions of Frappe."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from fmx_restart.adapters.frappe_source import queue_limit

BEFORE = "def enqueue(method):\n\tq.enqueue_call(method)\n"  # 14, and early 15
FIFTEEN = """
def enqueue(method):
	_check_queue_size(q)

def _check_queue_size(q: Queue):
	max_jobs = cint(frappe.conf.max_queued_jobs)
	if not max_jobs:
		return

	if cint(q.count) >= max_jobs:
		frappe.throw(_("Too many queued background jobs"))
"""
SIXTEEN = """
MAX_QUEUED_JOBS = 500  # frappe.enqueue will start failing when these many jobs exist in queue.

def _check_queue_size(q: Queue):
	max_jobs = cint(frappe.conf.max_queued_jobs) or MAX_QUEUED_JOBS
	# Workaround for arbitrarily sized benches,
	max_jobs += _site_count() * 50

	if cint(q.count) >= max_jobs:
		frappe.throw(_("Too many queued background jobs"))
"""


class TestQueueLimit(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.frappe = Path(folder.name)

	def limit(self, code: str, sites: int = 3, **config) -> int | None:
		(self.frappe / "utils").mkdir(exist_ok=True)
		(self.frappe / "utils" / "background_jobs.py").write_text(code)
		return queue_limit(config, sites, self.frappe)

	def test_a_frappe_without_the_check_has_none(self):
		self.assertIsNone(self.limit(BEFORE, max_queued_jobs=100))

	def test_frappe_15_has_what_is_set(self):
		self.assertIsNone(self.limit(FIFTEEN))
		self.assertEqual(self.limit(FIFTEEN, max_queued_jobs="100"), 100)

	def test_frappe_16_has_a_default_and_adds_some_for_each_site(self):
		self.assertEqual(self.limit(SIXTEEN), 650)
		self.assertEqual(self.limit(SIXTEEN, max_queued_jobs=100), 250)

	def test_an_odd_setting_is_none_at_all(self):
		self.assertEqual(self.limit(SIXTEEN, sites=0, max_queued_jobs=["many"]), 500)

	def test_where_no_code_can_be_read_the_setting_counts(self):
		missing = self.frappe / "missing"
		self.assertIsNone(queue_limit({}, 1, missing))
		self.assertEqual(queue_limit({"max_queued_jobs": 7}, 1, missing), 7)

	def test_nothing_of_frappe_runs(self):
		# Given a Frappe that ends every process that imports it
		(self.frappe / "frappe" / "utils").mkdir(parents=True)
		for name in ("__init__.py", "utils/__init__.py"):
			(self.frappe / "frappe" / name).write_text("raise SystemExit(9)\n")
		(self.frappe / "frappe" / "utils" / "background_jobs.py").write_text(
			SIXTEEN + "raise SystemExit(9)\n"
		)
		code = (
			f"import sys; sys.path.insert(0, {str(self.frappe)!r})\n"
			"from fmx_restart.adapters.frappe_source import queue_limit\nprint(queue_limit({}, 2))"
		)
		done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
		self.assertEqual((done.stdout.strip(), done.returncode), ("600", 0), done.stderr)
