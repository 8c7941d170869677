"""
The commands of bin/test: style, and pytest. A few tests that failed are run once more, by themselves: tests of real processes
wait for them, and on a busy machine one of them may not get a processor for seconds. A test that passes then does not fail the
run, but is named as unstable: it has a fault that is to be found, in the test or in what it tests.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from development.description import CHECKOUT, ROOT
from development.ending import is_ending
from development.progress import Progress

PYTEST = ("pytest", "-q", "--durations=10", "-p", "development.pytest_plugin", "-o")
#: For a developer's own choice of tests, so that --last-failed works between two runs.
CHOSEN = (*PYTEST, f"cache_dir={ROOT}/pytest")
TESTS_FAILED = 1  # pytest's exit code
#: The plugin's exit code where something outlived the tests, which another try would not show. Pytest itself has none of it.
OUTLIVED = 17
#: Classes, or tests that stand alone. When more of them fail, something is wrong with what they test.
MOST_UNSTABLE = 3


@dataclass(frozen=True)
class Runner:
	python: Path
	environment: Mapping[str, str] | None  # None: this process' own
	progress: Progress
	output: IO[str] | None = None  # None: this process' own
	before: Sequence[str] = ()  # words such as nice

	def all(self, *commands: Sequence[str]) -> bool:
		"""Each of them, whatever became of the one before. True when anything failed."""
		failed = False
		for command in commands:
			if is_ending():
				return True
			failed |= self.one(command) != 0
		return failed

	def one(self, command: Sequence[str]) -> int:
		"""The exit code of a Python module with its words."""
		self.progress.say(" ".join(command))
		return subprocess.run(
			[*self.before, str(self.python), "-m", *command],
			cwd=CHECKOUT,
			env={**(self.environment or os.environ), "RUFF_CACHE_DIR": str(ROOT / "ruff")},
			stdout=self.output,
			stderr=self.output,
		).returncode

	def tests(self, chosen: Sequence[str], at_once: Sequence[str], cache: Path) -> bool:
		"""
		All of them, then a few that failed. `at_once`: pytest's words for several processes; `cache`: its folder for this run.
		True when any failed for good.
		"""
		command = (*PYTEST, f"cache_dir={cache}", f"--rootdir={CHECKOUT}")
		code = self.one((*command, "--cache-clear", *at_once, *chosen))
		failed = worth_another_try(code, cache)
		if not failed or is_ending():
			return code != 0
		if self.one((*command, *failed)):
			return True
		self.progress.say(
			f"UNSTABLE, passed only when run once more (above: why it failed): {', '.join(failed)}"
		)
		return False


def worth_another_try(exit_code: int, cache: Path) -> list[str]:
	"""The names of the tests that failed, where they are few. Else none."""
	note = cache / "v" / "cache" / "lastfailed"
	if exit_code != TESTS_FAILED or not note.exists():
		return []
	failed = sorted(json.loads(note.read_text()))
	return failed if len(set(map(class_of, failed))) <= MOST_UNSTABLE else []


def class_of(name: str) -> str:
	"""test_x.py::TestX of test_x.py::TestX::test_y; a test without a class stands for itself."""
	return "::".join(name.split("::")[:2])
