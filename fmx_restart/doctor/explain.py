"""The page of a check, for a terminal: bench doctor --explain NAME. The pages are part of the app, as a bench has no docs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

import redis

from fmx_restart.adapters.bench import bench_folder, bench_id, bench_path, read_config, sites, web_port
from fmx_restart.adapters.redis_queue.connection import checked_url, connection_for, credentials
from fmx_restart.adapters.redis_queue.typed import address, redis_cli
from fmx_restart.engine.errors import WrongEnvironment

PAGES = Path(__file__).parent / "pages"
#: [worker.md](../../../docs/worker.md#recycling): a terminal has no link to follow
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
#: What stands in a page where each bench, or each finding, has a value of its own; and the command that a Redis is asked with
PLACEHOLDER = re.compile(r"(redis-cli -u )?<([a-z_ ]+)>")
PLAIN = re.compile(r"[\w.-]+")  # a value that any command can hold
CAPITALS = "Words in capitals, such as {}, stand for what bench doctor names.\n"


def explain(name: str, *, has_address: bool = True) -> str:
	"""
	What the page says; with `has_address` its commands have that of this bench's Redis, where it can be read. Raises
	WrongEnvironment for a name of no check.
	"""
	known = {page.stem: page for page in PAGES.glob("*.md")}
	if name not in known:
		near = get_close_matches(name, known, 3)
		meant = f"Did you mean {' or '.join(near)}?" if near else f"The names: {', '.join(sorted(known))}."
		raise WrongEnvironment(f"There is no check {name}.", hint=meant)
	text = LINK.sub(r"\1", known[name].read_text()).replace("**", "")
	return in_capitals(with_values(text) if has_address else text)


def with_values(text: str) -> str:
	"""With the values of the bench that we are in; what cannot be read is left as it is."""
	values: dict[str, str] = {}
	for part in (redis_values, bench_values):
		with suppress(WrongEnvironment):
			values |= part(read_config())
	return PLACEHOLDER.sub(lambda found: values.get((found[1] or "") + found[2], found[0]), text)


def redis_values(config: Mapping) -> dict[str, str]:
	"""What placeholders stand for. Raises WrongEnvironment for a setting that cannot be read."""
	queue = connection_for(config, credentials(config, ""))
	values = {"redis-cli -u redis_queue": redis_cli(queue), "redis_queue": address(queue)}
	if url := config.get("redis_cache"):
		values["redis-cli -u redis_cache"] = redis_cli(redis.from_url(checked_url(url, "redis_cache")))
	return values


def bench_values(config: Mapping) -> dict[str, str]:
	"""Likewise. The site, where there is only one."""
	path, names = bench_path(), sites()
	values = {
		"bench id": bench_id(config, path),
		"bench": Path(bench_folder(path)).name,
		"webserver_port": str(web_port(config)),
		"site": names[0] if len(names) == 1 else "",
	}
	return {name: value for name, value in values.items() if PLAIN.fullmatch(value)}


def in_capitals(text: str) -> str:
	"""What has no value, as manual pages write it: a shell would take <pid> for a file."""
	left = dict.fromkeys(capitals(found[2]) for found in PLACEHOLDER.finditer(text))
	text = PLACEHOLDER.sub(lambda found: (found[1] or "") + capitals(found[2]), text)
	return f"{text.rstrip()}\n\n{CAPITALS.format(', '.join(left))}" if left else text


def capitals(name: str) -> str:
	"""bench id as BENCH_ID."""
	return name.upper().replace(" ", "_")
