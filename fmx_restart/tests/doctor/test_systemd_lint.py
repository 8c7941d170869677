"""Units as `systemctl show` of systemd 252 has told them, and drop-ins for what is wrong with them."""

from __future__ import annotations

import os
import unittest
from pathlib import Path

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.systemd.systemctl import parse
from fmx_restart.adapters.managers.systemd.units import (
	Unit,
	is_main_process,
	seconds,
	unit_of,
	units_in,
	units_of,
)
from fmx_restart.doctor.checks.systemd import FIX, RULES
from fmx_restart.doctor.registry import FIXES
from fmx_restart.tests.doctor.host_bench import HostTestCase
from fmx_restart.tests.doctor.test_orphans import no_manager

RECORDED = (Path(__file__).parent / "recorded" / "systemctl_show.txt").read_text()
CHECKS = (*RULES, "service-restarts")
SUPERVISOR, LONG, SHORT = (
	"supervisor.service",
	"bench-frappe-long-worker@1.service",
	"bench-frappe-short-worker@1.service",
)
#: What an administrator may have written; systemd told OOMScoreAdjust=0 of it.
SUPERVISOR_FILE = "[Service]\nExecStart=/usr/bin/supervisord -n\nOOMScoreAdjust=-1500\n"


class SystemdCase(HostTestCase):
	def setUp(self):
		super().setUp()
		self.folder = self.home / "units"
		self.folder.mkdir()
		(self.folder / SUPERVISOR).write_text(SUPERVISOR_FILE)
		self.text = RECORDED.replace("{bench}", str(self.bench)).replace("{units}", str(self.folder))
		self.ways["processes"] = no_manager

	def units(self) -> dict[str, Unit]:
		return {unit.name: unit for unit in units_in(parse(self.text), BenchFolder(str(self.bench)))}

	def view(self):
		view = super().view()
		view.parts.get("units", lambda: list(self.units().values()))
		return view

	def told(self) -> dict[str, dict[str, str]]:
		"""Unit → check → text."""
		found: dict[str, dict[str, str]] = {}
		for finding in self.findings(*CHECKS):
			found.setdefault(finding.subject, {})[finding.check] = finding.text
		return found


class TestRules(SystemdCase):
	def test_what_is_wrong_with_each_unit_is_told(self):
		told = self.told()
		self.assertEqual(
			{unit: set(checks) for unit, checks in told.items()},
			{
				SUPERVISOR: {"oom-policy", "oom-score"},
				LONG: {"kill-mode", "stop-timeout"},
				SHORT: {"oom-policy", "service-restarts"},
			},
		)
		self.assertIn("-1500", told[SUPERVISOR]["oom-score"])
		self.assertIn("the whole bench", told[SUPERVISOR]["oom-policy"])
		self.assertIn("1 min 30 s after", told[LONG]["stop-timeout"])
		self.assertIn("5 times", told[SHORT]["service-restarts"])

	def test_what_loses_jobs_is_an_error(self):
		errors = {(it.check, it.subject) for it in self.findings(*CHECKS) if it.severity == "error"}
		self.assertEqual(errors, {("kill-mode", LONG), ("stop-timeout", LONG)})

	def test_units_that_are_told_well_are_clean(self):
		(self.folder / SUPERVISOR).write_text(SUPERVISOR_FILE.replace("-1500", "-900"))
		self.text = (
			self.text.replace("OOMPolicy=stop", "OOMPolicy=continue")
			.replace("KillMode=control-group", "KillMode=mixed")
			.replace("TimeoutStopUSec=1min 30s", "TimeoutStopUSec=26min")
			.replace("NRestarts=5", "NRestarts=1")
		)
		self.assertEqual(self.told(), {})

	def test_the_last_file_that_sets_a_score_counts(self):
		drop_in = self.folder / f"{SUPERVISOR}.d"
		drop_in.mkdir()
		(drop_in / "time.conf").write_text("[Service]\nOOMScoreAdjust=-500\n")
		self.assertNotIn("oom-score", self.told()[SUPERVISOR])

	def test_a_unit_of_another_bench_or_one_that_is_not_there_is_not_ours(self):
		self.text = self.text.replace(
			f"WorkingDirectory={self.bench}", "WorkingDirectory=/srv/bench2"
		).replace(f"argv[]={self.bench}", "argv[]=/srv/bench2")
		self.assertEqual(set(self.units()), {SUPERVISOR, SHORT})


