"""The kinds of process managers that there are. To add one: its folder, and its name here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from fmx_restart.adapters.managers.kind import Kind

#: In the order in which they are looked for
KINDS = ("supervisor", "systemd", "honcho", "docker", "kubernetes")


def kind_named(name: str) -> Kind:
	"""One of KINDS."""
	return import_module(f"{__package__}.{name}.kind").KIND


def all_kinds() -> Iterator[Kind]:
	"""Each as it is needed."""
	yield from map(kind_named, KINDS)
