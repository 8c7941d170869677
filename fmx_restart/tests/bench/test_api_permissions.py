"""Who may do what over real HTTP: every method, everybody, every verb."""

from __future__ import annotations

import unittest

from fmx_restart.tests.bench.http_client import clients
from fmx_restart.tests.bench.site_process import on_site
from fmx_restart.tests.bench.support import development_bench

NOBODY = "20000101-000000-0000"  # an operation that there never was
READING = {
	"preview": {},
	"status": {},
	"feed": {"operation": NOBODY},
	"watch": {"operation": NOBODY},
	"history": {},
	"workers": {},
	"findings": {},
	"explain": {"check": "no-such-check"},
	"charts": {},
}
ACTING = {
	"start": {"on_timeout": "never"},  # refused after the gate: nothing is started here
	"cancel": {"operation": NOBODY},
	"extend": {"operation": NOBODY, "seconds": 10},
	"force": {"operation": NOBODY},
	"hold": {"seconds": -1},
	"release": {"owner": "nobody of this bench"},
}
REFUSED = {401, 403}
WRONG_VERB = {403, 405}
NOT_FOUND, INVALID = 404, 417


class TestApiPermissions(unittest.TestCase):
	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.bench = development_bench()
		cls.people = clients(cls.bench, "10.1.0.1")

	def test_who_has_no_role_is_refused_by_every_method(self):
		for name in ("guest", "website", "desk"):
			for method, arguments in {**READING, **ACTING}.items():
				with self.subTest(person=name, method=method):
					answer = self.people[name].post(method, **arguments)
					self.assertIn(answer.status, REFUSED, answer.text[-500:])

	def test_operators_and_managers_read_everything(self):
		for name in ("operator", "manager"):
			for method, arguments in READING.items():
				with self.subTest(person=name, method=method):
					answer = self.people[name].get(method, **arguments)
					self.assertEqual(answer.status, NOT_FOUND if arguments else 200, answer.text[-500:])

	def test_operators_and_managers_pass_the_gate_of_what_acts(self):
		for name in ("operator", "manager"):
			for method, arguments in ACTING.items():
				with self.subTest(person=name, method=method):
					answer = self.people[name].post(method, **arguments)
					self.assertIn(answer.status, {NOT_FOUND, INVALID}, answer.text[-500:])

	def test_what_acts_cannot_be_got(self):
		for method, arguments in ACTING.items():
			with self.subTest(method=method):
				answer = self.people["manager"].get(method, **arguments)
				self.assertIn(answer.status, WRONG_VERB, answer.text[-500:])

	def test_what_changes_more_than_the_code_that_runs_is_for_managers_only(self):
		for method in ("preview", "start"):
			for option in ("migrate", "force", "update_config"):
				with self.subTest(method=method, option=option):
					arguments = {option: 1, "on_timeout": "never"}
					refused = self.people["operator"].post(method, **arguments)
					self.assertEqual(refused.status, 403, refused.text[-2000:])
					passed = self.people["manager"].post(method, **arguments)
					self.assertEqual(passed.status, INVALID, passed.text[-2000:])

	def test_the_end_of_a_log_is_for_managers_and_never_longer_than_asked_for(self):
		manager = self.people["manager"]
		for name in ("guest", "website", "desk", "operator"):
			self.assertIn(self.people[name].get("log", program="no-such").status, REFUSED, name)
		self.assertIn(manager.post("log", program="no-such").status, WRONG_VERB)
		for unknown in ({"program": "no-such"}, {"worker": "no-such"}, {"program": "../../etc/passwd"}):
			answer = manager.get("log", **unknown)
			self.assertEqual(answer.status, NOT_FOUND, answer.text[-500:])
		worker = manager.get("workers").message["workers"][0]["name"]
		program = manager.get("log", worker=worker).message["program"]
		self.assertEqual(manager.get("log").status, INVALID)
		for lines in (0, -1, 10_001):
			self.assertEqual(manager.get("log", program=program, lines=lines).status, INVALID)
		told = manager.get("log", program=program, lines=3).message
		self.assertEqual((told["program"], told["command"]), (program, f"bench safe-restart logs {program}"))
		self.assertTrue(told["logs"])
		for log in told["logs"]:
			self.assertLessEqual(len(log["lines"]), 3)
			self.assertEqual(log["fault"], "")

	def test_nothing_but_an_option_gets_through_as_one(self):
		for arguments in (
			{"strategy": "explode"},
			{"on_timeout": "--help"},
			{"rolling_share": "--status"},
			{"rolling_share": "a lot"},
			{"rolling_max_failures": 0},
			{"wait_workers_timeout": -1},
			{"maintenance_mode": "lunch"},
			{"migrate": 1, "sites": "../../etc"},
			{"migrate": 1, "sites": "--resume"},
			{"skip_failing": 1},
			{"web": 0, "workers": 0},
		):
			with self.subTest(arguments=arguments):
				answer = self.people["manager"].post("preview", **arguments)
				self.assertEqual(answer.status, INVALID, answer.text[-500:])

	def test_an_operations_name_is_no_path(self):
		for name in ("../../../etc/passwd", "..", "x/../y", "a\x00b", ""):
			for method in ("feed", "watch", "cancel"):
				with self.subTest(name=name, method=method):
					answer = self.people["manager"].post(method, operation=name)
					self.assertEqual(answer.status, NOT_FOUND, answer.text[-500:])


class TestRowPermissions(unittest.TestCase):
	"""The rows themselves, through Frappe's own routes."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.bench = development_bench()
		cls.people = clients(cls.bench, "10.1.0.2")
		on_site(cls.bench, "make_row", operation="test-rights")
		cls.addClassCleanup(on_site, cls.bench, "forget", prefix="test-rights")

	def test_who_has_no_role_sees_no_row(self):
		for name in ("guest", "website", "desk"):
			with self.subTest(person=name):
				self.assertIn(self.people[name].resource("GET").status, REFUSED)
				self.assertIn(self.people[name].resource("GET", "test-rights").status, REFUSED)

	def test_operators_and_managers_see_rows(self):
		for name in ("operator", "manager"):
			with self.subTest(person=name):
				self.assertEqual(self.people[name].resource("GET", "test-rights").status, 200)

	def test_nobody_writes_or_makes_one(self):
		for name in ("website", "desk", "operator", "manager"):
			with self.subTest(person=name):
				change = {"status": "Failed"}
				self.assertEqual(self.people[name].resource("PUT", "test-rights", change).status, 403)
				new = {"name": "test-rights-2", "strategy": "fast", "status": "Done"}
				self.assertEqual(self.people[name].resource("POST", body=new).status, 403)
		answer = self.people["manager"].resource("GET", "test-rights")
		self.assertIn('"status":"Running"', answer.text.replace(" ", ""))

	def test_only_managers_delete_and_only_what_is_over(self):
		self.assertEqual(self.people["operator"].resource("DELETE", "test-rights").status, 403)
		# Given that it still runs, as far as its row tells
		self.assertEqual(self.people["manager"].resource("DELETE", "test-rights").status, INVALID)
		self.assertEqual(self.people["manager"].resource("GET", "test-rights").status, 200)
