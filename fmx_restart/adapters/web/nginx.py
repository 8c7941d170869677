"""nginx in front of the bench: where it serves a site, by the configuration that `bench setup nginx` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fmx_restart.adapters.web.addresses import Endpoint, parse_bind, parse_port
from fmx_restart.adapters.web.users import Target

FILE = Path("config", "nginx.conf")  # in the bench's folder
NAME = "nginx"
MOST = 1 << 20  # characters: bench writes some thousand for a hundred sites
PART = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[{};]|[^\s{};\"']+")


@dataclass
class Block:
	"""One server, or one map, of a configuration: its own directives, without those of blocks within."""

	kind: str
	directives: list[list[str]] = field(default_factory=list)

	def values(self, name: str) -> Iterator[list[str]]:
		"""What stands behind this name, for each time that it does."""
		return (words[1:] for words in self.directives if words[:1] == [name])


def front_of(bench: Path, site: str) -> Target | None:
	"""Where nginx serves this site; None where the bench has no such configuration, or none that serves it."""
	try:
		with (bench / FILE).open(encoding="utf-8", errors="replace") as file:
			blocks = list(blocks_of(file.read(MOST)))
	except OSError:
		return None
	names = {site, *domains_of(site, blocks)}
	fronts = [front for block in blocks for front in fronts_in(block, names)]
	return min(fronts, key=lambda front: front.is_encrypted, default=None)


def blocks_of(text: str) -> Iterator[Block]:
	"""Each server and each map. What is no configuration yields what can be read of it."""
	opened: list[Block] = []
	words: list[str] = []
	for part in PART.findall(text):
		if part == "{":
			opened.append(Block(words[0] if words else ""))
			words = []
		elif part == "}":
			if opened and opened[-1].kind in ("server", "map"):
				yield opened[-1]
			del opened[-1:]
			words = []
		elif part == ";":
			if opened:
				opened[-1].directives.append(words)
			words = []
		elif not part.startswith("#"):
			words.append(part[1:-1] if part[0] in "\"'" else part)


def domains_of(site: str, blocks: Iterable[Block]) -> list[str]:
	"""Further names of the site, which a map of the configuration leads to it."""
	pairs = [words for block in blocks if block.kind == "map" for words in block.directives]
	return [words[0] for words in pairs if len(words) == 2 and words[1] == site]


def fronts_in(server: Block, names: set[str]) -> Iterator[Target]:
	"""Where this server answers for one of these names itself. One that only leads on to another address does not."""
	if server.kind != "server" or any(server.values("return")):
		return
	known = [name for words in server.values("server_name") for name in words if name in names]
	for at, *options in filter(None, server.values("listen")):
		endpoint = endpoint_of(at)
		if known and endpoint:
			yield Target(endpoint.reachable, known[0], NAME, is_encrypted="ssl" in options)


def endpoint_of(at: str) -> Endpoint | None:
	"""As nginx reads the value of listen: a port, an address with or without one, unix:/path."""
	if at.isdigit():
		return Endpoint("0.0.0.0", port) if (port := parse_port(at)) else None
	is_without_port = not at.startswith("unix:") and not re.search(r":\d+$", at)
	return parse_bind(f"{at}:80" if is_without_port else at)
