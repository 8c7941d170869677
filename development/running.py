"""Run a program into a log, wait for a condition: the two things every step of the build does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from development.errors import CommandFailed, NotReady

#: How much of a log is quoted when its program failed.
QUOTED_LINES = 25


def run_logged(
	command: Sequence[str | Path],
	log: Path,
	*,
	cwd: Path | None = None,
	env: Mapping[str, str] | None = None,
	input_text: str | None = None,
) -> None:
	"""Run a program with all its output appended to the log. Raises CommandFailed with the last lines."""
	log.parent.mkdir(parents=True, exist_ok=True)
	arguments = [str(part) for part in command]
	with log.open("a") as output:
		output.write(f"\n$ {' '.join(arguments)}\n")
		output.flush()
		# without an input of its own a program could wait for an answer nobody is there to give
		source = {"input": input_text} if input_text is not None else {"stdin": subprocess.DEVNULL}
		done = subprocess.run(
			arguments, stdout=output, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=env, **source
		)
	if done.returncode:
		raise CommandFailed(
			f"{Path(arguments[0]).name} ended with exit code {done.returncode}; its last lines:\n{last_lines(log)}",
			hint=f"the whole log: {log}",
		)


def last_lines(log: Path, count: int = QUOTED_LINES) -> str:
	if not log.exists():
		return ""
	return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def wait_until(
	condition: Callable[[], bool], what: str, *, timeout: float, poll: float = 0.1, log: Path | None = None
) -> None:
	"""Poll until the condition holds. Raises NotReady after `timeout` seconds, quoting the log if one is given."""
	deadline = time.monotonic() + timeout
	while not condition():
		if time.monotonic() >= deadline:
			quoted = f"; the last lines of {log}:\n{last_lines(log)}" if log else ""
			raise NotReady(f"{what}: not so after {timeout:.0f} s{quoted}")
		time.sleep(poll)
