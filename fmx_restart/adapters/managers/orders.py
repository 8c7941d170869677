"""Orders to a manager that is asked over a connection: each by itself, and what is down while the manager does not answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from fmx_restart.engine.errors import ProcessFault


def faults_of(orders: Iterable[tuple[str, Callable[[str], None]]]) -> dict[str, ProcessFault]:
	"""Gives each order for the program of that name. One that fails does not keep the others back. Program → why it failed."""
	faults = {}
	for name, give in orders:
		try:
			give(name)
		except ProcessFault as fault:
			faults[name] = fault
	return faults


@contextmanager
def naming_what_is_down(
	ordered: Collection[str], start_command: Callable[[list[str]], str]
) -> Iterator[None]:
	"""`ordered`: programs that we have stopped, or told to start: they may be down. A fault says how they are started."""
	try:
		yield
	except ProcessFault as fault:
		if not ordered:
			raise
		command = start_command(sorted(ordered))
		hint = f"{fault.hint} Then start what is down: {command}".strip()
		raise ProcessFault(str(fault), hint=hint) from fault
