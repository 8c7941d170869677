"""
Runs a command that must outlive whoever starts it: in a session of its own, and a child of init rather than of a worker or
a web server, whose end would take it along. `python -m fmx_restart.record.away FILE WORD…`: its output goes to FILE, which
stays locked as long as the command runs, so that anybody can tell whether it does. The standard library only: this starts
in some milliseconds.
"""

import os
import sys

from fmx_restart.adapters.own_session import leave_terminal


def go(log: str, words: list[str]) -> None:
	os.setsid()
	if os.fork():
		os._exit(0)
	leave_terminal(log)
	os.execv(words[0], words)


if __name__ == "__main__":
	go(sys.argv[1], sys.argv[2:])
