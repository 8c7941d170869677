"""Tests of real process managers in a machine inside of this one: a file of tests is run there, and what it wrote is read here."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from collections.abc import Mapping
from pathlib import Path

from development.description import ROOT
from development.managers.nested import NestedMachine
from fmx_restart.tests.adapters.redis_server import CHECKOUT, redis_binary


class NestedCase(unittest.TestCase):
	"""One machine for all tests of a class, whose setUpClass sets `machine`, and `variables` of its environment."""

	machine: NestedMachine
	variables: Mapping[str, str] = {}

	@classmethod
	def own_folder(cls, name: str) -> Path:
		"""For the machine. Below /tmp its own would hide it."""
		ROOT.mkdir(exist_ok=True)
		folder = tempfile.TemporaryDirectory(prefix=f"{name}-", dir=ROOT)
		cls.addClassCleanup(folder.cleanup)
		return Path(folder.name)

	def inside(self, *words: str, **environ: str) -> str:
		"""What a command wrote in the machine. Raises CommandFailed."""
		path = os.pathsep.join([str(Path(redis_binary()).parent), {**os.environ, **self.variables}["PATH"]])
		variables = {**self.variables, "PYTHONPATH": str(CHECKOUT), "PATH": path, **environ}
		return self.machine.run(*words, env=variables)

	def passed(
		self, module: str, *cases: str, user: tuple[str, ...] = (), may_skip: bool = False, **environ: str
	) -> str:
		"""What a file of tests wrote. `user`: the beginning of a command that runs the rest as somebody. Raises CommandFailed."""
		command = [*user, sys.executable, "-m", f"fmx_restart.tests.adapters.{module}", *cases]
		told = self.inside(*command, **environ)
		self.assertEqual("skipped" in told, may_skip, told)
		return told
