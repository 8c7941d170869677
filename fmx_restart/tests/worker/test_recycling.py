"""Workers that start anew by themselves on a real Redis: after jobs, by their size, one at a time, and never in the middle of a job."""

from __future__ import annotations

import math
import signal
import tempfile
import time
import unittest
from pathlib import Path

import psutil

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.test_reload import AT_THE_GATE, ReloadCase
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE
from fmx_restart.worker.recycling import (
	IDLE_FIRST,
	ONCE_IN,
	REASON,
	RECYCLED,
	SETTING,
	STAYED,
	UNUSED,
	Recycling,
	limits_of,
	place_key,
	pressure_in,
)
from fmx_restart.worker.reload import RELOADS
from fmx_restart.worker.requests import lock_key
from fmx_restart.worker.switch import SETTING as SWITCH

MEGABYTE = 2**20
GROWS = "kept = []\n\n\ndef grow(**kwargs):\n\tkept.append(b'x' * (80 << 20))\n"


class RecyclingCase(ReloadCase):
	def limit(self, **limits: object) -> None:
		self.bench.set(**{SWITCH: 1, SETTING: limits})

	def recycled(self, pid: int) -> tuple[str | None, str | None]:
		return self.field(pid, RECYCLED), self.field(pid, REASON)

	def is_recycled(self, pid: int, times: int = 1) -> None:
		eventually(lambda: self.field(pid, RECYCLED) == str(times), self.bench.log, deadline=60)

	def serves_on(self, pid: int) -> None:
		"""It neither starts anew nor is about to."""
		time.sleep(1.2)  # longer than between two looks
		self.assertEqual((self.recycled(pid), self.bench.state(pid)), (("0", None), "idle"))
		self.assertIsNone(self.admin.get(place_key(self.bench.id)))

	def run_jobs(self, *ids: str) -> None:
		for id in ids:
			self.bench.enqueue_counted(id)
		for id in ids:
			self.bench.is_done(id)


class TestRecycling(RecyclingCase):
	def test_after_so_many_jobs_the_same_process_starts_anew(self):
		self.limit(jobs=2)
		pid = self.bench.start()
		self.assertEqual(self.recycled(pid), ("0", None))
		self.run_jobs("a")
		self.serves_on(pid)
		self.run_jobs("b", "c")
		self.is_recycled(pid)
		self.assertEqual((self.recycled(pid), self.field(pid, RELOADS)), (("1", "jobs"), "1"))
		eventually(lambda: not self.admin.exists(place_key(self.bench.id)), "another one may")
		self.assertEqual(self.admin.scard("rq:workers"), 1)
		self.run_jobs("d", "e")
		self.is_recycled(pid, 2)
		self.assertEqual([self.bench.count(BEGUN, id) for id in "abcde"], [1] * 5)
		# A reload that somebody asks for keeps the count
		self.has_answered(pid, self.ask())
		self.assertEqual((self.recycled(pid), self.field(pid, RELOADS)), (("2", "jobs"), "3"))

	def test_one_that_has_grown_gives_its_memory_back(self):
		pid = self.bench.start(kind="nofork")
		size = psutil.Process(pid).memory_info().rss
		self.bench.kill(pid)
		self.limit(memory=size + 40 * MEGABYTE)
		self.write("tasks", GROWS)
		pid = self.bench.start(kind="nofork")
		self.bench.enqueue_counted("a", func="own_app.tasks.grow")
		self.is_recycled(pid)
		self.assertEqual(self.recycled(pid), ("1", "memory"))
		self.assertLess(psutil.Process(pid).memory_info().rss, size + 40 * MEGABYTE)

	def test_a_job_that_runs_is_never_interrupted(self):
		self.limit(jobs=1)
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		self.assertEqual(self.recycled(pid), ("0", None))
		time.sleep(1.2)  # longer than between two looks
		self.bench.finish("a")
		self.is_recycled(pid)
		self.assertEqual(self.bench.count(DONE, "a"), 1)

	def test_a_worker_starts_whatever_the_setting_says_and_says_what_is_wrong(self):
		for told, said in (
			({"jobs": -1, "ages": "6h"}, ("jobs is no amount", "'ages' is none of")),
			({"memory": "10M"}, ("memory is less than the",)),
			("1000", ("it is no object",)),
		):
			self.bench.set(**{SWITCH: 1, SETTING: told})
			pid = self.bench.start()
			for part in said:
				self.assertIn(part, self.bench.log)
				self.assertIn(part, self.field(pid, UNUSED))
			self.run_jobs(f"{said[0]}")
			self.serves_on(pid)
			self.bench.kill(pid)

	def test_where_the_new_code_does_not_import_it_stays_and_says_why(self):
		self.limit(jobs=1)
		pid = self.bench.start()
		self.write("hooks", "open('probes', 'a').write('1')\nraise KeyError('a password')\n")
		self.run_jobs("a")
		eventually(lambda: self.field(pid, STAYED), self.bench.log)
		self.assertEqual((self.field(pid, STAYED), self.recycled(pid)), ("KeyError", ("0", None)))
		self.assertIn(
			"should be recycled (jobs), and stays as it is: KeyError in own_app.hooks", self.bench.log
		)
		self.assertNotIn("password", self.bench.log)
		# It works as before, tries it again in ten minutes, and is in nobody's way
		self.run_jobs("b")
		time.sleep(1.2)  # longer than between two looks
		self.assertEqual((self.sites / "probes").read_text(), "1")
		self.assertIsNone(self.admin.get(place_key(self.bench.id)))


