"""Orders to the machine's systemd by sudo, where its rules name each of them and ask for no password."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from fmx_restart.adapters.managers import sudo
from fmx_restart.adapters.managers.sudo import Output
from fmx_restart.adapters.managers.sudo import last_words as last_words
from fmx_restart.adapters.managers.systemd.systemctl import TIMEOUT, TimeoutFault, program
from fmx_restart.engine.errors import ProcessFault

VERBS = ("stop", "start")


def words_of(verb: str, name: str) -> list[str]:
	"""Of systemctl. One unit in each, so that a line in sudoers can name it: sudo compares each word."""
	return ["--no-block", verb, name]


def orders_for(names: Iterable[str]) -> list[list[str]]:
	"""Both orders for each unit, as sudo compares them."""
	systemctl = shutil.which("systemctl") or "/usr/bin/systemctl"
	return [[systemctl, *words_of(verb, name)] for name in names for verb in VERBS]


def rule(user: str, names: Iterable[str]) -> str:
	"""One line for sudoers: each unit with both orders, and nothing else."""
	return sudo.rule(user, orders_for(names))


def give(verb: str, name: str) -> Output:
	"""One order. Raises ProcessFault where it does not answer."""
	with answers():
		return sudo.run([program("sudo"), "-n", program("systemctl"), *words_of(verb, name)], TIMEOUT)


def refusals(names: Collection[str]) -> list[str] | None:
	"""As sudo.refusals: the orders, each as one text. Raises ProcessFault."""
	with answers():
		lacking = sudo.refusals(orders_for(names))
	return None if lacking is None else [" ".join(order) for order in lacking]


@contextmanager
def answers() -> Iterator[None]:
	"""Raises ProcessFault where it does not, or cannot be run."""
	try:
		yield
	except TimeoutError as error:
		raise TimeoutFault(str(error)) from error
	except OSError as error:
		raise ProcessFault(f"sudo cannot be run: {error.strerror}") from error
