"""
Runs a command that must outlive whoever starts it: in a session of its own, and a child of init rather than of a worker or
a web server, whose end would take it along. `python -m fmx_restart.record.away FILE WORD…`: its output goes to FILE, which
stays locked as long as the command runs, so that anybody can tell whether it does. The standard library only: this starts
in some milliseconds.
"""

import fcntl
import os
import sys


def go(log: str, words: list[str]) -> None:
	os.setsid()
	if os.fork():
		os._exit(0)
	nowhere = os.open(os.devnull, os.O_RDWR)
	told = os.open(log + ".new", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
	fcntl.flock(told, fcntl.LOCK_EX)
	os.rename(log + ".new", log)  # noqa: PTH104 - nobody ever sees it without its lock
	os.dup2(nowhere, 0)
	os.dup2(told, 1)
	os.dup2(told, 2)
	os.execv(words[0], words)


if __name__ == "__main__":
	go(sys.argv[1], sys.argv[2:])
