"""
From JSON back to the frozen dataclasses of the engine, by their annotations. The way of each type is worked out once: a
journal may have tens of thousands of lines, and whoever polls an operation waits for them.

A lenient decoder leaves out fields that it does not know: a newer version of the same format may add some. A strict one
refuses them: what is going to be carried out must be understood whole.
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
def decoder_of(kind: Any, *, strict: bool = False) -> Decode:
	"""What turns a value of JSON into one of that type. It raises NotDecodable."""
	if is_dataclass(kind):
		return of_dataclass(kind, strict=strict)
	if isinstance(kind, type) and issubclass(kind, Enum):
		return of_enum(kind)
	if kind is float:
		return of_number
	if kind in PLAIN:
		return of_plain(kind)
	return of_parts(get_origin(kind), get_args(kind), strict=strict)


def of_dataclass(kind: type, *, strict: bool) -> Decode:
	"""From an object; fields with defaults may be missing."""
	hints = get_type_hints(kind)
	parts = [(field.name, decoder_of(hints[field.name], strict=strict)) for field in fields(kind)]
	known = {name for name, _ in parts}
	required = {field.name for field in fields(kind) if field.default is field.default_factory is MISSING}

	def decode(value: Any) -> Any:
		if not isinstance(value, dict):
			raise NotDecodable(f"{kind.__name__} is not an object")
		if missing := required - value.keys():
			raise NotDecodable(f"{kind.__name__} has no {min(missing)}")
		if strict and (unknown := value.keys() - known):
			raise NotDecodable(f"{kind.__name__} has no field {str(min(unknown))[:40]!r}")
		return kind(**{name: part(value[name]) for name, part in parts if name in value})

	return decode


def of_enum(kind: type[Enum]) -> Decode:
	"""From a member's value."""
	members = {member.value: member for member in kind}

	def decode(value: Any) -> Any:
		try:
			return members[value]
		except (KeyError, TypeError):
			raise NotDecodable(f"{str(value)[:40]!r} is not a {kind.__name__}") from None

	return decode


def of_number(value: Any) -> float:
	"""From a whole number, too; true and false are none."""
	if type(value) not in (int, float):
		raise NotDecodable(f"{str(value)[:40]!r} is not a number")
	try:
		return float(value)
	except OverflowError:
		raise NotDecodable("a number is too large") from None


def of_plain(kind: type) -> Decode:
	"""Of exactly that type: no number in place of a text."""

	def decode(value: Any) -> Any:
		if type(value) is not kind:
			raise NotDecodable(f"{str(value)[:40]!r} is not a {kind.__name__}")
		return value

	return decode


def of_parts(origin: Any, parts: tuple, *, strict: bool) -> Decode:
	"""Of a type that is made of others: a union, a list, a mapping. Raises TypeError for any other, a slip of ours."""
	if origin in (Union, types.UnionType):
		return of_union(parts, strict=strict)
	if origin in (tuple, list, frozenset):
		return of_list(origin, decoder_of(parts[0], strict=strict))
	if origin in (dict, Mapping):
		return of_mapping(*(decoder_of(part, strict=strict) for part in parts))
	raise TypeError(f"no decoder for {origin}")


def of_union(parts: tuple, *, strict: bool) -> Decode:
	"""None where that is allowed; else the first that fits."""
	decoders = [decoder_of(part, strict=strict) for part in parts if part is not type(None)]
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
	"""A list, tuple or frozenset, each item decoded by `part`."""

	def decode(value: Any) -> Any:
		if not isinstance(value, list):
			raise NotDecodable(f"{str(value)[:40]!r} is not a list")
		return kind([part(item) for item in value])

	return decode


def of_mapping(key: Decode, part: Decode) -> Decode:
	"""From an object, whose names are decoded as well."""

	def decode(value: Any) -> Any:
		if not isinstance(value, dict):
			raise NotDecodable(f"{str(value)[:40]!r} is not an object")
		return {key(name): part(item) for name, item in value.items()}

	return decode


PLAIN = {str, int, bool}
