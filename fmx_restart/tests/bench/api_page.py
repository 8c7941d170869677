"""docs/api.md as data: the example answer of each function, and the lines that people copy into a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
#: Objects whose names are those of queues and benches, or depend on the event: only the kind of their values is compared
MAPS = {"preview.queued", "hold.queued", "workers.other_benches", "charts.depths.queues", "feed.facts.fact"}
EXAMPLE = "20261122-101502-7f3a"  # the operation that the page speaks of


def example_answers() -> dict[str, Any]:
	"""Function → the answer that the page shows under its heading."""
	sections = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
	found = {}
	for section in sections:
		title, _, rest = section.partition("\n")
		if block := re.search(r"```json\n(.*?)```", rest, re.DOTALL):
			found[title.partition(",")[0]] = json.loads(block[1])
	return found


def shell_lines() -> tuple[str, list[str]]:
	"""What sets the variables, and the lines with curl."""
	block = re.search(r"```sh\n(AUTH=.*?)```", PAGE.read_text(), re.DOTALL)[1]
	setting, _, commands = block.partition("\n\n")
	return setting, commands.strip().splitlines()


def differences(shown: Any, real: Any, at: str) -> Iterator[str]:
	"""Where an answer has other names or kinds of values than its example. Null and an empty list fit any."""
	if shown is None or real is None:
		return
	if kind(shown) != kind(real):
		yield f"{at}: {kind(shown)} on the page, {kind(real)} in the answer"
	elif isinstance(shown, dict) and at in MAPS:
		return
	elif isinstance(shown, dict):
		yield from (f"{at}.{name} is not in the answer" for name in shown.keys() - real.keys())
		yield from (f"{at}.{name} is not on the page" for name in real.keys() - shown.keys())
		for name in shown.keys() & real.keys():
			yield from differences(shown[name], real[name], f"{at}.{name}")
	elif isinstance(shown, list) and shown:
		for item in real:
			yield from differences(shown[0], item, at)


def kind(value: Any) -> str:
	"""Of JSON; a whole number is a number like any."""
	return (
		"number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
	)
