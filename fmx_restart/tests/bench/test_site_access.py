"""A bench whose sites belong to different people: who may do what, and sees what, over real HTTP on two sites."""

from __future__ import annotations

import json
import os
import socket
import time
from itertools import count
from typing import Any, ClassVar

from fmx_restart.adapters.control_sites import CONTROL_KEY, MARK, OTHERS_KEY
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Job
from fmx_restart.engine.report import Failure, JobWait, Report
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.http_client import clients
from fmx_restart.tests.bench.second_site import SECOND, add_second_site, remove_second_site
from fmx_restart.tests.bench.site_process import on_site
from fmx_restart.tests.bench.support import BenchTestCase

UNKNOWN = "20000101-000000-0000"  # an operation that there never was
MADE_UP = "20000101-000001-0000"  # one that tests write
#: Refused when every gate is passed: nothing is started
NOTHING = {"idempotency_key": "x" * 141}
OK, FORBIDDEN, NOT_FOUND, PASSED = 200, 403, 404, 417
READ = ("status", "history", "verdict", "workers", "charts")  # and findings, which takes seconds
FOLLOW = ("feed", "watch")  # of one operation
MINE, THEIRS = {"migrate": 1, "sites": SECOND}, {"migrate": 1, "sites": "all"}
STARTS: dict[str, dict[str, Any]] = {
	"wait-workers": {},
	"rolling": {"strategy": "rolling"},
	"patient": {"wait_workers_timeout": 300},
	"own migration": MINE,
	"too patient": {"wait_workers_timeout": 301},
	"fast": {"strategy": "fast"},
	"no-wait-workers": {"strategy": "no-wait-workers"},
	"suspend-rq": {"strategy": "suspend-rq"},
	"kill": {"on_timeout": "kill"},
	"requeue": {"on_timeout": "requeue"},
	"kill soon": {"force_kill_timeout": 1},
	"forced": {"force": 1},
	"all migrations": THEIRS,
	"unknown site": {"migrate": 1, "sites": "no-such.localhost"},
	"long migration": {**MINE, "migrate_timeout": 601},
	"web held": {**MINE, "hold_web": 1},
	"new configuration": {"update_config": 1},
}
GENTLE = {"wait-workers", "rolling", "patient", "own migration"}
#: What a Restart Operator may not start anywhere
FOR_MANAGERS = {
	*("own migration", "all migrations", "forced", "unknown site", "long migration", "web held"),
	"new configuration",
}


class SiteAccessCase(BenchTestCase):
	address = "10.5.0.1"
	addresses: ClassVar = (f"10.6.{number >> 8}.{number & 255}" for number in count())

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.addClassCleanup(remove_second_site, cls.bench)
		add_second_site(cls.bench, **{CONTROL_KEY: [SECOND], OTHERS_KEY: "restart"})  # of no effect there
		cls.first, cls.second = cls.bench.site, SECOND
		cls.on = {site: clients(cls.bench, cls.address, site) for site in (cls.first, cls.second)}
		cls.config_path = cls.bench.sites_path / "common_site_config.json"
		cls.found = json.loads(cls.config_path.read_text())
		cls.addClassCleanup(cls.config_path.write_text, json.dumps(cls.found, indent=1))

	def configure(self, **settings: Any) -> None:
		"""common_site_config.json with these keys of ours only."""
		kept = {key: value for key, value in self.found.items() if key not in (CONTROL_KEY, OTHERS_KEY)}
		self.config_path.write_text(json.dumps({**kept, **settings}, indent=1))

	def mark(self, *sites: str) -> None:
		"""These have the app installed, and no other one."""
		for folder in self.bench.sites_path.glob("*/site_config.json"):
			mark = folder.with_name(MARK)
			was_there = mark.exists()
			self.addCleanup(
				mark.touch if was_there else mark.unlink, **({} if was_there else {"missing_ok": True})
			)
			if folder.parent.name in sites:
				mark.touch()
			else:
				mark.unlink(missing_ok=True)

	def answers(self, site: str, person: str) -> dict[str, int]:
		"""The status of every question and of every start, by name."""
		client = self.on[site][person]
		found = {name: client.get(name).status for name in READ}
		found |= {name: client.get(name, operation=UNKNOWN).status for name in FOLLOW}
		for verb, given in (("cancel", {}), ("extend", {"seconds": 10}), ("force", {})):
			found[verb] = client.post(verb, operation=MADE_UP, **given).status
		for name, options in STARTS.items():
			client.headers["X-Forwarded-For"] = next(self.addresses)  # starts are counted by address
			found[name] = client.post("start", **options, **NOTHING).status
		return found


