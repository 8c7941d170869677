"""A restart from Desk, in a real browser: looked at before, started, watched through the web restart, read afterwards."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta

from fmx_restart.tests.bench.accessibility import focus
from fmx_restart.tests.bench.browser import NO_DIALOG_MOVES
from fmx_restart.tests.bench.desk_case import LIST, METHOD, PRIMARY, DeskTestCase

DIALOG = ".restart-modal.show"
NAMED_JOBS = '.restart-table[aria-label="Named jobs"]'
TABS = 14  # more than the dialog has places for the focus
PHASES = ["Preflight", "Fence", "Park", "Drain", "Restart", "Lift", "Verify", "Audit", "Done"]


class TestRestartFromDesk(DeskTestCase):
	def test_a_restart_is_previewed_confirmed_and_watched_to_its_end_through_the_web_restart(self):
		from development.workload import Mix, Workload

		desk, before = self.desk, self.pids()
		with Workload(self.bench, self.folder / "load.jsonl", Mix(rate=1, long_share=0)) as load:
			# Given a bench at work, and one job that takes long
			held = self.jobs.hold("long")
			# When someone looks at what a restart would do
			desk.open("restart-operation", LIST)
			self.open_and_close_with_the_keyboard()
			desk.click(LIST)
			desk.see(".restart-dialog .restart-verdict", re.compile(r"jobs? (is|are) running"))
			self.look_at_the_preview()
			# And starts it
			self.press_enter_twice()
			desk.see(".restart-consequences", "If a job is still running then, nothing is restarted")
			self.leave_the_question_with_escape()
			self.assert_accessible(DIALOG)
			desk.click(PRIMARY, "Restart Now")
			desk.page.wait_for_function("document.activeElement.matches('.restart-headline')")
			# Then its form shows who is waited for
			self.see_phase("Drain")
			desk.asked.clear()
			self.look_at_the_drain()
			# And when the job ends, it goes on without web, and says so
			held.let_go()
			desk.see(".restart-banner", "The web server is restarting")
			# And comes back by itself, to the end
			self.see_status("Done")
			self.assert_few_requests()
			self.assert_no_errors(desk)
		self.assert_restarted(before)
		self.assertFalse(load.settle().lost)
		self.read_the_report()

	def assert_few_requests(self) -> None:
		"""One for each look, at most 30 in any minute; pace.js lets eight of them follow each other after a second."""
		times = [time for time, path in self.desk.asked if path.startswith("/api/method/fmx_restart.api")]
		paths = Counter(path for _, path in self.desk.asked)
		self.assertLessEqual(len(times), 9 + (times[-1] - times[0]) / 2.5, paths)
		self.assertEqual(paths["/api/method/fmx_restart.api.watch"], len(times), paths)

	def look_at_the_preview(self) -> None:
		self.desk.see(".restart-preview .restart-table", METHOD)
		self.assertIn("Recommended", self.desk.text(".restart-strategies"))
		self.desk.click(".restart-strategies label", "Wait for running jobs")
		self.desk.see(".restart-strategies .is-chosen", "Wait for running jobs")
		self.assertRegex(self.desk.text(".restart-preview .restart-order"), r"^First\s+web\s")
		self.assertIn("s many at once as there are CPUs", self.desk.text(".restart-preview .restart-order"))
		whole = self.desk.page.locator(".restart-order [title]").first.get_attribute("title")
		self.assertTrue(whole.endswith("-frappe-web"), whole)
		self.stay_at_the_first_choice()
		self.desk.click(".restart-options summary")
		self.assert_accessible(DIALOG)

	def stay_at_the_first_choice(self) -> None:
		"""The last one kills running jobs: arrow keys do not go round to it."""
		radios = self.desk.page.locator(".restart-strategies input")
		radios.first.focus()
		self.desk.page.keyboard.press("ArrowUp")
		self.assertTrue(radios.first.is_checked())
		self.desk.page.keyboard.press("ArrowDown")
		self.assertTrue(radios.nth(1).is_checked())
		self.desk.page.keyboard.press("ArrowUp")

	def leave_the_question_with_escape(self) -> None:
		"""It goes back to the choice, and not out of the dialog; and on again."""
		self.desk.page.keyboard.press("Escape")
		self.desk.see('.restart-dialog[data-step="choose"]')
		self.desk.page.wait_for_function("document.activeElement.innerText === 'Continue…'")
		self.desk.click(PRIMARY, "Continue…")
		self.desk.see('.restart-dialog[data-step="confirm"]')

	def look_at_the_red_button(self) -> None:
		"""It is the one that starts nothing again after Back."""
		self.desk.click(".restart-strategies label", "Restart now, kill running jobs")
		self.desk.click(PRIMARY, "Continue…")
		self.desk.see(".modal.show .btn-danger", "Restart Now")
		self.desk.click(".modal.show .btn-modal-secondary", "Back")
		self.desk.see(PRIMARY, "Continue…")

	def open_and_close_with_the_keyboard(self) -> None:
		"""The focus is inside from the beginning, stays there, is seen, and is back at the end."""
		desk, keyboard = self.desk, self.desk.page.keyboard
		desk.page.locator(LIST).focus()
		keyboard.press("Enter")
		desk.see(".restart-preview .restart-facts")
		desk.page.wait_for_function(NO_DIALOG_MOVES)
		self.assertNotIn("Continue…", focus(desk, DIALOG)["text"])
		stops = []
		for key in ("Tab",) * TABS + ("Shift+Tab",) * TABS:
			keyboard.press(key)
			stops.append(focus(desk, DIALOG))
		self.assertEqual([stop for stop in stops if not (stop["is_inside"] and stop["is_seen"])], [])
		self.assertTrue({"Continue…", "Close", "Options"}.issubset({stop["text"] for stop in stops}), stops)
		keyboard.press("Escape")
		desk.page.wait_for_function("text => document.activeElement.innerText === text", arg="Restart…")
		self.assertEqual(desk.page.locator(DIALOG).count(), 0)

	def press_enter_twice(self) -> None:
		"""The second one is no answer to a question that nobody has read."""
		self.desk.page.locator(PRIMARY).focus()
		for _ in range(3):
			self.desk.page.keyboard.press("Enter")
		self.desk.see('.restart-dialog[data-step="confirm"]')
		self.assertEqual(focus(self.desk, DIALOG)["text"], "What will happen")

	def test_requests_that_are_to_wait_for_a_migration_are_refused_with_what_is_missing(self):
		desk = self.desk
		# Given a bench whose web is not set up to linger, and someone who wants to migrate
		desk.open("restart-operation", LIST)
		desk.click(LIST)
		self.look_at_the_red_button()
		desk.click(".restart-strategies label", "Wait for running jobs")
		desk.click(".restart-options summary")
		self.assertEqual(desk.page.locator("input[name=hold_web]").count(), 0)
		desk.page.locator("input[name=migrate]").check()
		# When requests are to wait meanwhile
		desk.see(".restart-checks label", "Requests to all sites wait").locator("input").check()
		# Then the sites cannot be closed as well, and the preview says why it would be refused
		desk.see(".restart-banner.red", "Requests cannot wait for")
		phases = desk.see("fieldset.restart-checks").inner_text()
		self.assertIn("the drain", phases)
		self.assertNotIn("the migration", phases)
		# And so does the question
		desk.click(PRIMARY, "Continue…")
		desk.see(".restart-consequences", "The preflight will refuse this, and nothing will be changed")
		self.assertIn("Leave --hold-web out", desk.text(".restart-consequences"))
		# And it cannot be started, and the first line says why
		self.assertTrue(desk.see(PRIMARY, "Restart Now").is_disabled())
		desk.see(".restart-verdict.is-error", "Not now: ")
		desk.click(".modal.show .btn-modal-secondary", "Back")
		desk.click(".modal.show .btn-modal-secondary", "Close")

	def test_one_is_scheduled_listed_and_cancelled_and_none_is_started(self):
		desk, before = self.desk, self.pids()
		for left in (self.bench.path / "logs" / "fmx_restart").glob("*.schedule.json"):
			left.unlink()
		desk.open("restart-operation", LIST)
		desk.click(LIST)
		desk.click(".restart-strategies label", "Wait for running jobs")
		desk.click(".restart-options summary")
		# When it is to start at a time that has passed, that is told
		desk.page.locator("input[name=at]").fill("2020-01-01T22:00")
		desk.see(".restart-banner.red", "has passed")
		# And where it lies ahead, it is scheduled after a question that says when
		tomorrow = (datetime.now() + timedelta(days=2)).strftime("%Y-%m-%dT22:00")
		desk.page.locator("input[name=at]").fill(tomorrow)
		desk.page.locator("select[name=repeat]").select_option("weekly")
		desk.click(PRIMARY, "Continue…")
		desk.see(".restart-banner", "22:00")
		desk.click(PRIMARY, "Schedule")
		desk.see("#alert-container", "It is scheduled for")
		# Then the workspace names it, and the page of the workers lists it, and takes it back
		desk.open("restarts", ".restart-next-start")
		desk.see(".restart-next-start", "22:00")
		desk.go("bench-workers", ".restart-scheduled")
		desk.see(".restart-scheduled", "22:00")
		desk.click(".restart-scheduled button", "Cancel")
		desk.page.locator(".restart-scheduled").wait_for(state="detached")
		self.assert_nothing_restarted(before)

	def look_at_the_drain(self) -> None:
		self.assertIn(self.bench.site, self.desk.see(".restart-table tr", METHOD).inner_text())
		self.desk.see(".restart-left", "Gives up in")
		self.desk.see(".restart-log", "Drain: waiting for running jobs to end")
		self.desk.see(f'{NAMED_JOBS} tr:has-text("{METHOD}")', "Running")
		waited_for = self.desk.page.locator(f'{NAMED_JOBS} tr:has-text("{METHOD}")', has_text="Waited For")
		self.assertEqual(waited_for.count(), 0)
		for button in ("Extend Time…", "Kill Jobs…", "Cancel…"):
			self.desk.see(".restart-actions button", button)
		self.desk.see(".restart-table[aria-label='Workers'] .indicator-pill.gray", "paused for the restart")
		self.assert_accessible()

	def read_the_report(self) -> None:
		"""Loaded anew, as someone reads it a month later."""
		self.desk.page.reload()
		self.desk.see(".restart-headline", "Done in")
		self.assertRegex(self.desk.text(".restart-headline"), r"Done in .* accounted for")
		steps = self.desk.page.locator(".restart-timeline [data-phase]").all()
		self.assertEqual([step.get_attribute("data-phase") for step in steps], PHASES)
		self.desk.see(f'{NAMED_JOBS} tr:has-text("{METHOD}")', "Waited For")
		processes = self.desk.text('.restart-table[aria-label="Processes"]')
		self.assertEqual(processes.count("Replaced"), 5, processes)
		self.look_at_the_outage()
		self.look_at_the_bars()
		self.assertEqual(self.desk.page.locator(".restart-actions").count(), 0)
		self.assert_accessible()
		self.assertRegex(self.desk.text(".restart-users"), r"Web at 127\.0\.0\.1:\d+ (answered|gave|did not)")

	def look_at_the_outage(self) -> None:
		"""It is that of users, in web's row and in web's bars, and told apart from the time without a process."""
		web = self.desk.page.locator('.restart-table[aria-label="Processes"] tr:has([title$="-frappe-web"])')
		self.assertRegex(web.inner_text(), r"no answer for [\d.]+ s\s+not running for [\d.]+ s")
		bars = self.desk.page.locator(".restart-bars-row .restart-bars-outage")
		self.assertEqual(
			bars.count(), self.desk.page.locator('[data-program$="-frappe-web"] .restart-bars-outage').count()
		)
		self.assertRegex(bars.first.locator("title").text_content(), r"users got no answer for [\d.]+ s$")

	def look_at_the_bars(self) -> None:
		"""Each process was stopped and is new, the job stands in its worker's row, and a phone can scroll."""
		desk = self.desk
		label = desk.see(".restart-bars svg[role=img]").get_attribute("aria-label")
		self.assertRegex(label, r"^Bars over time: 5 processes and \d+ jobs?, from \d\d:\d\d:\d\d to ")
		rows = desk.page.locator(".restart-bars-row").all()
		marks = [
			[mark.get_attribute("data-mark") for mark in row.locator("[data-mark]").all()] for row in rows
		]
		self.assertEqual([row[-1] for row in marks], ["new"] * 5, marks)
		titles = desk.page.locator('[data-program*="long"] .restart-bars-job title').all_text_contents()
		self.assertTrue([title for title in titles if METHOD in title and "ended" in title], titles)
		with desk.on_a_phone():
			self.assertEqual(desk.excess(), 0)
			hidden = "element => element.scrollWidth - element.clientWidth"
			self.assertGreater(desk.page.locator(".restart-bars-scroll").evaluate(hidden), 100)
		desk.click(".restart-open-log", "Log")
		desk.see(".modal.show .restart-logs", "bench safe-restart logs ")
		self.assert_accessible(DIALOG)
		desk.page.keyboard.press("Escape")
		desk.page.locator(DIALOG).wait_for(state="detached")

	def test_a_waiting_one_gets_more_time_and_is_cancelled_and_nothing_was_restarted(self):
		desk, before = self.desk, self.pids()
		# Given an operation that waits for a job
		self.jobs.hold("long")
		operation = self.start_over_the_api(strategy="wait-workers", wait_workers_timeout=60)
		self.see_phase("Drain")
		desk.see(".restart-left", "Gives up in")
		# When it is given five minutes more
		desk.click(".restart-actions button", "Extend Time…")
		desk.click(PRIMARY, "Extend")
		# Then it gives up later
		desk.see(".restart-left", " min ")
		# And the meter moves on from where it is of the longer time
		desk.see('.restart-left [role=progressbar]:not([aria-valuenow="0"])')
		# And when it is cancelled, it ends as if nothing had been
		desk.click(".restart-actions button", "Cancel…")
		desk.see(".modal.show", "Nothing has been restarted yet.")
		desk.see(".modal.show .btn-modal-secondary", "Keep Waiting")
		desk.click(PRIMARY, "Cancel Restart")
		self.see_status("Cancelled")
		desk.see(".restart-wrong", "Cancelled by Administrator")
		self.assertNotIn("Type the same command", desk.text(".restart-wrong"))
		desk.see(f'{NAMED_JOBS} tr:has-text("{METHOD}")', "Left Running")
		self.assert_nothing_restarted(before)
		desk.go("restart-operation", f'.list-row:has(a[href$="{operation}"]) .indicator-pill.gray')

	def test_the_list_hears_of_the_end_of_one_that_was_cancelled_in_a_terminal_while_no_worker_is_free(self):
		desk = self.desk
		for queue in ("long", "short"):
			self.jobs.hold(queue).wait_for_start()
		started = self.start("--wait-workers", "--yes", "--json")
		desk.open("restart-operation", LIST)
		# While it waits, it is told without alarm, and no second one is offered
		desk.see(".restart-verdict.is-note", "Not now: ")
		desk.page.locator(LIST).wait_for(state="hidden")
		operation = desk.ask("verdict")["operation"]
		row = f'.list-row:has(a[href$="{operation}"])'
		desk.see(f"{row} .indicator-pill", "Running")
		# And when it is cancelled in a terminal, its row says so, and a restart is offered again
		self.assertEqual(self.run_command("cancel").code, 0)
		desk.see(f"{row} .indicator-pill.gray", "Cancelled")
		desk.see(LIST)
		self.assertEqual(started.finish().code, 130)

	def test_force_names_the_jobs_before_it_kills_them_and_the_report_names_them_again(self):
		desk = self.desk
		self.jobs.hold("long")
		self.start_over_the_api(strategy="wait-workers", wait_workers_timeout=600)
		self.see_phase("Drain")
		desk.see(".restart-table tr", METHOD)
		desk.click(".restart-actions button", "Kill Jobs…")
		desk.see(".modal.show .restart-jobs", METHOD)
		self.assert_accessible(DIALOG)
		desk.click(".modal.show .btn-modal-primary, .modal.show .btn-primary", "Kill and Continue")
		self.see_status("Done")
		self.assertIn("Killed", desk.text(NAMED_JOBS))
		desk.see(".restart-headline.is-note", "1 job killed on your order")
		desk.see(".page-head .indicator-pill.orange", "Done")
