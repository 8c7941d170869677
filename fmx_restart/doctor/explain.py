"""The page of a check, for a terminal: bench doctor --explain NAME. The pages are part of the app, as a bench has no docs."""

from __future__ import annotations

import re
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from fmx_restart.adapters.redis_queue.connection import queue_cli
from fmx_restart.engine.errors import WrongEnvironment

PAGES = Path(__file__).parent / "pages"
#: [worker.md](../../../docs/worker.md#recycling): a terminal has no link to follow
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
PLACEHOLDER = re.compile(r"redis-cli -u \<redis_queue\>")


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
	return with_address(text) if has_address else text


def with_address(text: str) -> str:
	"""A command can hold any mark, so this comes last."""
	with suppress(WrongEnvironment):
		command = queue_cli()
		text = PLACEHOLDER.sub(lambda _: command, text)
	return text
