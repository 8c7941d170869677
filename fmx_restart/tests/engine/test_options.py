"""What may be asked of a restart: the defaults, the rules between options, and options as JSON."""

from __future__ import annotations

import json
import math
import unittest
from typing import Any, ClassVar

from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import (
	InvalidOptions,
	OnTimeout,
	Options,
	Strategy,
	host_options,
	migration_options,
	phases_named,
	restart_options,
	share_of,
)
from fmx_restart.engine.phases import Phase

ALL = Options(
	strategy=Strategy.SUSPEND_RQ,
	drain_timeout=5.0,
	on_timeout=OnTimeout.REQUEUE,
	force_kill_timeout=6.0,
	workers=False,
	start_stopped_web=True,
	rolling_share=0.25,
	rolling_timeout=7.0,
	rolling_max_failures=2,
	old_web_timeout=120.0,
	nginx=True,
	update_config=True,
	web_sites=("a",),
	sites=("a", "b"),
	migration=MigrationOptions(8.0, ("bin/deploy", "{site}"), backup=True, force=True),
	maintenance=frozenset({Phase.MIGRATE, Phase.RESTART}),
	queue_limit=550,
	ignore_code_faults=True,
	report_every=9.0,
	requested_by="ada@example.com",
)

IN_GROUPS = Options(hosts=HostOptions(("a.example", "b"), 0, 0.25, 60.0, 30.0))


class TestDefaults(unittest.TestCase):
	def test_each_strategy_has_its_own_patience(self):
		for strategy, drain, rolling, on_timeout in (
			(Strategy.FAST, 30, None, OnTimeout.KILL),
			(Strategy.WAIT_WORKERS, 300, None, OnTimeout.ABORT),
			(Strategy.NO_WAIT_WORKERS, 30, None, OnTimeout.KILL),
			(Strategy.SUSPEND_RQ, 30, None, OnTimeout.KILL),
			(Strategy.ROLLING, 30, None, OnTimeout.ABORT),
		):
			with self.subTest(strategy):
				options = restart_options(strategy)
				told = (options.drain_timeout, options.rolling_timeout, options.on_timeout)
				self.assertEqual(told, (drain, rolling, on_timeout))

	def test_a_limit_is_the_drains_or_the_rolls(self):
		self.assertEqual(restart_options(Strategy.WAIT_WORKERS, limit=7).drain_timeout, 7)
		self.assertEqual(restart_options(Strategy.ROLLING, limit=7).rolling_timeout, 7)
		fast = restart_options(limit=7, force_kill_timeout=9)
		self.assertEqual((fast.strategy, fast.drain_timeout), (Strategy.FAST, 9))

	def test_zero_is_a_limit_and_nothing_is_the_default(self):
		self.assertEqual(restart_options(Strategy.WAIT_WORKERS, limit=0).drain_timeout, 0)
		self.assertEqual(restart_options(force_kill_timeout=None, web=None), restart_options())

	def test_a_migration_waits_for_running_jobs(self):
		for strategy in (None, Strategy.FAST):
			options = restart_options(strategy, migration=migration_options(True))
			self.assertEqual((options.strategy, options.on_timeout), (Strategy.WAIT_WORKERS, OnTimeout.ABORT))

	def test_a_share_may_be_written_in_three_ways(self):
		for value in ("25%", " 25 ", 25, 25.0):
			self.assertEqual(share_of(value), 0.25)


