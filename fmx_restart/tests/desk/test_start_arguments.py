"""What may be started from Desk or the API: one closed list of typed options, whatever a client sends."""

from __future__ import annotations

import json
import math
import unittest
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as some

from fmx_restart.console.restart_command import restart_command
from fmx_restart.desk.start_arguments import KINDS, options_from
from fmx_restart.desk.start_order import CHECKS, StartOrder
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.options import CLOSABLE, InvalidOptions, OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase

SITE = "a.example.com"
ASKED = {"requested_by": "ada@example.com", "origin": "desk"}
USUAL: dict[str, Any] = {
	**dict.fromkeys(KINDS),
	**{
		"web": True,
		"workers": True,
		"migrate": False,
		"backup": False,
		"skip_failing": False,
		"hold_web": False,
		"update_config": False,
		"force": False,
	},
}
values = (
	some.none()
	| some.booleans()
	| some.integers()
	| some.floats()
	| some.text(max_size=20)
	| some.sampled_from(
		["1", "0", "25%", "inf", "drain", "rolling", "kill", "--migrate-command=id", "[", '["a"]']
	)
	| some.lists(some.text(max_size=5), max_size=3)
)


def options(**sent: Any) -> Options:
	return options_from({**USUAL, **sent}, SITE)


class TestStartArguments(unittest.TestCase):
	impossible: ClassVar = (
		{"strategy": "explode"},
		{"strategy": "--status"},
		{"strategy": ["fast"]},
		{"wait_workers_timeout": -1},
		{"wait_workers_timeout": math.nan},
		{"wait_workers_timeout": "inf"},
		{"wait_workers_timeout": True},
		{"wait_workers_timeout": 10**400},
		{"migrate": 1, "migrate_timeout": 0},
		{"on_timeout": "never"},
		{"on_timeout": ["abort"]},
		{"on_timeout": "--help"},
		{"rolling_share": 101},
		{"rolling_share": "--status"},
		{"rolling_share": "a lot"},
		{"rolling_max_failures": 0},
		{"rolling_max_failures": 1.5},
		{"rolling_max_failures": True},
		{"web": "perhaps"},
		{"web": 0, "workers": 0},
		{"migrate": "maybe"},
		{"migrate": 1, "sites": "../../etc"},
		{"migrate": 1, "sites": [".."]},
		{"migrate": 1, "sites": ["a\nb"]},
		{"migrate": 1, "sites": "[" * 100_000},
		{"maintenance_mode": "lunch"},
		{"maintenance_mode": [{}]},
		{"maintenance_mode": "migrate"},
		{"skip_failing": 1},
		{"backup": 1},
		{"host_batch": "0"},
		{"host_batch": 2, "strategy": "fast"},
		{"hosts": "a", "migrate": 1},
		{"hosts": "a b"},
		{"host_pause": "60s"},
		{"canary": "soon"},
		{"update_config": "perhaps"},
		{"update_config": 1, "strategy": "rolling"},
		{"hold_web": 1},
		{"hold_web": "perhaps", "migrate": 1},
		{"hold_web": 1, "migrate": 1, "web": 0},
		{"hold_web": 1, "migrate": 1, "maintenance_mode": "migrate"},
		{"hold_web": 1, "migrate": 1, "maintenance_mode": "drain,restart"},
	)

	def test_a_value_that_no_option_has_is_refused_with_a_sentence(self):
		for sent in self.impossible:
			with self.subTest(str(sent)[:60]), self.assertRaises(InvalidOptions) as raised:
				options(**sent)
			self.assertTrue(str(raised.exception).endswith("."), str(raised.exception)[-60:])

	def test_clients_send_text_where_there_are_numbers(self):
		made = options(
			strategy="rolling",
			wait_workers_timeout="60",
			rolling_share="25%",
			rolling_max_failures="2",
			workers="1",
			web="no",
		)
		told = (made.strategy, made.rolling_timeout, made.rolling_share, made.rolling_max_failures, made.web)
		self.assertEqual(told, (Strategy.ROLLING, 60.0, 0.25, 2, False))

	def test_hosts_are_named_as_in_the_terminal(self):
		for names in (["b", "a"], "b, a", '["b", "a"]'):
			made = options(hosts=names, host_batch="50%", host_pause="1m", canary=30)
			self.assertEqual(made.hosts, HostOptions(("b", "a"), 0, 0.5, 60.0, 30.0))
		self.assertIn("--hosts=b,a --host-batch=50% --host-pause=60 --canary=30", restart_command(made))

	def test_a_changed_configuration_is_applied_where_someone_asked_for_it(self):
		made = options(update_config="1")
		self.assertTrue(made.update_config)
		self.assertIn("--update-config", restart_command(made))
		self.assertTrue(
			StartOrder("20261122-101502-7f3a", SITE, replace(made, **ASKED)).options.update_config
		)

	def test_nothing_sent_is_the_safe_restart_of_this_site(self):
		for nothing in (None, ""):
			made = options(strategy=nothing, wait_workers_timeout=nothing, rolling_share=nothing)
			self.assertEqual(made, Options(sites=(SITE,)))

	def test_sites_may_be_sent_in_three_ways_and_only_for_a_migration(self):
		for sites in (["b", "c", "b"], "b, c", '["b", "c"]'):
			self.assertEqual(options(migrate=1, sites=sites).sites, ("b", "c"))
			self.assertEqual(options(sites=sites).sites, (SITE,))
		self.assertEqual(options(migrate=1).sites, (SITE,))
		self.assertEqual(options(migrate=1, sites="all").sites, ("all",))

	def test_sites_are_closed_while_they_are_migrated_unless_they_are_to_stay_open(self):
		self.assertEqual(options(migrate=1).maintenance, {Phase.MIGRATE})
		self.assertEqual(options(migrate=1, maintenance_mode="none").maintenance, frozenset())
		self.assertEqual(options(maintenance_mode="none").maintenance, frozenset())

	def test_web_that_is_held_leaves_the_sites_open_and_is_refused_as_in_the_terminal(self):
		made = options(migrate=1, hold_web="1")
		self.assertEqual((made.migration.hold_web, made.maintenance), (True, frozenset()))
		made = options(migrate=1, hold_web=1, maintenance_mode="drain")
		self.assertEqual(made.maintenance, {Phase.DRAIN})
		self.assertIn("--hold-web", restart_command(made))
		for sent, words in (
			({}, "--hold-web does nothing without --migrate."),
			({"migrate": 1, "web": 0}, "--hold-web does nothing with --no-web: web is not stopped."),
			({"migrate": 1, "maintenance_mode": "migrate"}, "--maintenance-mode migrate turns them away"),
		):
			with self.assertRaisesRegex(InvalidOptions, words):
				options(hold_web=1, **sent)

	def test_a_migration_has_what_was_sent_for_it(self):
		made = options(
			migrate=1,
			migrate_timeout=60,
			backup=1,
			skip_failing=1,
			force=1,
			maintenance_mode="migrate,restart",
		)
		migration = made.migration
		told = (
			migration.timeout,
			migration.backup,
			migration.skip_failing,
			migration.force,
			migration.command,
		)
		self.assertEqual(told, (60.0, True, True, True, ()))
		self.assertTrue(made.ignore_code_faults)
		self.assertEqual(made.maintenance, {Phase.MIGRATE, Phase.RESTART})

	@settings(deadline=None)
	@given(some.fixed_dictionaries({name: values for name in KINDS}))
	def test_whatever_is_sent_is_refused_or_makes_an_order_that_can_be_written(self, sent: dict[str, Any]):
		try:
			made = options_from(sent, SITE)
		except InvalidOptions:
			return
		ordered = Options(**{**vars(made), "requested_by": "ada@example.com", "origin": "api"})
		order = StartOrder("20261122-120000-d0c7", SITE, ordered)
		self.assertEqual(
			StartOrder.from_json(json.loads(json.dumps(order.to_json(), allow_nan=False))), order
		)
		self.assertEqual(made.migration.command if made.migration else (), ())

	def test_a_client_can_send_each_option_that_an_order_may_have_and_no_other(self):
		self.assertEqual(set(CHECKS) - set(vars(Options())), set())
		of_a_shell = {
			"migrate_command",
			"resume",
			"recover",
			"detach",
			"dry_run",
			"order",
			"start_stopped_web",
		}
		self.assertEqual(KINDS.keys() & {*of_a_shell, "operation", "origin", "requested_by"}, set())
		for strategy in Strategy:
			self.assertIs(options(strategy=strategy.value).strategy, strategy)
		for what in OnTimeout:
			self.assertIs(options(on_timeout=what.value).on_timeout, what)
		for name, phase in CLOSABLE.items():
			self.assertEqual(options(migrate=1, maintenance_mode=name).maintenance, {phase})


if __name__ == "__main__":
	unittest.main()
