"""
The process that outlives an operation: python -m fmx_restart.guardian OPERATION, in the sites folder.

It sleeps on the lock of the operation's journal. The kernel wakes it the instant the operation's process is gone, however
that ended; if the journal has no end then, it puts right what is left. Nothing is imported before that: while it sleeps it
costs a bare interpreter.
"""

from __future__ import annotations

import fcntl
import os
import sys


def main(operation: str) -> None:
	sleep_until_nobody_holds(os.path.join("..", "logs", "fmx_restart", f"{operation}.jsonl"))  # noqa: PTH118
	from fmx_restart.recovering import recover_patiently

	recover_patiently(operation)


def sleep_until_nobody_holds(journal: str) -> None:
	file = os.open(journal, os.O_RDONLY)
	fcntl.flock(file, fcntl.LOCK_EX)
	os.close(file)


if __name__ == "__main__":
	main(sys.argv[1])
