"""What a command line runs, told by its words. Text that merely contains a word is not enough."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import PurePath

BENCH_HELPER = "frappe.utils.bench_helper"
BENCH_PROGRAMS = {"bench", "bench_helper.py"}
OPTIONS_WITH_VALUE = {"--site", "-s"}
WORKER_COMMANDS = {"worker", "worker-pool"}
RQ_TITLE = (
	"rq:worker:"  # how RQ renames its processes where setproctitle is installed: rq:worker:NAME: what it does
)


def split_words(command: str | Iterable[str]) -> list[str]:
	"""
	The words of a command line, also of one inside another (bash -c "…") and of a process title that
	replaced the words (gunicorn: master [frappe.app:application]).
	"""
	if isinstance(command, str):
		return split_words(_shell_words(command))
	words = []
	for word in command:
		words += _shell_words(word) if " " in word else [word]
	return words


def bench_command(words: list[str]) -> str | None:
	"""The command that bench or its helper runs, such as worker or schedule. None where neither is called."""
	command = None
	for position, word in enumerate(words):
		if word == BENCH_HELPER or PurePath(word).name in BENCH_PROGRAMS:
			# A folder may be called bench too (cd /home/frappe/bench && bench worker): the last call counts.
			command = _first_argument(words[position + 1 :]) or command
	return command


def is_worker_command(words: Iterable[str]) -> bool:
	"""A worker, or the process of a job: the two look alike from outside."""
	words = split_words(words)
	return bench_command(words) in WORKER_COMMANDS or titled_worker(words) is not None


def titled_worker(words: Iterable[str]) -> str | None:
	"""The name of the RQ worker that a process title tells."""
	return next((word[len(RQ_TITLE) :].rstrip(":") for word in words if word.startswith(RQ_TITLE)), None)


def _first_argument(words: list[str]) -> str | None:
	remaining = iter(words)
	for word in remaining:
		if word in OPTIONS_WITH_VALUE:
			next(remaining, None)
		elif word != "frappe" and not word.startswith("-"):  # bench_helper takes the app first
			return word
	return None


def _shell_words(text: str) -> list[str]:
	try:
		return shlex.split(text)
	except ValueError:  # an unmatched quote, as in a title that was cut off
		return text.split()