class TestRules(unittest.TestCase):
	wrong: ClassVar[tuple[tuple[str, dict[str, Any]], ...]] = (
		("--force-kill-timeout", {"force_kill_timeout": -1}),
		("--wait-workers-timeout", {"drain_timeout": math.nan}),
		("--wait-workers-timeout", {"drain_timeout": math.inf}),
		("--wait-workers-timeout", {"rolling_timeout": math.nan}),
		("--wait-workers-timeout", {"rolling_timeout": -0.1}),
		("--wait-workers-poll", {"report_every": 0.0}),
		("--rolling-share", {"rolling_share": 1.1}),
		("--rolling-share", {"rolling_share": math.nan}),
		("--rolling-max-failures", {"rolling_max_failures": 0}),
		("leave nothing", {"web": False, "workers": False}),
		("'moon'", {"origin": "moon"}),
		("name of a site", {"sites": ("../../etc",)}),
		("name of a site", {"web_sites": ("a\nb",)}),
		("name of a site", {"sites": ("..",)}),
		("name of a site", {"sites": ("",)}),
		("name of a site", {"sites": ("x" * 256,)}),
		("closed in these", {"maintenance": frozenset({Phase.VERIFY})}),
		("without --migrate", {"maintenance": frozenset({Phase.MIGRATE})}),
		("does not drain", {"strategy": Strategy.ROLLING, "maintenance": frozenset({Phase.DRAIN})}),
		("--migrate-timeout", {"migration": MigrationOptions(0.5)}),
		("--migrate-timeout", {"migration": MigrationOptions(math.inf)}),
		("cannot be fast", {"strategy": Strategy.FAST, "migration": MigrationOptions()}),
		("restarts every host at once", {"migration": MigrationOptions(), "hosts": HostOptions(batch=1)}),
		("fast does not stop between", {"strategy": Strategy.FAST, "hosts": HostOptions(batch=1)}),
		("does not stop between", {"strategy": Strategy.NO_WAIT_WORKERS, "hosts": HostOptions(canary=1.0)}),
		("does not stop between", {"strategy": Strategy.SUSPEND_RQ, "hosts": HostOptions(("a",))}),
		("--host-pause does nothing", {"hosts": HostOptions(("a",), pause=60.0)}),
		("--host-pause", {"hosts": HostOptions(batch=1, pause=math.nan)}),
		("--host-batch", {"hosts": HostOptions(batch=-1)}),
		("--host-batch", {"hosts": HostOptions(share=1.01)}),
		("--canary", {"hosts": HostOptions(canary=86401.0)}),
		("name of a host", {"hosts": HostOptions(("a", "a"))}),
		("name of a host", {"hosts": HostOptions(("a b",))}),
		("name of a host", {"hosts": HostOptions(("",))}),
		("put it into", {"migration": MigrationOptions(command=("x",), skip_failing=True)}),
	)

	def test_what_breaks_one_is_refused_with_a_sentence(self):
		for text, values in self.wrong:
			with self.subTest(values), self.assertRaisesRegex(InvalidOptions, text):
				Options(**values).checked()

	def test_a_migrate_command_is_for_the_terminal_only(self):
		migration = MigrationOptions(command=("bin/deploy",))
		self.assertEqual(Options(migration=migration).checked().migration, migration)
		for origin in ("desk", "api", "schedule"):
			with self.subTest(origin), self.assertRaisesRegex(InvalidOptions, "terminal only"):
				Options(migration=migration, origin=origin).checked()

	def test_what_does_nothing_without_a_migration_is_refused(self):
		for values in ({"command": ("x",)}, {"skip_failing": True}, {"backup": True}, {"hold_web": True}):
			with self.subTest(values), self.assertRaisesRegex(InvalidOptions, "without --migrate"):
				migration_options(False, **values)
		self.assertIsNone(migration_options(False, force=True, timeout=7))

	def test_no_percentage_and_no_phase_is_refused(self):
		for value in ("a lot", "101%", "-1", "nan", "inf", "", None, True):
			with self.subTest(value), self.assertRaisesRegex(InvalidOptions, "percentage"):
				share_of(value)
		for names in (["lunch"], ["drain", {}], [None], ["Drain"], ["verify"]):
			with self.subTest(names), self.assertRaises(InvalidOptions):
				phases_named(names)

	def test_a_batch_of_hosts_is_a_number_from_1_on_or_a_percentage_and_times_have_units(self):
		self.assertIsNone(host_options())
		self.assertEqual(host_options(["a"], "25%", "60s", "1m30s"), HostOptions(("a",), 0, 0.25, 60.0, 90.0))
		self.assertEqual(host_options(batch=2, pause=5, canary="0"), HostOptions((), 2, 0.0, 5.0, 0.0))
		self.assertEqual(host_options(batch="100%").share, 1.0)
		for batch in ("0", "0%", "101%", "-1", "1.5", "some", "nan", "inf", True):
			with self.subTest(batch=batch), self.assertRaisesRegex(InvalidOptions, "--host-batch"):
				host_options(batch=batch)
		for time in ("", "-1", "soon", "nan", "inf", "25h", "60x", "1e9"):
			with self.subTest(time=time), self.assertRaisesRegex(InvalidOptions, "--canary"):
				host_options(canary=time)
			with self.subTest(time=time), self.assertRaisesRegex(InvalidOptions, "--host-pause"):
				host_options(batch=1, pause=time)

	def test_a_journal_may_tell_of_options_that_nobody_could_ask_for_now(self):
		Options(drain_timeout=math.inf, rolling_timeout=math.inf)


class TestJson(unittest.TestCase):
	def test_options_come_back_as_they_were(self):
		for options in (
			ALL,
			IN_GROUPS,
			Options(),
			restart_options(),
			restart_options(Strategy.ROLLING, limit=3),
		):
			text = json.dumps(options.to_json(), allow_nan=False)
			self.assertEqual(Options.from_json(json.loads(text)), options)

	def test_all_fields_are_told(self):
		self.assertEqual(set(ALL.to_json()), set(Options.__dataclass_fields__))
		usual = [name for name, value in vars(ALL).items() if value == getattr(Options(), name)]
		self.assertEqual(
			usual,
			["web", "hosts", "origin"],
			"every other field of ALL has another value than its default; hosts stand in IN_GROUPS",
		)

	def test_whatever_is_not_exactly_that_is_refused_with_a_sentence(self):
		for values in (
			{"newer": 1},
			{"given": {}},
			{"strategy": "explode"},
			{"strategy": None},
			{"drain_timeout": "300"},
			{"drain_timeout": True},
			{"drain_timeout": 10**400},
			{"drain_timeout": math.nan},
			{"drain_timeout": math.inf},
			{"rolling_max_failures": 1.0},
			{"web": 1},
			{"sites": "a"},
			{"sites": [1]},
			{"maintenance": ["lunch"]},
			{"maintenance": [{}]},
			{"migration": True},
			{"migration": {"newer": 1}},
			{"migration": {"command": "sh"}},
			{"requested_by": None},
			{"origin": "moon"},
		):
			with self.subTest(values), self.assertRaises(InvalidOptions):
				Options.from_json({**Options().to_json(), **values})
		for value in (None, [], "x", 1):
			with self.subTest(value), self.assertRaises(InvalidOptions):
				Options.from_json(value)
