"""A restart of several hosts from Desk: offered where there are several, previewed, and watched group by group."""

from __future__ import annotations

import re
import socket

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.desk_case import LIST, PRIMARY, DeskTestCase
from fmx_restart.tests.bench.extra_programs import custom_queue
from fmx_restart.tests.bench.real_jobs import Enqueuer, Jobs
from fmx_restart.tests.bench.second_host import second_host

QUEUE = "bench-test"
HERE = socket.gethostname()
FIELDS = ("input[name=hosts]", "input[name=host_batch]", "input[name=canary]", "input[name=host_pause]")


class TestHostsInDesk(DeskTestCase):
	def open_options(self) -> None:
		self.desk.open("restart-operation", LIST)
		self.desk.click(LIST)
		self.desk.see(".restart-preview .restart-facts")
		self.desk.click(".restart-strategies label", "Wait for running jobs")
		self.desk.click(".restart-options summary")

	def shown(self) -> list[str]:
		return [field for field in FIELDS if self.desk.page.locator(field).count()]

	def test_a_bench_of_one_host_has_no_choice_of_hosts(self):
		self.open_options()
		self.assertEqual(self.desk.ask("preview")["hosts"], [HERE])
		self.assertEqual(self.shown(), [])
		self.desk.click(PRIMARY, "Continue…")
		self.assertNotIn("host", self.desk.text(".restart-consequences"))

	def test_two_hosts_come_one_after_the_other_and_the_page_shows_how_far_each_is(self):
		desk, before = self.desk, self.pids()
		with (
			custom_queue(self.bench, QUEUE),
			second_host(self.bench, self.folder, far=f"worker --queue {QUEUE}"),
		):
			eventually(lambda: "app2" in self.worker_hosts(), "its worker is registered", deadline=60)
			jobs = Jobs(self.bench, self.folder, Enqueuer(self.bench))  # one that knows the new queue
			self.addCleanup(jobs.close)
			job = jobs.hold(QUEUE)  # on app2: the first group does not wait for it
			own = jobs.hold("short")  # the first group waits for it until the page has shown that
			self.open_options()
			self.choose_groups()
			self.read_what_will_happen()
			desk.click(PRIMARY, "Restart Now")
			# Then the page shows whose turn it is
			desk.see('.restart-hosts li[data-state="under way"]', HERE)
			desk.see('.restart-hosts li[data-state="to come"]', "app2")
			own.let_go()
			desk.see('.restart-hosts li[data-state="under way"]', "app2", seconds=180)
			desk.see('.restart-hosts li[data-state="done"]', HERE)
			self.see_phase("Drain")
			self.assert_accessible()
			job.let_go()
			# And how each of them ended
			self.see_status("Done")
			desk.see('.restart-hosts li[data-state="done"]', re.compile(rf"{HERE}.*in [\d.]+ s", re.DOTALL))
			desk.see('.restart-hosts li[data-state="done"]', "app2")
			self.assert_accessible()
			steps = desk.page.locator(".restart-timeline [data-phase]").all()
			phases = [step.get_attribute("data-phase") for step in steps]
			self.assertEqual(phases.count("Drain"), 2, phases)
			self.assertEqual(phases.count("Preflight"), 1, phases)
		self.assert_restarted(before)

	def worker_hosts(self) -> set[str]:
		return {self.redis.hget(key, "hostname") for key in self.redis.smembers("rq:workers")}

	def choose_groups(self) -> None:
		"""The pause is offered once there are groups; a share of nothing is refused as in a terminal."""
		desk = self.desk
		self.assertEqual(self.shown(), list(FIELDS[:3]))
		desk.page.locator("input[name=host_batch]").fill("0")
		desk.see(".restart-banner.red", "--host-batch")
		desk.page.locator("input[name=host_batch]").fill("1")
		desk.page.locator("input[name=host_pause]").fill("2")
		desk.page.locator("input[name=canary]").fill("1")
		desk.page.locator(".restart-banner.red").wait_for(state="detached")
		# A strategy that does not stop between two hosts has none of it
		desk.click(".restart-strategies label", "Restart now, kill running jobs")
		desk.page.locator("input[name=host_batch]").wait_for(state="detached")
		desk.click(PRIMARY, "Continue…")
		desk.see(".restart-consequences", f"2 hosts are restarted together: {HERE}, app2.")
		desk.click(".modal.show .btn-modal-secondary", "Back")
		desk.click(".restart-strategies label", "Wait for running jobs")
		# And one that is not chosen is named
		desk.click(".restart-options summary")
		desk.page.locator("input[name=hosts][value=app2]").check()
		desk.click(PRIMARY, "Continue…")
		desk.see(".restart-consequences", "Only the host app2 is restarted.")
		desk.see(".restart-consequences", f"{HERE} is not restarted and keeps the old code.")
		desk.click(".modal.show .btn-modal-secondary", "Back")
		desk.click(".restart-options summary")
		desk.page.locator("input[name=hosts][value=app2]").uncheck()

	def read_what_will_happen(self) -> None:
		desk = self.desk
		desk.see(".restart-order .restart-step-hosts", HERE)
		self.assert_accessible(".restart-modal.show")
		desk.click(PRIMARY, "Continue…")
		text = desk.see(".restart-consequences", "in 2 groups, one after the other").inner_text()
		for part in (
			f"one after the other: {HERE}; app2.",
			f"After its restart, {HERE} is watched for 1 s.",
			"Between two groups there is a pause of 2 s",
			"Each group waits for its own jobs only.",
			"If a host fails, the groups after it are not restarted",
		):
			self.assertIn(part, text)
		desk.see(".restart-dialog code", "--host-batch=1 --host-pause=2 --canary=1")
