"""
From JSON back to the frozen dataclasses of the engine, by their annotations. The way of each type is worked out once: a
journal may have tens of thousands of lines, and whoever polls an operation waits for them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

Decode = Callable[[Any], Any]


class NotDecodable(ValueError):
	"""The value is not what the annotation says."""


@cache
def decoder_of(kind: Any) -> Decode:
	"""What turns a value of JSON into one of that type. It raises NotDecodable."""
	if is_dataclass(kind):
		return of_dataclass(kind)
	if isinstance(kind, type) and issubclass(kind, Enum):
		return of_enum(kind)
	if kind is float:
		return of_number
	if kind in PLAIN:
		return of_plain(kind)
	return of_parts(get_origin(kind), get_args(kind))


def of_dataclass(kind: type) -> Decode:
	"""Fields that it does not know are left out: a newer version of the same format may add some."""
	hints = get_type_hints(kind)
	parts = [(field.name, decoder_of(hints[field.name])) for field in fields(kind)]
	required = {field.name for field in fields(kind) if field.default is field.default_factory is MISSING}

	def decode(value: Any) -> Any:
		if not isinstance(value, dict):
			raise NotDecodable(f"{kind.__name__} is no object")
		if missing := required - value.keys():
			raise NotDecodable(f"{kind.__name__} has no {min(missing)}")
		return kind(**{name: part(value[name]) for name, part in parts if name in value})

	return decode


def of_enum(kind: type[Enum]) -> Decode:
	members = {member.value: member for member in kind}

	def decode(value: Any) -> Any:
		try:
			return members[value]
		except (KeyError, TypeError):
			raise NotDecodable(f"{str(value)[:40]!r} is no {kind.__name__}") from None

	return decode


def of_number(value: Any) -> float:
	if type(value) not in (int, float):
		raise NotDecodable(f"{str(value)[:40]!r} is no number")
	return float(value)


def of_plain(kind: type) -> Decode:
	def decode(value: Any) -> Any:
		if type(value) is not kind:
			raise NotDecodable(f"{str(value)[:40]!r} is no {kind.__name__}")
		return value

	return decode


def of_parts(origin: Any, parts: tuple) -> Decode:
	if origin in (Union, types.UnionType):
		return of_union(parts)
	if origin in (tuple, list, frozenset):
		return of_list(origin, decoder_of(parts[0]))
	if origin in (dict, Mapping):
		return of_mapping(*map(decoder_of, parts))
	raise TypeError(f"no decoder for {origin}")


def of_union(parts: tuple) -> Decode:
	"""None where that is allowed; else the first that fits."""
	decoders = [decoder_of(part) for part in parts if part is not type(None)]
	may_be_none = len(decoders) < len(parts)
	if may_be_none and len(decoders) == 1:
		(only,) = decoders
		return lambda value: None if value is None else only(value)

	def decode(value: Any) -> Any:
		if may_be_none and value is None:
			return None
		for part in decoders:
			with suppress(NotDecodable):
				return part(value)
		raise NotDecodable(f"{str(value)[:40]!r} is none of {len(decoders)} kinds")

	return decode


def of_list(kind: type, part: Decode) -> Decode:
	def decode(value: Any) -> Any:
		if not isinstance(value, list):
			raise NotDecodable(f"{str(value)[:40]!r} is no list")
		return kind([part(item) for item in value])

	return decode


def of_mapping(key: Decode, part: Decode) -> Decode:
	def decode(value: Any) -> Any:
		if not isinstance(value, dict):
			raise NotDecodable(f"{str(value)[:40]!r} is no object")
		return {key(name): part(item) for name, item in value.items()}

	return decode


PLAIN = {str, int, bool}
