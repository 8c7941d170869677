"""Workers, pools and the scheduler that did not start anew: which, why, and what to type."""

from __future__ import annotations

import os
import socket

from fmx_restart.doctor.checks.workers import workers
from fmx_restart.tests.doctor.support import DoctorTestCase
from fmx_restart.worker.membership import POOL, pool_key
from fmx_restart.worker.owners import mark
from fmx_restart.worker.recycling import REASON, RECYCLED, STAYED, UNUSED
from fmx_restart.worker.reload import REFUSED
from fmx_restart.worker.scheduler import record_key

CHECK, RECYCLING = "reload-refused", "worker-recycling"
HOST = socket.gethostname()


class RenewalsCase(DoctorTestCase):
	def worker(self, name: str, **fields: str | int) -> None:
		"""Its record; its process is this one."""
		self.rq.register("short", name=name)
		mark(self.admin, f"rq:worker:{name}", **fields)
		self.admin.hset(f"rq:worker:{name}", "hostname", "elsewhere")  # one process is one worker


class TestRefused(RenewalsCase):
	def test_workers_that_refused_for_the_same_reason_are_named_together(self):
		for name in ("a", "b"):
			self.worker(name, **{REFUSED: "ImportError"})
		self.worker("c")
		found = self.finding(CHECK)
		self.assertEqual(found.severity, "warning")
		self.assertIn("its new code cannot be imported (ImportError)", found.text)
		self.assertEqual(found.text.count(f"worker (pid {os.getpid()} on elsewhere)"), 2)
		self.assertIn("bench safe-restart plan", found.remedy)

	def test_each_reason_has_its_remedy(self):
		for kind, remedy in (
			("SwitchedOff", "bench safe-restart setup worker"),
			("WorkerPool", "bench safe-restart --wait-workers"),
			("TimeoutError", "Look what an app does"),
			("ChildProcessError", "bench safe-restart plan"),
		):
			self.worker(kind, **{REFUSED: kind})
			self.assertIn(remedy, self.finding(CHECK).remedy)
			self.admin.hdel(f"rq:worker:{kind}", REFUSED)

	def test_so_are_a_pool_and_the_scheduler(self):
		self.worker("a", **{POOL: "p1"})
		about = {"pid": 77, "hostname": HOST}
		self.admin.hset(pool_key(self.rq.id, "p1"), mapping={**about, REFUSED: "KeyError"})
		self.assertIn(f"pool (pid 77 on {HOST})", self.finding(CHECK).text)
		self.admin.hdel(pool_key(self.rq.id, "p1"), REFUSED)
		self.admin.hset(record_key(self.rq.id), mapping={**about, REFUSED: "KeyError"})
		self.assertIn(f"scheduler (pid 77 on {HOST})", self.finding(CHECK).text)

	def test_where_all_have_followed_there_is_nothing_to_say(self):
		self.worker("a", **{RECYCLED: 3, REASON: "age"})
		self.admin.set(record_key(self.rq.id), "no hash")
		self.assert_clean([CHECK, RECYCLING])


class TestRecycling(RenewalsCase):
	def test_how_often_and_why_last_stands_in_the_table_of_workers(self):
		self.worker("a", **{RECYCLED: 3, REASON: "age"})
		self.worker("b", **{RECYCLED: 0})
		shown = {row.name: row.recycled for row in workers(self.view())}
		self.assertEqual(shown, {"a": "3 (age)", "b": ""})

	def test_a_part_of_the_setting_that_a_worker_cannot_use_is_named(self):
		self.worker("a", **{UNUSED: "memory is less than the 90 MB that a worker has from its start on"})
		self.assertIn("memory is less than the 90 MB", self.finding(RECYCLING).text)

	def test_one_that_cannot_be_recycled_is_named(self):
		self.worker("a", **{STAYED: "SyntaxError"})
		self.assertIn("(SyntaxError)", self.finding(RECYCLING).text)

	def test_a_setting_that_nobody_can_use_is_odd(self):
		self.ways["config"] = lambda: {"fmx_restart_worker_recycle": {"jobs": "many", "age": "6h"}}
		found = self.finding("odd-settings")
		self.assertIn("jobs is no amount such as 1000", found.text)
