"""One sample of every fact, made from its fields' types, so that a new fact is tested as soon as it exists."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Union, get_args, get_origin, get_type_hints

from fmx_restart.engine import events

PLAIN = {str: "text", int: 3, float: 4.5, bool: True}


def event_types() -> list[type[events.Event]]:
	return [kind for kind in vars(events).values() if is_event(kind)]


def is_event(kind: object) -> bool:
	return isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event


def sample(kind: type) -> object:
	"""Nothing is left empty: one item in every collection, the first member of every enum."""
	if kind in PLAIN:
		return PLAIN[kind]
	if is_dataclass(kind):
		hints = get_type_hints(kind)
		return kind(**{field.name: sample(hints[field.name]) for field in fields(kind)})
	if isinstance(kind, type) and issubclass(kind, Enum):
		return next(iter(kind))
	return sample_of_parts(get_origin(kind), get_args(kind))


def sample_of_parts(origin: object, parts: tuple) -> object:
	if origin in (Union, types.UnionType):
		return sample(next(part for part in parts if part is not type(None)))
	if origin in (tuple, list, frozenset):
		return origin([sample(parts[0])])
	if origin in (dict, Mapping):
		return {sample(parts[0]): sample(parts[1])}
	raise TypeError(f"no sample for {origin}")


def kinds_inside(kind: object) -> Iterator[type]:
	"""The type itself and every dataclass that its fields can hold."""
	if is_dataclass(kind):
		yield kind
		for hint in get_type_hints(kind).values():
			yield from kinds_inside(hint)
	for part in get_args(kind):
		yield from kinds_inside(part)
