"""
What sudo allows without a password, by its own word, and the line that would allow it. Each manager that takes orders so has a
sudo.py of its own. Nothing ever asks for a password.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from fmx_restart.engine.frozen import frozen

TAKES = 15.0  # seconds: sudo asks for its host name, and a name server that is silent costs ten
EVERYTHING = "ALL"
ENTRY = "Sudoers entry:"
#: Of `sudo -l -l`, for NOPASSWD
WITHOUT_PASSWORD = "!authenticate"
COMPLAINT = "sudo: unable to resolve host"  # and goes on
#: sudoers(5): they stand behind a backslash in a command's words, and sudo lists them so
SPECIAL = re.compile(r"([\\,:=])")
ESCAPED = re.compile(r"\\([\\,:=])")
#: Of an order in a rule. All else, a * above all, could mean more in sudoers than it does in a name
PLAIN = re.compile(r"[A-Za-z0-9_.:,=/@+~\\-]+")


@frozen
class Output:
	"""Of one command. `code`: its exit code."""

	code: int
	text: str
	errors: str


def is_there() -> bool:
	"""Whether this user may need it, and it is installed."""
	return os.geteuid() != 0 and shutil.which("sudo") is not None


def rule(user: str, orders: Iterable[Sequence[str]]) -> str:
	"""
	One line for sudoers: these orders, each with its program's path, and nothing else. Empty where a name could mean more there:
	an administrator copies what is shown, and whoever wrote the name may be no administrator.
	"""
	orders = list(orders)
	if not all(PLAIN.fullmatch(word) for order in orders for word in order):
		return ""
	return f"{user} ALL=(root) NOPASSWD: {', '.join(map(written, orders))}"


def written(order: Sequence[str]) -> str:
	"""As a line of sudoers has it."""
	return " ".join([order[0], *(SPECIAL.sub(r"\\\1", word) for word in order[1:])])


def begin(words: Sequence[str], errors: int = subprocess.STDOUT) -> subprocess.Popen:
	"""Raises OSError."""
	return subprocess.Popen(
		list(words),
		stdin=subprocess.DEVNULL,
		stdout=subprocess.PIPE,
		stderr=errors,
		text=True,
		errors="replace",
		env={**os.environ, "LC_ALL": "C"},
	)


def run(words: Sequence[str], timeout: float) -> Output:
	"""Raises OSError, and TimeoutError: then it goes on, as what sudo runs is not ours to kill."""
	process = begin(words, errors=subprocess.PIPE)
	try:
		text, errors = process.communicate(timeout=timeout)
	except subprocess.TimeoutExpired:
		with suppress(PermissionError):
			process.kill()
		process.stdout.close()
		process.stderr.close()
		raise TimeoutError(f"{' '.join(words[:3])} did not answer within {timeout:g} s") from None
	return Output(process.returncode, text, errors)


def refusals(orders: Iterable[Sequence[str]]) -> list[list[str]] | None:
	"""
	Those of the orders that it does not allow, or only with a password; None where there is no sudo, or it allows nothing at all
	without one. `sudo -n -l COMMAND` says yes to one that needs a password, if the user has any rule that needs none. Raises OSError.
	"""
	if not is_there():
		return None
	sudo = [shutil.which("sudo") or "sudo", "-n", "-l"]
	listed = run([*sudo, "-l"], TAKES)
	if listed.code:
		return None
	entries = list(entries_in(listed.text))
	is_free = WITHOUT_PASSWORD in listed.text.partition(ENTRY)[0]  # one of the Defaults
	return [
		list(order)
		for order in orders
		if not (is_free or needs_no_password(order, entries)) or run([*sudo, *order], TAKES).code
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
	pattern = ESCAPED.sub(r"\1", words)
	return fnmatchcase(order[0], path) and (not words or fnmatchcase(" ".join(order[1:]), pattern))


def last_words(output: Output) -> str:
	"""Why an order failed."""
	lines = [it.strip() for it in output.errors.splitlines() if it.strip() and not it.startswith(COMPLAINT)]
	return lines[-1] if lines else f"sudo ended with exit code {output.code}"