class TestMatrix(SiteAccessCase):
	maxDiff = None
	nothing: ClassVar = dict.fromkeys([*READ, *FOLLOW, "cancel", "extend", "force", *STARTS], FORBIDDEN)
	reading: ClassVar = {**dict.fromkeys(READ, OK), **dict.fromkeys(FOLLOW, NOT_FOUND)}

	def setUp(self) -> None:
		super().setUp()
		on_site(self.bench, "make_row", operation=MADE_UP)
		self.addCleanup(on_site, self.bench, "forget", prefix=MADE_UP)

	def expected(self, person: str, *, reads: bool, stops: bool, starts: set[str]) -> dict[str, int]:
		"""For a name that exists nowhere a control site is told so, and others as for one that does."""
		starts = starts - (FOR_MANAGERS if person == "operator" else set())
		found = {**self.nothing, **(self.reading if reads else {})}
		found |= dict.fromkeys(("cancel", "extend", "force"), PASSED) if stops else {}
		return found | dict.fromkeys(starts, PASSED)

	def assert_mode(self, site: str, **wanted: Any) -> None:
		for person in ("manager", "operator"):
			with self.subTest(site=site, person=person):
				self.assertEqual(self.answers(site, person), self.expected(person, **wanted))

	def test_each_mode_allows_what_it_says_and_a_sites_own_configuration_changes_nothing(self):
		manager = self.on[self.second]["manager"]
		for mode, wanted in {
			"off": {"reads": False, "stops": False, "starts": set()},
			"own": {"reads": True, "stops": False, "starts": set()},
			"restart": {"reads": True, "stops": False, "starts": GENTLE},
			"everything": {"reads": False, "stops": False, "starts": set()},
			1: {"reads": False, "stops": False, "starts": set()},
		}.items():
			with self.subTest(mode=mode):
				self.configure(**{CONTROL_KEY: [self.first], OTHERS_KEY: mode})
				self.assert_mode(self.second, **wanted)
				refused = {name for name, options in STARTS.items() if name not in wanted["starts"]}
				previews = {manager.get("preview", **STARTS[name]).status for name in refused}
				self.assertEqual(previews, {FORBIDDEN})
				self.assertEqual(manager.get("findings").status, OK if wanted["reads"] else FORBIDDEN)
				self.assertEqual(manager.get("log", program="no-such").status, FORBIDDEN)
		self.assert_mode(self.first, reads=True, stops=True, starts=set(STARTS))

	def test_who_has_no_role_is_refused_on_every_site(self):
		self.configure(**{CONTROL_KEY: self.first, OTHERS_KEY: "restart"})
		for site in (self.first, self.second):
			for person in ("guest", "website", "desk"):
				statuses = set(self.answers(site, person).values())
				self.assertLessEqual(statuses, {401, FORBIDDEN}, (site, person))

	def test_by_default_the_only_site_with_the_app_commands_and_of_several_none(self):
		self.configure()
		self.mark(self.second)
		self.assert_mode(self.second, reads=True, stops=True, starts=set(STARTS))
		self.assert_mode(self.first, reads=True, stops=False, starts=set())
		self.mark(self.first, self.second)
		for site in (self.first, self.second):
			self.assert_mode(site, reads=True, stops=False, starts=set())
			line = f"bench set-config -g -p {CONTROL_KEY} '[\"{self.first}\"]'"
			self.assertIn(line, self.on[site]["manager"].get("workers").message["access"]["notice"])
			refused = json.loads(self.on[site]["manager"].get("preview").text)
			self.assertIn(CONTROL_KEY, json.dumps(refused))
		# And the line does what it says
		done = self.bench_command("set-config", "-g", "-p", CONTROL_KEY, f'["{self.first}"]')
		self.assertEqual(done.returncode, 0, done.stderr)
		self.assert_mode(self.first, reads=True, stops=True, starts=set(STARTS))

	def test_a_named_site_that_does_not_exist_commands_nothing_and_nor_does_any_other(self):
		self.configure(**{CONTROL_KEY: ["no-such.localhost"]})
		for site in (self.first, self.second):
			self.assert_mode(site, reads=True, stops=False, starts=set())

	def test_a_configuration_that_cannot_be_read_allows_nothing(self):
		self.configure(**{CONTROL_KEY: {"a": 1}})
		self.assert_mode(self.first, reads=True, stops=False, starts=set())

	def bench_command(self, *words: str):
		import subprocess

		command = [str(self.bench.tools / "bench"), *words]
		return subprocess.run(
			command,
			cwd=self.bench.path,
			env=self.bench.environment,
			capture_output=True,
			text=True,
			timeout=60,
		)

	def test_where_a_site_is_off_its_rows_are_not_shown(self):
		self.configure(**{CONTROL_KEY: [self.first], OTHERS_KEY: "off"})
		self.assertEqual(self.on[self.first]["manager"].resource("GET", MADE_UP).status, OK)
		self.assertEqual(self.on[self.second]["manager"].resource("GET", MADE_UP).status, FORBIDDEN)
		listed = json.loads(self.on[self.second]["manager"].resource("GET").text)["data"]
		self.assertEqual(listed, [])


