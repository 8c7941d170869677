"""The command line that a row shows asks for the very restart that it stands for."""

from __future__ import annotations

import shlex
import unittest
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as some

from fmx_restart.console.restart_command import restart_command
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import (
	CLOSABLE,
	InvalidOptions,
	OnTimeout,
	Options,
	Strategy,
	migration_options,
	restart_options,
)
from fmx_restart.tests.commands.typed import context_of, options_of

seconds = some.none() | some.integers(0, 10**9).map(float) | some.floats(0, 1e9, allow_nan=False)
long_seconds = some.floats(1, 1e9, allow_nan=False)
migrations = some.none() | some.builds(
	migration_options,
	some.just(True),
	timeout=some.none() | long_seconds,
	skip_failing=some.booleans(),
	backup=some.booleans(),
)


hosts = some.none() | some.builds(
	HostOptions,
	names=some.sampled_from(((), ("app1",), ("b.example", "a"))),
	batch=some.just(0),
	share=some.sampled_from((0.0, 0.25, 1.0)),
	pause=some.sampled_from((0.0, 0.5, 60.0)),
	canary=some.sampled_from((None, 0.0, 30.0)),
).filter(lambda hosts: hosts != HostOptions())


@some.composite
def any_options(draw: some.DrawFn) -> Options:
	"""Whatever can be typed, but for sites: those are looked for on the disk."""
	try:
		migration, force = draw(migrations), draw(some.booleans())
		return restart_options(
			draw(some.sampled_from(Strategy)),
			limit=draw(seconds),
			on_timeout=draw(some.none() | some.sampled_from(OnTimeout)),
			migration=migration and replace(migration, force=force),
			hosts=draw(hosts),
			force_kill_timeout=draw(seconds),
			web=draw(some.booleans()),
			workers=draw(some.booleans()),
			rolling_share=draw(some.integers(0, 100)) / 100,
			rolling_max_failures=draw(some.integers(1, 99)),
			maintenance=draw(some.frozensets(some.sampled_from(sorted(CLOSABLE.values())))),
			report_every=draw(long_seconds),
			ignore_code_faults=force,
			requested_by="ada@example.com",
		)
	except InvalidOptions:
		return Options()


class TestRestartCommand(unittest.TestCase):
	@settings(deadline=None)
	@given(any_options())
	def test_typing_it_gives_the_same_options(self, options: Options):
		bench, command, *words = shlex.split(restart_command(options))
		self.assertEqual((bench, command), ("bench", "safe-restart"))
		typed = replace(options_of(*words), requested_by=options.requested_by)
		# without Frappe, as here, faults of the code are always passed over
		self.assertEqual(replace(typed, ignore_code_faults=options.ignore_code_faults), options)

	def test_a_site_whose_name_looks_like_an_option_is_a_site(self):
		sites = ("--migrate-command=id", "-x", "--help")
		options = Options(migration=MigrationOptions(), sites=sites)
		context = context_of(*shlex.split(restart_command(options))[2:])
		self.assertEqual(context.params["site"], sites)
		self.assertIsNone(context.params["migrate_command"])

	def test_a_command_of_ones_own_is_one_word(self):
		migration = MigrationOptions(command=("bin/deploy", "two words", "{site}"))
		words = shlex.split(restart_command(Options(migration=migration)))
		self.assertEqual(options_of(*words[2:]).migration.command, migration.command)

	def test_what_is_the_default_is_left_out(self):
		self.assertEqual(restart_command(Options()), "bench safe-restart --wait-workers")
		self.assertEqual(restart_command(restart_options()), "bench safe-restart")
		limited = restart_options(Strategy.WAIT_WORKERS, limit=0)
		self.assertEqual(
			restart_command(limited), "bench safe-restart --wait-workers --wait-workers-timeout=0"
		)
