"""What every Web must do. Mixed into one TestCase per implementation."""

from __future__ import annotations

from fmx_restart.engine.ports import WebFault
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.web_answers import WebAnswers


class WebContract:
	"""
	The setUp of each implementation gives `web` and `clock`; its web program serves SITE and OTHER, and `family()` are the
	program's processes as they are now (none while it does not run). What a test does to it: `break_site(site, reason)` (None: it is well again), `close_site(site)`: it is
	in maintenance mode; `stop()`, `start()`, and `take()`, which stops it and lets an orphan
	listen in its place; that returns the orphan.
	"""

	SITE, OTHER = "one.localhost", "two.localhost"

	def ask(self) -> WebFault | None:
		"""The first answer that is no interim one."""
		faults: list[WebFault | None] = []

		def is_answered() -> bool:
			faults.append(self.web.fault(self.family()))
			return faults[-1] is None or faults[-1].reason != "no answer yet"

		self.assertTrue(wait_until(is_answered, Patience(15, 0.02), self.clock))
		return faults[-1]

	def broken_sites(self) -> list[WebFault]:
		found: list[list[WebFault] | None] = []

		def is_known() -> bool:
			found.append(self.web.broken_sites())
			return found[-1] is not None

		self.assertTrue(wait_until(is_known, Patience(15, 0.02), self.clock))
		return found[-1] or []

	def begin(self) -> None:
		"""Until each site has been asked."""
		self.web.begin(self.family())
		self.clock.sleep(0.3)

	def test_a_web_server_that_answers_has_no_fault_and_it_is_known_who_answers(self):
		self.assertIsNone(self.ask())
		self.assertEqual(self.web.unproved(self.family()), "")

	def test_one_that_does_not_run_has_a_fault_with_its_address(self):
		self.stop()
		fault = self.ask()
		self.assertEqual((fault.reason, fault.address), ("it does not run", self.web.address))
		self.assertFalse(fault.is_answer or fault.is_taken)

	def test_one_that_fails_says_so_with_site_and_address(self):
		for site in (self.SITE, self.OTHER):
			self.break_site(site, "HTTP 500")
		expected = WebFault("HTTP 500", self.web.address, self.SITE, is_answer=True)
		self.assertEqual(self.ask(), expected)
		self.assertEqual(str(expected), f"{self.web.address} (site one.localhost): HTTP 500")

	def test_a_good_answer_of_somebody_else_is_a_fault_that_names_who_and_what_to_type(self):
		orphan = self.take()
		fault = self.ask()
		self.assertTrue(fault.is_taken)
		self.assertEqual(fault.holder, orphan)
		self.assertEqual(
			fault.reason,
			f"pid {orphan.pid}, a web server of this bench that no process manager runs, listens in its place",
		)
		self.assertRegex(
			fault.remedy,
			rf"^End it: kill {orphan.pid} \(or bench doctor --fix\)\. Then type bench safe-restart --no-workers\.$",
		)

	def test_it_is_known_before_a_restart_that_somebody_else_has_the_address(self):
		self.assertIsNone(self.web.taken([self.family()]))
		orphan = self.take()
		self.assertEqual(self.web.taken([self.family()]).holder, orphan)

	def test_one_site_that_is_broken_does_not_decide_for_all(self):
		# Given a dead copy that comes first
		self.break_site(self.SITE, "HTTP 404")
		self.begin()
		# Then web works, before and after, and the copy, which has never answered, is not missed
		self.assertIsNone(self.ask())
		self.assertEqual(self.broken_sites(), [])

	def test_a_site_that_answered_before_and_does_not_now_is_named(self):
		self.begin()
		self.break_site(self.OTHER, "HTTP 500")
		self.assertIsNone(self.ask())
		expected = [WebFault("HTTP 500", self.web.address, self.OTHER, is_answer=True)]
		self.assertEqual(self.broken_sites(), expected)
		self.break_site(self.OTHER, None)
		self.assertEqual(self.broken_sites(), [])

	def users(self) -> WebAnswers:
		(answers,) = self.web.answers()
		return answers

	def test_a_time_without_an_answer_is_measured_from_the_last_good_one_to_the_next_one(self):
		self.begin()
		self.web.restart_begins()
		self.stop()
		self.clock.sleep(1.0)
		self.assertGreater(self.users().silence, 0.5)
		self.start()
		self.assertTrue(wait_until(lambda: self.users().answers_now, Patience(15, 0.02), self.clock))
		seen = self.users()
		self.assertGreaterEqual(seen.unanswered, 1.0)
		self.assertLess(seen.unanswered, 3.0)
		self.assertEqual((seen.silence, seen.before, seen.address), (0, "", self.web.address))

	def test_one_that_answers_each_request_is_flawless_and_one_that_lasts_is_told_as_silent_at_the_end(self):
		self.begin()
		self.web.restart_begins()
		self.clock.sleep(0.6)
		self.assertTrue(self.users().is_flawless)
		self.stop()
		self.clock.sleep(0.6)
		(ended,) = self.web.end()
		self.assertGreater(ended.silence, 0.3)
		self.assertFalse(ended.answers_now)

	def test_a_silence_that_began_before_the_restart_is_none_of_its_own(self):
		self.stop()
		self.begin()
		self.web.restart_begins()
		self.start()
		self.assertTrue(wait_until(lambda: self.users().answers_now, Patience(15, 0.02), self.clock))
		self.assertEqual((self.users().before, self.users().unanswered), ("connection refused", 0))

	def test_a_site_that_the_operation_closed_is_told_as_closed(self):
		ordered: set[str] = set()
		self.web.begin(self.family(), ordered.__contains__)
		self.clock.sleep(0.3)
		self.web.restart_begins()
		ordered.add(self.SITE)
		self.close_site(self.SITE)
		self.assertTrue(wait_until(lambda: self.users().closed > 0.3, Patience(15, 0.02), self.clock))
		self.assertEqual(self.users().unanswered, 0)
