"""What Desk shows without anybody starting anything: the workers, failures, and nothing to those who may not see it."""

from __future__ import annotations

import gzip
import json
import re

from fmx_restart.desk import start_order
from fmx_restart.desk.start_order import StartOrder
from fmx_restart.engine.identity import new_operation_id
from fmx_restart.engine.options import Strategy, restart_options
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.browser import NO_DIALOG_MOVES, Desk
from fmx_restart.tests.bench.desk_case import LIST, METHOD, DeskTestCase
from fmx_restart.tests.bench.extra_programs import GROUP, custom_queue, extra_programs

WORKERS = ".restart-table[aria-label='Workers']"
FAIL = "fmx_restart.tests.bench.jobs.fail"
PASSWORD = "correct horse battery staple 7"
#: Whoever shows this as it is, runs it. In a record Frappe leaves its attribute out, but not the picture.
MARKUP, CLEANED = "<img src=x onerror=window.was_run=1>", '<img src="x">'
#: Which of them depends on Frappe's version, and on whether it is a list or a page.
REFUSED = re.compile("not found|not permitted", re.IGNORECASE)
BUNDLE, MOST_BYTES = "fmx_restart.bundle.js", 60 * 1024  # compressed; the build minifies it, and Vue is in it
FUNCTIONS = ("preview", "status", "history", "verdict", "workers", "findings", "charts", "explain", "log")


