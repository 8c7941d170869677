"""The command as a person types it, as a process of its own, its output read while it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fmx_restart.tests.adapters.waiting import eventually

#: Seconds for a whole restart on a busy machine, and for each thing we wait for on the way.
PATIENCE = 240.0


@dataclass(frozen=True)
class Finished:
	code: int
	output: str
	errors: str

	@property
	def text(self) -> str:
		return self.output + self.errors

	@property
	def facts(self) -> list[dict]:
		"""Of --json; raises ValueError for a line that is none."""
		return [json.loads(line) for line in self.output.splitlines()]

	@property
	def report(self) -> dict:
		return self.facts[-1]["report"]


class Command:
	popen = subprocess.Popen

	def __init__(self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
		self.process = self.popen(
			[str(word) for word in words],
			cwd=cwd,
			env={**env, "PYTHONUNBUFFERED": "1"},
			stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE,
			stderr=subprocess.PIPE,
			text=True,
			start_new_session=True,
		)
		self.lines: list[str] = []
		self.error_lines: list[str] = []
		self._readers = [
			read_into(self.lines, self.process.stdout),
			read_into(self.error_lines, self.process.stderr),
		]

	def operation_pid(self) -> int:
		"""With --json: of the operation's own process. `process` is its viewer, for bench becomes that by exec."""
		return self.wait_for_fact("OperationStarted")["process"]["pid"]

	def kill_operation(self) -> None:
		"""With -9. Its viewer waits for the recovery, at most ten seconds for the beginning of that."""
		os.kill(self.operation_pid(), signal.SIGKILL)

	def finish(self) -> Finished:
		code = self.process.wait(timeout=PATIENCE)
		for reader in self._readers:
			reader.join(timeout=10)
		return Finished(code, "".join(self.lines), "".join(self.error_lines))

	def wait_for_line(self, part: str) -> str:
		return self._wait(lambda: next((line for line in list(self.lines) if part in line), None), part)

	def wait_for_fact(self, name: str, /, **fields) -> dict:
		"""Of --json: the first fact of that name in which these fields stand."""
		wanted = {"event": name, **fields}

		def look() -> dict | None:
			facts = (json.loads(line) for line in list(self.lines) if line.endswith("\n"))
			return next((fact for fact in facts if wanted.items() <= fact.items()), None)

		return self._wait(look, str(wanted))

	def wait_until_told(self, name: str, *, times: int) -> None:
		"""Of --json: so many facts of that name."""
		word = json.dumps(name)
		self._wait(lambda: sum(word in line for line in list(self.lines)) >= times, f"{times} times {name}")

	def _wait(self, look, what: str):
		def answer():
			ended = self.process.poll() is not None
			found = look()
			if not found and ended:
				done = self.finish()
				if not (found := look()):
					raise AssertionError(f"it ended without {what}: exit code {done.code}\n{done.text}")
			return found

		return eventually(answer, what, deadline=PATIENCE)

	def end(self) -> None:
		"""For cleaning up after a failed test: it gets the time to undo what it did."""
		if self.process.poll() is None:
			self.process.terminate()
		self.finish()


def read_into(lines: list[str], stream: IO[str]) -> threading.Thread:
	def read() -> None:
		with stream:
			for line in stream:
				lines.append(line)

	thread = threading.Thread(target=read, daemon=True)
	thread.start()
	return thread
