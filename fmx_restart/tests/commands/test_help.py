"""What the help says of dangerous options."""

from __future__ import annotations

import unittest

import click

from fmx_restart.commands import safe_restart


def help_of(option: str) -> str:
	return next(parameter.help for parameter in safe_restart.params if option in parameter.opts)


class TestHelp(unittest.TestCase):
	def test_every_strategy_that_kills_says_when(self):
		self.assertRegex(help_of("--suspend-rq"), r"--force-kill-timeout \(30 s\).* killed")
		with click.Context(safe_restart, info_name="bench safe-restart") as context:
			text = " ".join(safe_restart.get_help(context).split())
		self.assertIn("get --force-kill-timeout (30 s) to finish, then they are killed", text)

	def test_every_option_that_is_shown_is_explained(self):
		shown = [parameter for parameter in safe_restart.params if not parameter.hidden]
		self.assertEqual([parameter.name for parameter in shown if not parameter.help], [])
