"""What a job may use of this app: fmx_restart.restartable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)
TRIES = "fmx_restart_tries"
DEFAULT_TRIES = 3


def restartable(function: Function | None = None, *, tries: int = DEFAULT_TRIES) -> Function | Callable:
	"""
	Decorator: this job may be run again from its beginning if its process is killed, `tries` times at most. Without it, such
	a job fails. Raises ValueError for tries below 1.
	"""
	if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
		raise ValueError("tries is a whole number from 1 on")

	def decorated(function: Function) -> Function:
		setattr(function, TRIES, tries)
		return function

	return decorated(function) if function is not None else decorated
