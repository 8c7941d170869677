"""Where a web program means to listen, by its own words: for when its sockets cannot be seen, or do not exist yet."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import psutil

from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.adapters.web.endpoint import Endpoint, parse_bind, parse_port
from fmx_restart.engine.ports import HostProcess

BIND, BIND_LONG = "-b", "--bind"
PORT = "--port"
ARGUMENTS = "GUNICORN_CMD_ARGS"


def meant_endpoints(process: HostProcess) -> tuple[Endpoint, ...]:
	"""
	Empty where nothing tells: another user's process, a title in place of the words, a configuration file. What stands
	on the command line overrides the environment, as in gunicorn.
	"""
	words, environment = words_of(process.pid)
	if bench_command(words) == "serve":
		return served_at(words)
	for source in (words, split(environment.get(ARGUMENTS, ""))):
		if found := tuple(filter(None, map(parse_bind, binds(source)))):
			return found
	return ()


def served_at(words: Iterable[str]) -> tuple[Endpoint, ...]:
	"""bench serve takes any address; without --port it uses webserver_port."""
	port = next(values(words, "", PORT), "")
	return (Endpoint("0.0.0.0", number),) if (number := parse_port(port)) else ()


def binds(words: Iterable[str]) -> Iterator[str]:
	return values(words, BIND, BIND_LONG)


def values(words: Iterable[str], short: str, long: str) -> Iterator[str]:
	"""Of an option in each of its spellings: -b X, -bX, --bind X, --bind=X."""
	remaining = iter(words)
	for word in remaining:
		if word in (short, long):
			yield next(remaining, "")
		elif word.startswith(f"{long}="):
			yield word[len(long) + 1 :]
		elif short and word.startswith(short) and not word.startswith("--"):
			yield word[len(short) :]


def words_of(pid: int) -> tuple[list[str], Mapping[str, str]]:
	"""Its command line and its environment, as far as this user may see them."""
	words: list[str] = []
	with suppress(psutil.Error, OSError):
		process = psutil.Process(pid)
		words = split_words(process.cmdline())
		return words, process.environ()
	return words, {}


def split(text: str) -> list[str]:
	try:
		return shlex.split(text)
	except ValueError:  # an unmatched quote
		return text.split()
