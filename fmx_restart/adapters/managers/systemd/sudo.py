"""Orders to the machine's systemd by sudo, where its rules name each of them and ask for no password. Nothing ever asks for one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from fmx_restart.adapters.managers.systemd.systemctl import TIMEOUT, Output, program, run

VERBS = ("stop", "start")
TAKES = 5.0  # seconds
EVERYTHING = "ALL"
ENTRY = "Sudoers entry:"
#: Of `sudo -l -l`, for NOPASSWD
WITHOUT_PASSWORD = "!authenticate"
COMPLAINT = "sudo: unable to resolve host"  # and goes on


def words_of(verb: str, name: str) -> list[str]:
	"""Of systemctl. One unit in each, so that a line in sudoers can name it: sudo compares each word."""
	return ["--no-block", verb, name]


def orders_for(names: Iterable[str]) -> list[list[str]]:
	"""Both orders for each unit, as sudo compares them."""
	systemctl = shutil.which("systemctl") or "/usr/bin/systemctl"
	return [[systemctl, *words_of(verb, name)] for name in names for verb in VERBS]


def rule(user: str, names: Iterable[str]) -> str:
	"""One line for sudoers: each unit with both orders, and nothing else."""
	return f"{user} ALL=(root) NOPASSWD: {', '.join(map(' '.join, orders_for(names)))}"


def give(verb: str, name: str) -> Output:
	"""One order. Raises ProcessFault where it does not answer."""
	return run([program("sudo"), "-n", program("systemctl"), *words_of(verb, name)], TIMEOUT, "sudo")


def refusals(names: Collection[str]) -> list[str] | None:
	"""
	The orders that it does not allow, or only with a password; None where there is no sudo, or it allows nothing at all without
	one. `sudo -n -l COMMAND` says yes to one that needs a password, if the user has any rule that needs none.
	"""
	if os.geteuid() == 0 or not shutil.which("sudo"):
		return None
	sudo = [program("sudo"), "-n", "-l"]
	listed = run([*sudo, "-l"], TAKES, "sudo")
	if listed.code:
		return None
	entries = list(entries_in(listed.text))
	is_free = WITHOUT_PASSWORD in listed.text.partition(ENTRY)[0]  # one of the Defaults
	return [
		" ".join(order)
		for order in orders_for(names)
		if not (is_free or needs_no_password(order, entries)) or run([*sudo, *order], TAKES, "sudo").code
	]


def entries_in(text: str) -> Iterator[tuple[bool, list[str]]]:
	"""Of `sudo -l -l`, in their order: whether an entry needs no password, and its commands."""
	for entry in text.split(ENTRY)[1:]:
		head, _, commands = entry.partition("Commands:")
		yield WITHOUT_PASSWORD in head, [line.strip() for line in commands.splitlines() if line.strip()]


def needs_no_password(order: Sequence[str], entries: Iterable[tuple[bool, list[str]]]) -> bool:
	"""By the last entry that matches, as sudo decides it. Entries with ! or regular expressions count as none."""
	decided = False
	for is_free, commands in entries:
		if any(matches(order, command) for command in commands):
			decided = is_free
	return decided


def matches(order: Sequence[str], command: str) -> bool:
	"""As in sudoers: everything, a program with any words, or a pattern for its path and one for its words."""
	path, _, words = command.partition(" ")
	if command == EVERYTHING:
		return True
	return fnmatchcase(order[0], path) and (not words or fnmatchcase(" ".join(order[1:]), words))


def last_words(output: Output) -> str:
	"""Why an order failed."""
	lines = [it.strip() for it in output.errors.splitlines() if it.strip() and not it.startswith(COMPLAINT)]
	return lines[-1] if lines else f"sudo ended with exit code {output.code}"
