"""A signal that ends a command of ours ends what the command has started, too."""

from __future__ import annotations

import os
import signal
import threading
import time

from development.processes import end_all, find_process, with_descendants

#: Seconds for threads of ours to start nothing more.
SETTLING = 0.2

_is_ending = threading.Event()


def end_children_on(*numbers: signal.Signals) -> None:
	"""
	On each of these signals: kill all descendants, those of tests and of builds included, and raise SystemExit in the main
	thread, so that what is to be stopped at the end is.
	"""
	for number in numbers:
		signal.signal(number, lambda number, _: end_now(number))


def end_now(number: int) -> None:
	signal.signal(number, signal.SIG_IGN)  # it comes once more where a whole group of processes gets it
	_is_ending.set()
	end_children()
	raise SystemExit(128 + number)


def is_ending() -> bool:
	"""Whether threads should start nothing more."""
	return _is_ending.is_set()


def end_children() -> None:
	"""Also those that a thread of ours starts because another one was killed."""
	while family := with_descendants(find_process(os.getpid()))[1:]:
		end_all(family)
		time.sleep(SETTLING)
