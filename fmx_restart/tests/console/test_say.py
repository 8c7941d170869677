"""Lines for people: nobody who stops reading makes a command fail, and no colours where none are wanted."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest.mock import patch

import fmx_restart
from fmx_restart.console.say import styled

ROOT = Path(fmx_restart.__file__).parent.parent
SAYS = """
import sys
from fmx_restart.console.say import say
for number in range(5000):
	say(f"line {number}")
sys.exit(int(sys.argv[1]))
"""
DRAWS = """
import sys
from fmx_restart.console.doctor import console
for number in range(500):
	console().print(f"line {number}")
sys.exit(int(sys.argv[1]))
"""


class TestReaderThatLeaves(unittest.TestCase):
	def test_the_exit_code_is_that_of_the_command_when_only_the_first_line_is_read(self):
		for script in (SAYS, DRAWS):
			for code in (0, 5):
				with self.subTest(script=script, code=code):
					command = [sys.executable, "-c", script, str(code)]
					done = subprocess.run(
						["bash", "-o", "pipefail", "-c", '"$@" | head -1', "bash", *command],
						cwd=ROOT,
						capture_output=True,
						text=True,
						timeout=60,
					)
					self.assertEqual((done.stdout, done.stderr, done.returncode), ("line 0\n", "", code))


class TestColours(unittest.TestCase):
	def test_they_are_left_out_where_the_terminal_or_the_person_has_none(self):
		for env, has_some in (
			({"TERM": "xterm"}, True),
			({"TERM": "xterm", "NO_COLOR": ""}, True),
			({"TERM": "xterm", "NO_COLOR": "1"}, False),
			({"TERM": "dumb"}, False),
			({}, False),
		):
			with self.subTest(env=env), patch.dict(os.environ, env, clear=True):
				self.assertEqual("\x1b" in styled("text", fg="red"), has_some)
