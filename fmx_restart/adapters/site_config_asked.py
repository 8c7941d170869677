"""
A site's configuration, as Frappe reads it, asked from a process beside us (fmx_restart/site_config_process.py). What an app
does when it is imported cannot hang the operation: after some seconds the process is ended, and that is told.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from fmx_restart.engine.errors import WrongEnvironment

MODULE = "fmx_restart.site_config_process"
#: Seconds: a second where the machine has room. On one that is overloaded the lock may lapse meanwhile, before any change
ANSWERS_WITHIN = 60.0


class AskedSiteConfig:
	"""Called with a site, returns its configuration. One process answers for all sites, from the first question on."""

	def __init__(
		self, words: Sequence[str] = (sys.executable, "-m", MODULE), within: float = ANSWERS_WITHIN
	) -> None:
		self._words, self._within = list(words), within
		self._process: subprocess.Popen | None = None

	def __call__(self, site: str) -> dict[str, Any]:
		"""Raises WrongEnvironment, also where no answer comes in time."""
		answer = self._answer_about(site)
		if answer is None:
			self._end()
			raise WrongEnvironment(
				f"Frappe did not tell the configuration of {site} within {self._within:g} s.",
				hint=f"This shows where it hangs, or why it fails: bench --site {site} show-config",
			)
		if "error" in answer:
			raise WrongEnvironment(answer["error"], hint=answer["hint"])
		return answer["config"]

	def _answer_about(self, site: str) -> dict[str, Any] | None:
		"""None where none came, or one that cannot be read."""
		try:
			process = self._process = self._process or self._start()
			process.stdin.write(f"{json.dumps(site)}\n".encode())
			process.stdin.flush()
			answer = json.loads(line_of(process.stdout.fileno(), time.monotonic() + self._within))
		except (OSError, ValueError):
			return None
		return answer if isinstance(answer, dict) else None

	def _start(self) -> subprocess.Popen:
		return subprocess.Popen(
			self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
		)

	def _end(self) -> None:
		"""The next question starts another one."""
		if process := self._process:
			process.kill()
			process.wait()
			process.stdin.close()
			process.stdout.close()
		self._process = None


def line_of(file: int, until: float) -> bytes:
	"""What comes, up to its first end of a line, by that moment; less where the other side has ended or is late."""
	read = b""
	while not read.endswith(b"\n") and select.select([file], [], [], max(0.0, until - time.monotonic()))[0]:
		if not (piece := os.read(file, 1 << 16)):
			break
		read += piece
	return read
