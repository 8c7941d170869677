"""
A process in a session of its own, which no Ctrl-C, hang-up or blocked terminal reaches. `python -m
fmx_restart.adapters.own_session FILE WORD…` runs a command so that it outlives whoever starts it: its output goes to FILE,
which stays locked as long as the command runs. The standard library only: this starts in some milliseconds.
"""

import fcntl
import os
import sys


def leave_terminal(output: str) -> None:
	"""
	Reads nothing from now on, and writes into the file `output`, which stays locked as long as this process lives, so that
	anybody can tell whether it does. Raises OSError where the file cannot be made.
	"""
	nowhere = os.open(os.devnull, os.O_RDWR)
	written = os.open(f"{output}.new", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
	fcntl.flock(written, fcntl.LOCK_EX)
	os.rename(f"{output}.new", output)  # noqa: PTH104 - the file is never seen without its lock
	replace_streams(nowhere, written)


def replace_streams(reading: int, writing: int) -> None:
	"""Standard input, and standard output and error, of this process. Closes the two descriptors that it is given."""
	for stream, file in ((0, reading), (1, writing), (2, writing)):
		os.dup2(file, stream)
	for file in {reading, writing} - {0, 1, 2}:
		os.close(file)


def go(log: str, words: list[str]) -> None:
	"""Leave session and terminal, then become the command. Runs in a child, and returns nowhere."""
	os.setsid()
	if os.fork():
		os._exit(0)
	leave_terminal(log)
	os.execv(words[0], words)


if __name__ == "__main__":
	go(sys.argv[1], sys.argv[2:])