class TestDropIns(SystemdCase):
	def test_one_file_for_each_unit_and_one_for_all_instances_of_a_template(self):
		steps = list(FIXES.all()[FIX](self.view()))
		for step in steps:
			self.assertIn("daemon-reload", step.act())
		written = {file.name: file.read_text() for file in (self.bench / "config/fmx_restart").iterdir()}
		self.assertEqual(
			{name: text.partition("[Service]\n")[2].splitlines() for name, text in written.items()},
			{
				f"{SUPERVISOR}.conf": ["OOMPolicy=continue", "OOMScoreAdjust=-900"],
				"bench-frappe-long-worker@.service.conf": ["KillMode=mixed", "TimeoutStopSec=1560"],
				"bench-frappe-short-worker@.service.conf": ["OOMPolicy=continue"],
			},
		)
		self.assertEqual((self.folder / SUPERVISOR).read_text(), SUPERVISOR_FILE)


class TestSystemctl(SystemdCase):
	"""A systemctl that says what the real one said."""

	def test_its_answer_is_asked_for_by_name_and_read(self):
		self.answer(f"cat <<'END'\n{self.text}\nEND\n")
		self.assertEqual(set(self.asked()), {SUPERVISOR, LONG, SHORT})

	def test_where_there_is_no_systemd_or_it_hangs_there_are_no_units(self):
		self.answer("echo 'System has not been booted with systemd as init system.' >&2; exit 1\n")
		self.assertEqual(self.asked(), [])
		self.answer("exec sleep 60\n")
		self.assertEqual(self.asked(), [])
		os.environ["PATH"] = str(self.home / "empty")
		self.assertEqual(self.asked(), [])

	def asked(self) -> list[str]:
		return [unit.name for unit in units_of(BenchFolder(str(self.bench)))]

	def answer(self, script: str) -> None:
		program = self.home / "bin/systemctl"
		program.parent.mkdir(exist_ok=True)
		program.write_text(f"#!/bin/sh\n{script}")
		program.chmod(0o755)
		path = os.environ["PATH"]
		self.addCleanup(os.environ.__setitem__, "PATH", path)
		os.environ["PATH"] = f"{program.parent}:{path}"


class TestFormats(unittest.TestCase):
	def test_times_as_systemctl_prints_them(self):
		for text, expected in (
			("1min 30s", 90.0),
			("6min 30s", 390.0),
			("1h", 3600.0),
			("500ms", 0.5),
			("26min", 1560.0),
			("0", 0.0),
			("infinity", None),
			("", None),
		):
			with self.subTest(text):
				self.assertEqual(seconds(text), expected)


class TestCgroups(HostTestCase):
	def unit(self, text: str) -> tuple[str | None, bool]:
		file = self.home / "cgroup"
		file.write_text(text)
		return unit_of(file)

	def test_the_service_of_a_process_is_told_by_its_cgroup(self):
		for text, expected in (
			("0::/system.slice/bench-frappe-web.service\n", ("bench-frappe-web.service", False)),
			(
				"9:name=systemd:/system.slice/supervisor.service\n8:pids:/x.service\n0::/other\n",
				("supervisor.service", False),
			),
			(
				"0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n",
				("web.service", True),
			),
			("0::/user.slice/user-1000.slice/user@1000.service\n", ("user@1000.service", False)),
			("0::/user.slice/user-1000.slice/session-3.scope\n", (None, False)),
			("0::/\n", (None, False)),
		):
			with self.subTest(text):
				self.assertEqual(self.unit(text), expected)

	def test_a_process_without_a_unit_is_nobodys_main_process(self):
		self.assertFalse(is_main_process(os.getpid(), proc=self.home))

	def test_where_the_unit_does_not_tell_a_process_counts_as_its_own(self):
		folder = self.home / str(os.getpid())
		folder.mkdir()
		(folder / "cgroup").write_text("0::/system.slice/no-such-unit-of-ours.service\n")
		path = os.environ["PATH"]
		self.addCleanup(os.environ.__setitem__, "PATH", path)
		os.environ["PATH"] = str(self.home)
		self.assertTrue(is_main_process(os.getpid(), proc=self.home))
