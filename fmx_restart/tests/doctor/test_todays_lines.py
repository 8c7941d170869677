"""What scripts read of bench doctor, on a real Redis. That it is Frappe's own, line by line: tests/bench/test_doctor.py."""

from __future__ import annotations

from fmx_restart.adapters.redis_queue.look import SAMPLE
from fmx_restart.doctor.frappe_output import queue_lines, scheduler_lines, worker_line
from fmx_restart.tests.adapters.rq_bench import SEPARATOR
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.support import SITE, DoctorTestCase


class TestTodaysLines(DoctorTestCase):
	def enqueue(self, number: int, site: str = SITE, method: str = "app.tasks.work") -> None:
		self.rq.enqueue(f"{site}{SEPARATOR}job-{number}", site=site, method=method)

	def test_jobs_of_one_site_are_told_from_those_of_a_site_whose_name_begins_the_same(self):
		self.enqueue(1)
		self.enqueue(2, method="app.tasks.other")
		self.enqueue(3, site=f"{SITE}.br")
		lines = list(queue_lines(self.view(), SITE))
		head, methods = lines[:4], lines[4:-1]
		self.assertEqual(head, [f"-----{SITE} Jobs-----", "Queue: short", "Number of Jobs:  2", "Methods:"])
		self.assertEqual(set(methods), {"app.tasks.work : 1", "app.tasks.other : 1"})
		self.assertIn("Number of Jobs:  3", list(queue_lines(self.view(), None)))

	def test_a_site_without_jobs_has_no_queues(self):
		self.enqueue(1)
		self.assertEqual(list(queue_lines(self.view(), "two.localhost")), ["-----two.localhost Jobs-----"])

	def test_of_a_long_queue_the_number_is_exact_and_the_methods_say_that_they_are_a_sample(self):
		for number in range(SAMPLE + 1):
			self.enqueue(number)
		lines = list(queue_lines(self.view(), SITE))
		self.assertIn(f"Number of Jobs:  {SAMPLE + 1}", lines)
		self.assertEqual(
			lines[-3:-1],
			[f"app.tasks.work : {SAMPLE}", f"(of {SAMPLE} jobs from the front to the back of the queue)"],
		)

	def test_workers_online_are_those_of_this_bench_that_are_alive(self):
		self.rq.start_worker("short")
		eventually(lambda: self.view().look.workers, "it has registered")
		dead = self.rq.register("short")
		self.admin.hset(dead.key, "pid", 2**22 + 1)
		other = self.rq.register("short")
		self.admin.hset(other.key, "queues", "home-ben-bench:short")
		eventually(lambda: list(worker_line(self.view())) == ["Workers online: 1"], "the dead one is known")

	def test_a_site_whose_database_is_away_hides_no_other(self):
		def lines_of(site: str) -> list[str]:
			if site == SITE:
				raise ConnectionRefusedError("no database")
			return [f"Scheduler disabled for {site}"]

		self.ways["scheduler_lines"] = lines_of
		lines = list(scheduler_lines(self.view(), [SITE, "two.localhost"]))
		self.assertEqual(
			lines,
			[
				f"Scheduler status unknown for {SITE}: ConnectionRefusedError",
				"Scheduler disabled for two.localhost",
			],
		)
