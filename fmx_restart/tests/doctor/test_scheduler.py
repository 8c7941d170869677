"""Whether the scheduler runs and keeps up: real processes, and records as a site's database has them."""

from __future__ import annotations

import importlib.util
import json
import time
import unittest
from datetime import datetime, timedelta

from fmx_restart.adapters.database import SiteDatabase
from fmx_restart.adapters.scheduled_events import Event, ScheduleRecord, local_time
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.tests.doctor.host_bench import HostTestCase

SITE = "a.localhost"
ZONE = "Europe/Berlin"
CHECKS = ("overdue-events", "scheduler-off", "scheduler-process")
HAS_CRONITER = importlib.util.find_spec("croniter") is not None
HOUR = timedelta(hours=1)


def record(
	*events: Event, enabled: bool = True, last: timedelta | None = timedelta(minutes=2), zone: str = ZONE
):
	"""`last`: how long ago any event ran."""
	now = local_time(time.time(), zone)
	return ScheduleRecord(enabled, zone, None if last is None else now - last, now, 4.0, events)


class SchedulerCase(HostTestCase):
	def setUp(self):
		super().setUp()
		(self.bench / "sites" / SITE).mkdir()
		self.configure()
		self.database = SiteDatabase(schedule=record())
		self.held: str | None = None
		self.programs: tuple[Program, ...] = ()
		self.ways |= {
			"sites": lambda: [SITE],
			"processes": lambda: InMemoryProcesses(FakeClock(), *self.programs),
		}

	def configure(self, **settings) -> None:
		(self.bench / "sites" / SITE / "site_config.json").write_text(json.dumps(settings))

	def view(self):
		view = super().view()
		view.parts.get("databases", lambda: {SITE: self.database})
		view.parts.get("lock_note", lambda: self.held)
		return view

	def told(self) -> dict[str, str]:
		return {finding.check: finding.text for finding in self.findings(*CHECKS)}

	def start_scheduler(self) -> None:
		self.launch("frappe.utils.bench_helper", "frappe", "schedule")


class TestScheduler(SchedulerCase):
	def test_one_that_runs_is_clean(self):
		self.start_scheduler()
		self.assertEqual(self.told(), {})

	def test_one_that_the_manager_should_run_and_does_not_is_named_though_it_worked_just_now(self):
		self.programs = (Program("bench-schedule", ProcessKind.SCHEDULER, state=ProcessState.EXITED),)
		[finding] = self.findings(*CHECKS)
		self.assertEqual(
			(finding.check, finding.severity, finding.subject),
			("scheduler-process", "error", "bench-schedule"),
		)
		self.programs = (Program("bench-schedule", ProcessKind.SCHEDULER),)
		self.assertEqual(self.told(), {})

	def test_one_that_runs_elsewhere_shows_in_what_it_does(self):
		self.assertEqual(self.told(), {})
		self.database = SiteDatabase(schedule=record(last=HOUR))
		self.assertIn("ran 1 h ago", self.told()["scheduler-process"])

	def test_a_worker_pool_schedules_too(self):
		self.database = SiteDatabase(schedule=record(last=HOUR))
		self.launch("frappe.utils.bench_helper", "frappe", "worker-pool")
		self.assertEqual(self.told(), {})

	def test_one_that_is_switched_off_is_told_with_how_and_misses_no_process(self):
		for settings, enabled, part in (
			({}, False, "System Settings"),
			({"pause_scheduler": 1}, True, "paused"),
			({"disable_scheduler": 1}, True, "disable_scheduler"),
		):
			with self.subTest(part):
				self.configure(**settings)
				self.database = SiteDatabase(schedule=record(enabled=enabled, last=HOUR))
				told = self.told()
				self.assertEqual(set(told), {"scheduler-off"})
				self.assertIn(part, told["scheduler-off"])

	def test_a_pause_is_not_told_while_an_operation_holds_the_bench(self):
		"""It pauses the sites that it migrates; to resume one by hand would schedule jobs on a changing schema."""
		self.configure(pause_scheduler=1)
		self.held = "20261122-120000-beef {}"
		self.assertEqual(self.told(), {})

	def test_a_database_that_does_not_answer_tells_nothing(self):
		self.database = SiteDatabase(fault="no answer", is_reached=False)
		self.assertEqual(self.told(), {})


@unittest.skipUnless(HAS_CRONITER, "croniter comes with Frappe")
class TestOverdue(SchedulerCase):
	"""Nothing runs here: the scheduler is elsewhere, and did something two minutes ago."""

	def event(self, method: str, frequency: str, last: timedelta, cron: str = "") -> Event:
		return Event(method, frequency, cron, local_time(time.time(), ZONE) - last)

	def test_events_that_should_have_run_are_counted_and_the_worst_is_named(self):
		self.database = SiteDatabase(
			schedule=record(
				self.event("a.late", "Cron", 3 * HOUR, "*/5 * * * *"),
				self.event("a.later", "All", 5 * HOUR),
				self.event("a.punctual", "All", timedelta(minutes=3)),
				self.event("a.yearly", "Cron", HOUR, "0 0 29 2 *"),
			)
		)
		[finding] = self.findings(*CHECKS)
		self.assertEqual((finding.check, finding.severity), ("overdue-events", "warning"))
		self.assertIn("2 scheduled events should have run, a.later 4 h 5", finding.text)

	def test_a_scheduler_that_has_just_started_gets_the_time_to_catch_up(self):
		self.database = SiteDatabase(schedule=record(self.event("a.late", "All", 5 * HOUR)))
		self.start_scheduler()
		self.assertEqual(self.told(), {})

	def test_a_site_that_nobody_uses_may_be_late(self):
		found = record(self.event("a.late", "All", 5 * HOUR))
		idle = ScheduleRecord(
			True, ZONE, found.last_run, found.last_run - timedelta(days=5), 4.0, found.events
		)
		self.assertEqual(idle.overdue(time.time(), tolerance=900, config={}), [])
		self.assertEqual(len(found.overdue(time.time(), tolerance=900, config={})), 1)

	def test_what_cannot_be_told_is_not_told(self):
		found = record(
			self.event("a.x", "Daily Maintenance", 99 * HOUR), self.event("a.y", "Cron", 99 * HOUR, "never")
		)
		self.assertEqual(found.overdue(time.time(), tolerance=900, config={}), [])


class TestTime(unittest.TestCase):
	def test_times_are_the_sites_own(self):
		self.assertEqual(local_time(0.0, ZONE), datetime(1970, 1, 1, 1))
		self.assertEqual(local_time(0.0, ""), datetime(1970, 1, 1, 5, 30))

	def test_the_last_run_is_told_as_an_instant(self):
		found = record(last=HOUR, zone="America/New_York")
		self.assertAlmostEqual(found.last_run_at(time.time()), time.time() - 3600, delta=5)
		self.assertIsNone(record(last=None).last_run_at(time.time()))