class TestWhatIsShown(SiteAccessCase):
	def test_a_site_sees_its_own_jobs_and_counts_the_others(self):
		self.configure(**{CONTROL_KEY: [self.first], OTHERS_KEY: "restart"})
		# Given a job of each site, of another name
		theirs, own = self.jobs.hold("long"), self.jobs.hold("short", site=self.second)
		manager = self.on[self.second]["manager"]
		# Then workers and preview name the own one, and tell that there is another
		live, preview = manager.get("workers").message, manager.get("preview").message
		# And the verdict counts both, and names neither
		verdict = manager.get("verdict").message
		self.assertIn("2 jobs are running", verdict["verdict"]["text"])
		self.assertNotIn(own.id, json.dumps(verdict))
		for told in (live, preview, {**verdict, "jobs": [own.id, "another site"]}):
			text = json.dumps(told)
			for name in (self.first, theirs.id, socket.gethostname(), str(self.bench.path), self.bench.name):
				self.assertNotIn(name, text)
			self.assertIn(own.id, text)
			self.assertIn("another site", text)
		self.assertEqual(len([worker for worker in live["workers"] if worker["job"]]), 2)
		self.assertEqual(len(preview["jobs"]), 2)
		# And a control site sees both
		text = json.dumps(self.on[self.first]["manager"].get("workers").message)
		self.assertIn(theirs.id, text)
		self.assertIn(own.id, text)

	def test_a_site_stops_what_it_started_and_nothing_else(self):
		self.configure(**{CONTROL_KEY: [self.first], OTHERS_KEY: "restart"})
		self.jobs.hold("long")
		short = self.jobs.hold("short")
		before = self.pids()
		manager, control = self.on[self.second]["manager"], self.on[self.first]["manager"]
		# Given an operation of the control site that waits to be launched
		theirs = on_site(self.bench, "put_in_line", user="fmx-manager@example.com")
		self.assertEqual(manager.post("cancel", operation=theirs).status, FORBIDDEN)
		self.assertEqual(manager.post("start", from_web=1).message["is_new"], False)
		self.assertEqual(control.get("status", operation=theirs).message["status"], "Queued")
		self.assertEqual(control.post("cancel", operation=theirs).message["status"], "Cancelled")
		# And one of its own, which the other site's worker launches
		own = manager.post("start", wait_workers_timeout=300).message["operation"]
		short.let_go()
		self.wait_for(manager, own, phase="Drain")
		for verb, given in (("extend", {"seconds": 9}), ("force", {})):
			self.assertEqual(manager.post(verb, operation=own, **given).status, FORBIDDEN)
		self.assertEqual(manager.get("feed", operation=own).message["may"], ["cancel"])
		for follow in FOLLOW:
			self.assertNotIn(self.first, manager.get(follow, operation=own).text)
		row = json.loads(manager.resource("GET", own).text)["data"]
		self.assertNotIn(socket.gethostname(), json.dumps(row))
		self.assertEqual(json.loads(row["options"])["requested_by"], row["user"])
		self.assertEqual(manager.post("cancel", operation=own).status, OK)
		self.wait_for(manager, own, is_over=True)
		self.assert_nothing_restarted(before)

	def wait_for(self, client, operation: str, **wanted: Any) -> dict:
		def look() -> dict | None:
			told = client.patiently("status", operation=operation)
			return told if told and wanted.items() <= told.items() else None

		return eventually(look, f"{operation}: {wanted}", deadline=120)

	def test_a_launch_asks_once_more_whether_its_site_may(self):
		self.configure(**{CONTROL_KEY: [self.first], OTHERS_KEY: "restart"})
		self.jobs.hold("long")
		short = self.jobs.hold("short")
		manager = self.on[self.second]["manager"]
		operation = on_site(self.bench, "put_in_line", site=self.second, user="fmx-manager@example.com")
		self.configure(**{CONTROL_KEY: [self.first], OTHERS_KEY: "own"})
		short.let_go()
		told = self.wait_for(manager, operation, is_over=True)
		self.assertEqual((told["status"], told["failure"]), ("Aborted", "NeverLaunched"))

	def test_the_row_and_the_feed_of_another_sites_operation_name_nobody(self):
		# Given an operation of the other site that failed, with everything in its journal
		path = self.bench.path / "logs" / "fmx_restart" / f"{MADE_UP}.jsonl"
		self.addCleanup(path.unlink, missing_ok=True)
		self.addCleanup(on_site, self.bench, "forget", prefix=MADE_UP)
		path.write_text("".join(json_line(fact, time.time()) + "\n" for fact in story(self.first)))
		os.utime(path)
		# When this site, which does not command the bench, reads it
		self.configure(**{CONTROL_KEY: ["x.localhost"], OTHERS_KEY: "own"})
		manager = self.on[self.first]["manager"]
		told = manager.get("status", operation=MADE_UP).message
		shown = [manager.resource("GET", MADE_UP).text]
		shown += [manager.get(follow, operation=MADE_UP).text for follow in FOLLOW]
		shown += [manager.get("history").text, json.dumps(told)]
		# Then it sees the end and its own job, and nothing of anybody else
		self.assertEqual((told["status"], told["failure"], told["exit_code"]), ("Failed", "ProcessFault", 4))
		for text in shown:
			for name in ("neighbour", "secret", "app1.internal", "/home/frappe"):
				self.assertNotIn(name, text)
		for text in shown[: 1 + len(FOLLOW)]:
			self.assertIn("own.method", text)
			self.assertIn("another site", text)


def story(own: str) -> list[events.Event]:
	mine, theirs = (
		Job(f"{site}::1", site, method, "long", 1.0, 60.0)
		for site, method in ((own, "own.method"), ("neighbour.example.com", "secret.method"))
	)
	began = time.time()
	report = Report(MADE_UP, "home-frappe", "fast", began, "secret@neighbour.example.com", Phase.FAILED, 2.0)
	report.waited_for = [JobWait(mine, 1.0), JobWait(theirs, 1.0)]
	report.failure = Failure("ProcessFault", "secret-web is down", "tail /home/frappe/logs/web.log")
	options = Options(sites=("neighbour.example.com",), requested_by="secret@neighbour.example.com")
	running = tuple(events.RunningJob(job, "app1.internal", 4711, 1.0, 2.0) for job in (mine, theirs))
	return [
		events.OperationStarted(MADE_UP, "home-frappe", "fast", "app1.internal", options=options),
		events.StillRunning((), running, (), {"long": 0}, 9.0),
		events.ProcessFailed("secret-web", "it did not stay up", "kwargs={'password': 'secret'}"),
		events.Ended(report),
	]