class TestPages(DeskTestCase):
	"""In one browser: as the administrator, and as someone with a desk of their own, and without the role."""

	MANAGER, USER = "desk-manager@example.com", "desk-stranger@example.com"

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.desk.open("restart-operation", LIST)
		# Frappe makes a System Manager of the first user there is, whatever is asked for
		cls.make_user(cls.MANAGER, "System Manager")
		cls.make_user(cls.USER, "Website Manager")
		cls.stranger = cls.browser.desk(cls.USER, PASSWORD)

	@classmethod
	def make_user(cls, name: str, role: str) -> None:
		"""Or nothing, where an earlier run has made it."""
		user = {"doctype": "User", "email": name, "first_name": name, "new_password": PASSWORD}
		user |= {"send_welcome_email": 0, "roles": [{"role": role}]}
		cls.desk.request("POST", "frappe.client.insert", {"doc": user})

	def test_the_workers_page_is_alive_and_asks_nothing_more_when_it_is_left(self):
		desk = self.desk
		# Given the page of an idle bench
		desk.open("bench-workers", ".restart-tiles")
		desk.see(f"{WORKERS} tr", "idle")
		desk.see(".restart-verdict.is-info", "Safe now: no job is running")
		# When a job begins and ends, the page tells without being loaded anew
		held = self.jobs.hold("long")
		desk.see(f"{WORKERS} tr", METHOD)
		desk.see(".restart-verdict", "1 job is running")
		held.let_go()
		desk.see_no(f'{WORKERS} tr:has-text("{METHOD}")')
		desk.see(".restart-card", "Health Findings")
		desk.see(".restart-chart, .restart-empty")
		self.look_up_what_is_wrong()
		self.assert_accessible()
		# And when it is left, it is silent
		desk.page.evaluate("frappe.set_route('List', 'Restart Operation')")
		desk.see(LIST)
		self.assertFalse(desk.asks("fmx_restart.api.workers", within=5))
		# And the search field knows a restart by the words of others, too
		for words in ("restart the b", "reboot", "update: r"):
			desk.page.locator("#navbar-search").fill(words)
			desk.see(".awesomplete li", "estart the bench…")
		desk.page.locator("#navbar-search").press("Enter")
		desk.see(".restart-dialog .restart-verdict")
		desk.click(".modal.show .btn-modal-secondary", "Close")

	def look_up_what_is_wrong(self) -> None:
		"""The page of a check, and the end of a worker's log; with two operations there is their history."""
		desk = self.desk
		desk.see(".restart-history svg" if len(desk.ask("charts")["durations"]) > 1 else ".restart-empty")
		for number, finding in enumerate(desk.ask("findings")["findings"][:1]):
			item = desk.page.locator(".restart-findings li:has(.restart-explain)").nth(number)
			item.locator(".restart-explain").click()
			self.assertIn("What to do.", item.locator(".restart-pre").inner_text(), finding)
		desk.click(f"{WORKERS} .restart-open-log", "Log")
		desk.see(".modal.show .restart-logs", "Lines from and about jobs are left out.")
		self.assertNotIn(METHOD, desk.text(".modal.show .restart-logs"))
		desk.page.wait_for_function(NO_DIALOG_MOVES)
		desk.page.keyboard.press("Escape")
		desk.page.locator(".restart-modal.show").wait_for(state="detached")

	def test_a_job_that_failed_is_named_without_its_arguments(self):
		self.jobs.put(FAIL, "short", secret=PASSWORD)
		self.desk.open("bench-workers", ".restart-tiles")
		self.desk.see(".restart-table[aria-label='Failed Jobs'] tr", FAIL)
		self.assertNotIn(PASSWORD, self.desk.page.content())
		self.assertNotIn(PASSWORD, json.dumps(self.desk.ask("workers")))

	def test_a_failed_operation_says_why_and_what_to_do(self):
		# Given a worker whose queue is taken out of the configuration: it cannot start again
		with custom_queue(self.bench, "bench-test"):
			programs = extra_programs(self.bench, **{"bench-test-worker": "worker --queue bench-test"})
			programs.__enter__()
		self.addCleanup(programs.__exit__, None, None, None)
		self.addCleanup(eventually, self.stop_trying, "supervisor does not start it again", deadline=60)
		# When the workers are restarted
		done = self.run_command("--no-web", "--json")
		self.assertEqual(done.code, 4, done.text)
		# Then the record reads so
		self.desk.open("restart-operation", LIST)
		self.desk.ask("status", operation=done.report["operation"])  # brings the record up to date
		self.desk.go_to_operation(done.report["operation"])
		self.see_status("Failed")
		self.desk.see(".restart-timeline .is-failed")
		self.assertIn("bench-test-worker", self.desk.text(".restart-wrong"))
		self.assertIn("What to do", self.desk.text(".restart-wrong"))
		self.assert_accessible()

	def stop_trying(self) -> bool:
		"""Between two attempts there is nothing to stop, and supervisor tries again; after the last one it is FATAL."""
		self.bench.supervisorctl("stop", f"{GROUP}:")
		states = [
			line.split()[1] for line in self.bench.supervisorctl("status", f"{GROUP}:*").stdout.splitlines()
		]
		return bool(states) and {"STOPPED", "FATAL"}.issuperset(states)

	def test_what_comes_from_elsewhere_is_shown_as_text_in_both_themes_and_on_a_phone(self):
		# Given an operation that someone of a strange name asked for, and that gave up
		self.jobs.hold("long")
		operation = new_operation_id()
		wanted = restart_options(Strategy.WAIT_WORKERS, limit=0.5, requested_by=MARKUP, origin="api")
		folder = self.bench.path / "logs" / "fmx_restart"
		start_order.write(folder, StartOrder(operation, self.bench.site, wanted))
		self.assertEqual(self.run_command("--order", operation).code, 3)
		self.desk.open("restart-operation", LIST)
		self.desk.ask("status", operation=operation)
		self.desk.open_operation(operation)
		self.desk.see(".restart-byline", CLEANED)
		self.assertEqual(self.desk.page.locator(".restart-view img").count(), 0)
		self.take_the_next_steps()
		self.desk.switch_to_dark()
		with self.desk.on_a_phone():
			self.assertEqual(self.desk.excess(), 0)
			# Then nothing of it was run, and every page fits
			self.look_at_every_page()
		self.assertIsNone(self.desk.page.evaluate("window.was_run ?? null"))

	def take_the_next_steps(self) -> None:
		"""What is offered to somebody whose jobs did not get enough time."""
		desk = self.desk
		desk.click(".restart-next button", "Open Log")
		desk.see("details[open] .restart-pre", "Drain")
		desk.click(".restart-next button", "Again with 15 Minutes…")
		desk.see(".restart-strategies .is-chosen", "Wait for running jobs")
		desk.click(".restart-options summary")
		self.assertEqual(desk.see("input[name=wait_workers_timeout]").input_value(), "900")
		desk.click(".modal.show .btn-modal-secondary", "Close")
		desk.see(".restart-next button", "Restart Again…")

	def look_at_every_page(self) -> None:
		"""Each loaded anew: Frappe's charts complain of a window that becomes narrow while they are hidden."""
		self.desk.open("bench-workers", ".restart-tiles")
		self.assertEqual(self.desk.excess(), 0)
		self.desk.open("restarts", ".restart-verdict")
		self.desk.see(".restart-state", "2 workers")
		self.assert_accessible()
		self.assertEqual(self.desk.excess(), 0)
		self.desk.open("restart-operation", LIST)
		self.desk.see(".restart-above-list .restart-verdict")
		self.assert_accessible(".restart-above-list, .restart-list-when")
		self.assertRegex(self.desk.text(".restart-list-when"), r"^\w+ · \d+ \w+ \d\d:\d\d$")
		self.assertRegex(
			self.desk.text(".restart-list .list-subject a"), r"^(Wait for running jobs|Restart now)"
		)
		self.assertEqual(self.desk.excess(), 0)
		self.desk.click(LIST)
		self.desk.see(".restart-preview .restart-facts")
		self.assertEqual(self.desk.excess(), 0)

	def see_refusal(self, desk: Desk, route: str) -> None:
		desk.page.goto(f"{self.bench.desk_url}/app/{route}")
		desk.see(".page-container, .modal.show", REFUSED)
		self.assertEqual(desk.page.locator(".restart-root").count(), 0)
		self.assertEqual(desk.page.locator("button:has-text('Restart…')").count(), 0)

	def test_the_bundle_is_small_and_only_loaded_on_our_pages(self):
		listed = json.loads((self.bench.sites_path / "assets" / "assets.json").read_text())
		built = self.bench.sites_path / listed[BUNDLE].lstrip("/")
		self.assertLessEqual(len(gzip.compress(built.read_bytes())), MOST_BYTES)
		self.stranger.open("user-profile", ".page-head")
		urls = self.stranger.page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
		self.assertFalse([url for url in urls if "fmx_restart.bundle" in url])

	def test_a_user_without_the_role_sees_neither_button_nor_data(self):
		self.see_refusal(self.stranger, "restart-operation")
		self.see_refusal(self.stranger, "bench-workers")

	def test_a_user_without_the_role_is_refused_by_the_server(self):
		self.stranger.page.goto(f"{self.bench.desk_url}/app/user-profile")
		self.stranger.page.wait_for_function("window.frappe?.csrf_token")
		for function in FUNCTIONS:
			answer = self.stranger.request("GET", f"fmx_restart.api.{function}")
			self.assertEqual(answer["status"], 403, function)
		answer = self.stranger.request("POST", "fmx_restart.api.start", {"strategy": "fast"})
		self.assertEqual(answer["status"], 403)
		query = {"doctype": "Restart Operation"}
		self.assertEqual(self.stranger.request("GET", "frappe.client.get_list", query)["status"], 403)
