"""
Frozen dataclasses whose functions are made when a class is first used. dataclass(frozen=True) compiles six functions for
each class at once: nearly a millisecond. There are some two hundred such classes, a command uses a few dozen of them, and
a person waits for the first line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields, make_dataclass
from typing import Any, TypeVar

C = TypeVar("C", bound=type)
Thing = TypeVar("Thing")
FUNCTIONS = ("__init__", "__repr__", "__eq__", "__hash__")


def frozen(cls: C) -> C:
	"""As dataclass(frozen=True). Raises TypeError for __post_init__, and for fields that are not given or by name only."""
	# else dataclass makes one of the signature, which takes long as well
	cls.__doc__ = cls.__doc__ or cls.__name__
	dataclass(init=False, repr=False, eq=False)(cls)
	if hasattr(cls, "__post_init__") or any(it.kw_only or not it.init for it in fields(cls)):
		raise TypeError(f"{cls.__name__} has what no frozen class here needs: take a dataclass for it")
	for name in FUNCTIONS:
		setattr(cls, name, made_at_first_use(cls, name))
	cls.__setattr__, cls.__delattr__ = refuse_to_set, refuse_to_delete
	return cls


def changed(thing: Thing, **values: Any) -> Thing:
	"""
	As dataclasses.replace for a frozen class, for a tenth of its time: an operation does so with every process at each look.
	Raises TypeError for a field that there is none of.
	"""
	known = type(thing).__dataclass_fields__
	if unknown := values.keys() - known.keys():
		raise TypeError(f"{type(thing).__name__} has no field {', '.join(sorted(unknown))}")
	new = object.__new__(type(thing))
	vars(new).update({name: value for name, value in vars(thing).items() if name in known}, **values)
	return new


def made_at_first_use(cls: type, name: str) -> Callable:
	"""In place of that function of the class."""

	def function(self: object, *given: Any, **named: Any) -> Any:
		make_functions(cls)
		return getattr(cls, name)(self, *given, **named)

	return function


def make_functions(cls: type) -> None:
	"""Those that dataclass makes for the same fields."""
	same = [(it.name, object, like(it)) for it in fields(cls)]
	twin = make_dataclass(cls.__name__, same, frozen=True)
	twin.__init__.__qualname__ = f"{cls.__qualname__}.__init__"  # errors name it
	for name in FUNCTIONS:
		setattr(cls, name, getattr(twin, name))


def like(it: Any) -> Any:
	"""A field with the same rules."""
	return field(
		default=it.default,
		default_factory=it.default_factory,
		repr=it.repr,
		hash=it.hash,
		compare=it.compare,
	)


def refuse_to_set(self: object, name: str, value: object) -> None:
	"""The `__setattr__` of every frozen class. Raises FrozenInstanceError, as dataclasses do."""
	raise FrozenInstanceError(f"cannot assign to field {name!r}")


def refuse_to_delete(self: object, name: str) -> None:
	"""The `__delattr__` of every frozen class. Raises FrozenInstanceError, as dataclasses do."""
	raise FrozenInstanceError(f"cannot delete field {name!r}")
