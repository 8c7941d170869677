"""The way into the background: the command returns, its operation goes on."""

from __future__ import annotations

import os
import sys


def go_on_in_background(exit_code: int) -> None:
	"""
	A process of its own session goes on from here, with everything it has imported and opened; the one that was typed
	ends with `exit_code` and touches none of it any more: lock, Redis and supervisor connections have one user as before.
	"""
	sys.stdout.flush()
	sys.stderr.flush()
	if os.fork():
		os._exit(exit_code)
	os.setsid()
	nowhere = os.open(os.devnull, os.O_RDWR)
	for stream in (0, 1, 2):
		os.dup2(nowhere, stream)
