"""Why a worker does not start, and nothing of what jobs are about."""

from __future__ import annotations

import unittest

from fmx_restart.adapters.log_text import lines_to_show, plain, without_jobs
from fmx_restart.engine.ports import LogTail

SECRET = "a-secret"
START = """2026-11-25 23:38:44,282 Worker rq:worker:06e3 started with PID 15631, version 1.15.1
2026-11-25 23:38:44,511 *** Listening on home-bench:short...
"""
JOB = f"""2026-11-25 23:40:07,513 home-bench:long: frappe.utils.background_jobs.execute_job(event=None, kwargs={{'password': '{SECRET}'}}, method='x') (a::1)
2026-11-25 23:40:08,759 home-bench:long: Job OK (a::{SECRET})
"""
JOB_FAILURE = f"""2026-11-25 23:40:08,759 [Job a::1]: exception raised while executing (frappe.utils.background_jobs.execute_job)
Traceback (most recent call last):
  File "apps/erp/reports.py", line 3, in build
    raise KeyError('{SECRET}')
KeyError: '{SECRET}'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "env/lib/rq/worker.py", line 1428, in perform_job
    rv = job.perform()
  File "apps/frappe/frappe/utils/background_jobs.py", line 203, in execute_job
    retval = method(**kwargs)
ValueError: first line
second line with {SECRET}
"""
BARE_JOB_FAILURE = JOB_FAILURE.partition("\n")[2]
BROKEN = """Traceback (most recent call last):
  File "apps/frappe/frappe/utils/bench_helper.py", line 114, in <module>
    main()
  File "apps/erp/__init__.py", line 1, in <module>
    import nothing
ModuleNotFoundError: No module named 'nothing'
"""
CHAINED = BROKEN + "\nDuring handling of the above exception, another exception occurred:\n\n" + BROKEN
USAGE = "Usage: bench worker [OPTIONS]\n\nError: No such option: --wrong\n"


class TestWithoutJobs(unittest.TestCase):
	def test_what_jobs_wrote_and_what_rq_wrote_about_them_is_left_out(self):
		for parts in (
			(JOB, BROKEN),
			(JOB_FAILURE, BROKEN),
			(BARE_JOB_FAILURE, BROKEN),
			(BROKEN, JOB, JOB_FAILURE),
		):
			for is_shared in (False, True):
				with self.subTest(parts=len(parts), is_shared=is_shared):
					told = without_jobs("".join(parts), is_shared=is_shared)
					self.assertNotIn(SECRET, told)
					self.assertIn("No module named 'nothing'", told)

	def test_a_log_of_its_own_is_shown_whole_otherwise(self):
		for text in (START, BROKEN, CHAINED, USAGE, START + BROKEN):
			self.assertEqual(without_jobs(text, is_shared=False), text.rstrip("\n"))

	def test_of_a_shared_log_tracebacks_are_shown_and_nothing_behind_them(self):
		printed = f"{START}someone printed {SECRET}\n{BROKEN}someone printed {SECRET}\n"
		self.assertEqual(without_jobs(printed, is_shared=True), BROKEN.rstrip("\n"))
		told = without_jobs(CHAINED, is_shared=True)
		self.assertEqual(told.count("ModuleNotFoundError"), 2)
		self.assertEqual(without_jobs(USAGE, is_shared=True), "")

	def test_a_cut_within_a_jobs_traceback_shows_nothing_of_it(self):
		for cut in range(1, len(JOB_FAILURE), 7):
			for is_shared in (True, False):
				told = without_jobs(JOB_FAILURE[cut:] + START + BROKEN, is_shared=is_shared, is_cut=True)
				self.assertNotIn(SECRET, told)
				self.assertIn("ModuleNotFoundError", told)

	def test_plain_text_has_no_colours_and_no_control_characters(self):
		self.assertEqual(plain("\x1b[31mred\x1b[0m\x07\tend\n\x9b"), "red\tend\n")


class TestLinesToShow(unittest.TestCase):
	"""To somebody who has no shell on the bench."""

	def shown(self, text: str, count: int = 100, *, is_shared: bool = False, is_cut: bool = False) -> str:
		tail = LogTail("worker.log", tuple(text.splitlines()), is_cut=is_cut)
		return "\n".join(lines_to_show(tail, count, is_shared=is_shared))

	def test_nothing_of_jobs_is_shown_however_few_lines_are_asked_for(self):
		for is_shared in (False, True):
			for count in range(1, 30):
				self.assertNotIn(
					SECRET, self.shown(START + JOB + JOB_FAILURE + BROKEN, count, is_shared=is_shared)
				)

	def test_only_the_last_lines_are_shown(self):
		self.assertEqual(self.shown(BROKEN, 1), "ModuleNotFoundError: No module named 'nothing'")

	def test_a_log_that_begins_in_the_middle_of_an_entry_shows_nothing_of_that(self):
		for cut in range(1, len(JOB_FAILURE), 7):
			self.assertNotIn(SECRET, self.shown(JOB_FAILURE[cut:] + START, is_cut=True))

	def test_passwords_and_logins_are_hidden(self):
		text = "connecting to redis://default:hunter2@127.0.0.1:13000 with db_password='hunter2'"
		shown = self.shown(text)
		self.assertNotIn("hunter2", shown)
		self.assertIn("redis://***@127.0.0.1:13000", shown)


if __name__ == "__main__":
	unittest.main()