class TestPlace(RecyclingCase):
	def setUp(self) -> None:
		super().setUp()
		self.limit(jobs=1)

	def workers_at_the_gate(self) -> tuple[list[int], int]:
		"""Three, each of which should be recycled; and the one that is."""
		pids = [self.bench.start() for _ in range(3)]
		(self.sites / "sitecustomize.py").write_text(AT_THE_GATE)
		for id in "abc":
			self.bench.enqueue_counted(id, waits=True)
			self.bench.has_begun(id)
		for id in "abc":
			self.bench.finish(id)
		eventually((self.sites / "at-the-gate").exists, self.bench.log)
		[gone] = eventually(lambda: [pid for pid in pids if not self.bench.record(pid)], "one is gone")
		return pids, gone

	def test_one_worker_at_a_time_is_recycled_and_the_others_serve(self):
		pids, gone = self.workers_at_the_gate()
		self.run_jobs("d")
		time.sleep(1.2)  # longer than between two looks
		self.assertEqual([pid for pid in pids if not self.bench.record(pid)], [gone])
		(self.sites / "gate-is-open").touch()
		for pid in pids:
			eventually(lambda pid=pid: int(self.field(pid, RECYCLED) or 0) >= 1, self.bench.log, deadline=60)

	def test_where_the_one_that_is_recycled_is_killed_or_stopped_its_place_expires(self):
		for number in (signal.SIGSTOP, signal.SIGKILL):
			with self.subTest(number):
				pids, gone = self.workers_at_the_gate()
				self.bench.signal(gone, number)
				(self.sites / "gate-is-open").touch()
				key = place_key(self.bench.id)
				self.assertTrue(0 < self.admin.ttl(key) <= 120)
				others = [pid for pid in pids if pid != gone]
				time.sleep(1.2)  # longer than between two looks
				self.assertEqual([self.bench.state(pid) for pid in others], ["idle", "idle"])
				self.admin.expire(key, 1)
				for pid in others:
					self.is_recycled(pid)
				for pid in pids:
					self.bench.kill(pid)
				for file in ("gate-is-open", "at-the-gate", "sitecustomize.py"):
					(self.sites / file).unlink()
				self.admin.flushall()

	def test_it_waits_for_the_end_of_an_operation(self):
		pid = self.bench.start()
		self.admin.set(lock_key(self.bench.id), "an operation")
		self.run_jobs("a")
		self.serves_on(pid)
		self.admin.delete(lock_key(self.bench.id))
		self.is_recycled(pid)

	def test_told_to_leave_while_the_new_code_is_tried_it_leaves_and_the_next_one_may(self):
		pid = self.bench.start()
		self.write("hooks", "import pathlib, time\npathlib.Path('hangs').touch()\ntime.sleep(50)\n")
		self.run_jobs("a")
		eventually((self.sites / "hangs").exists, "the new code is tried")
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual(self.bench.wait(pid), 0)
		self.assertIsNone(self.admin.get(place_key(self.bench.id)))


class TestLimits(unittest.TestCase):
	def test_people_write_amounts_in_several_ways(self):
		limits, faults = limits_of(
			{SETTING: {"jobs": "1000", "age": "6h", "memory": "1.5 GB", "pressure": "20%"}}
		)
		self.assertEqual(
			(limits, faults), ({"jobs": 1000, "age": 6 * 3600, "memory": 1.5 * 2**30, "pressure": 20}, [])
		)
		self.assertEqual(limits_of({}), ({}, []))

	def test_what_cannot_be_meant_does_not_count_and_is_named(self):
		for name, value in (
			("jobs", 0),
			("jobs", "1k"),
			("jobs", True),
			("jobs", [1]),
			("jobs", 10**400),
			("age", 6),
			("age", "6 hours"),
			("age", math.inf),
			("age", None),
			("memory", 1),
			("memory", "-1G"),
			("pressure", "0"),
			("presure", 20),
		):
			limits, faults = limits_of(
				{SETTING: {name: value, "jobs" if name != "jobs" else "age": "7d" if name == "jobs" else 7}}
			)
			with self.subTest(name=name, value=value):
				self.assertEqual(len(faults), 1)
				self.assertIn(name, faults[0])
				self.assertEqual(len(limits), 1)


class TestWhen(unittest.TestCase):
	def test_an_old_one_is_recycled_when_it_is_idle_and_later_before_its_next_job(self):
		recycling = Recycling({"age": 0.05})
		self.assertEqual(recycling.wish(), "")
		time.sleep(0.06)
		self.assertEqual((recycling.wish(), recycling.reason()), ("idle", "age"))
		recycling._due_since -= IDLE_FIRST
		self.assertEqual(recycling.wish(), "now")
		recycling.stay()
		self.assertEqual(recycling.wish(), "")

	def test_a_size_that_each_start_reaches_at_once_costs_one_start_a_minute(self):
		size, recycling = 100, []
		for is_again in (False, True):
			recycling.append(Recycling({"memory": 200}, lambda: size, lambda: None, is_again=is_again))
		size = 200
		self.assertEqual([one.reason() for one in recycling], ["memory", ""])
		recycling[1]._began -= ONCE_IN
		recycling[1].count_job()
		self.assertEqual(recycling[1].reason(), "memory")

	def test_under_pressure_only_one_that_has_grown_and_is_not_new(self):
		size, pressure = 100, 30.0
		recycling = Recycling({"pressure": 20}, lambda: size, lambda: pressure)
		recycling._began -= 601

		def reason() -> str:
			recycling.count_job()
			return recycling.reason()

		self.assertEqual(reason(), "")
		size = 130
		self.assertEqual(reason(), "pressure")
		pressure = 10.0
		self.assertEqual(reason(), "")
		pressure, recycling._began = 30.0, time.monotonic()
		self.assertEqual(reason(), "")

	def test_the_kernel_tells_the_pressure(self):
		with tempfile.TemporaryDirectory() as folder:
			machine, group = Path(folder, "machine"), Path(folder, "group")
			machine.write_text(
				"some avg10=0.00 avg60=1.50 avg300=9.00 total=1\nfull avg10=0.00 avg60=80.00 avg300=0.00 total=0\n"
			)
			group.write_text("some avg10=0.00 avg60=22.17 avg300=0.00 total=1\n")
			self.assertEqual(pressure_in([machine]), 1.5)
			self.assertEqual(pressure_in([machine, group]), 22.17)
			self.assertIsNone(pressure_in([Path(folder, "none"), Path(folder)]))
