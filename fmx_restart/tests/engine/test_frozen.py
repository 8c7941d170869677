"""Frozen classes beside the dataclasses that they stand for."""

from __future__ import annotations

import copy
import pickle
import unittest
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import ClassVar

from fmx_restart.engine.frozen import changed, frozen


def declared(make: Callable[[type], type]) -> type:
	"""The same class, made anew by `make`."""

	class Thing:
		kind: ClassVar[str] = "thing"

		name: str
		size: int = 3
		parts: list[str] = field(default_factory=list)
		secret: str = field(default="", repr=False)
		source: str = field(default="", compare=False)

	return make(Thing)


Thing = declared(frozen)
Twin = declared(dataclass(frozen=True))


@frozen
class Child(Thing):
	"""With a field of its own."""

	more: int = 0


CALLS = (
	((), {}),
	(("a",), {}),
	(("a", 1, ["x"], "s", "from"), {}),
	(("a", 1, ["x"], "s", "from", "too many"), {}),
	((), {"name": "a", "source": "elsewhere"}),
	(("a",), {"size": 4}),
	(("a",), {"name": "twice"}),
	(("a", 1), {"size": 1}),
	(("a",), {"unknown": 1}),
	((), {"size": 4}),
	((), {"size": 4, "unknown": 1}),
)


class TestFrozen(unittest.TestCase):
	def test_it_takes_and_refuses_what_a_dataclass_takes_and_refuses(self):
		for given, named in CALLS:
			with self.subTest(given=given, named=named):
				expected = told(Twin, given, named)
				self.assertEqual(told(Thing, given, named), expected)

	def test_it_is_equal_and_hashes_by_the_fields_that_count(self):
		for one, other in (
			({}, {}),
			({"size": 1}, {"size": 2}),
			({"source": "x"}, {"source": "y"}),
			({"secret": "x"}, {}),
		):
			same = Twin("a", parts=(), **one) == Twin("a", parts=(), **other)
			left, right = Thing("a", parts=(), **one), Thing("a", parts=(), **other)
			self.assertEqual(left == right, same)
			self.assertEqual(hash(left) == hash(right), same)
		self.assertNotEqual(Thing("a"), Twin("a"))
		self.assertNotEqual(Thing("a"), Child("a"))
		with self.assertRaises(TypeError):
			hash(Thing("a", parts=["a list has no hash"]))

	def test_what_comes_from_elsewhere_is_equal_also_before_the_first_is_made_here(self):
		@frozen
		class Elsewhere:
			name: str

		first, second = object.__new__(Elsewhere), object.__new__(Elsewhere)  # as pickle and copy make them
		vars(first).update(name="a")
		vars(second).update(name="a")
		self.assertEqual(first, second)
		self.assertEqual(hash(first), hash(Elsewhere("a")))

	def test_defining_a_class_compiles_nothing(self):
		# Given the functions of a class that nobody has used
		@frozen
		class Unused:
			name: str

		before = Unused.__init__
		# Then they are made with the first instance
		self.assertEqual(Unused("a").name, "a")
		self.assertIsNot(Unused.__init__, before)
		self.assertEqual(before.__code__.co_filename, frozen.__code__.co_filename)

	def test_nothing_of_it_can_be_changed(self):
		thing = Thing("a")
		with self.assertRaises(FrozenInstanceError):
			thing.name = "b"
		with self.assertRaises(FrozenInstanceError):
			thing.other = "b"
		with self.assertRaises(FrozenInstanceError):
			del thing.name
		self.assertEqual(thing, Thing("a"))

	def test_a_default_that_can_change_is_made_for_each(self):
		first, second = Thing("a"), Thing("a")
		first.parts.append("x")
		self.assertEqual(second.parts, [])

	def test_the_rest_of_dataclasses_works_with_it(self):
		thing, twin = Thing("a", parts=["x"]), Twin("a", parts=["x"])
		self.assertEqual([it.name for it in fields(thing)], [it.name for it in fields(twin)])
		self.assertEqual(asdict(thing), asdict(twin))
		self.assertEqual(asdict(replace(thing, size=9)), asdict(replace(twin, size=9)))
		self.assertEqual((thing.kind, Child("a", more=2).more), ("thing", 2))
		match Child("a", 5):
			case Child(name, size):
				self.assertEqual((name, size), ("a", 5))
		self.assertEqual(copy.deepcopy(thing), thing)
		child = Child("a", more=2)
		self.assertEqual(pickle.loads(pickle.dumps(child)), child)

	def test_one_with_other_values_is_what_dataclasses_would_make_of_it(self):
		class Counted:
			name: str
			size: int = 0

			@cached_property
			def length(self) -> int:
				return len(self.name)

		Counted = frozen(Counted)
		given = Counted("a", 1)
		self.assertEqual((given.length, changed(given, name="long").length), (1, 4))
		for values in ({}, {"size": 2}, {"name": "b", "size": 2}):
			self.assertEqual(changed(given, **values), replace(given, **values))
		self.assertEqual(given, Counted("a", 1))
		with self.assertRaises(TypeError):
			changed(given, colour="red")

	def test_it_shows_what_a_dataclass_shows_and_no_secret(self):
		thing = Thing("a", secret="hidden")
		self.assertEqual(repr(thing), repr(Twin("a", secret="hidden")))
		self.assertNotIn("hidden", repr(thing))

	def test_what_it_does_not_know_it_refuses(self):
		class Checked:
			name: str

			def __post_init__(self) -> None:
				raise AssertionError("never")

		class ByNameOnly:
			name: str = field(kw_only=True)

		class NotGiven:
			name: str = field(init=False)

		for cls in (Checked, ByNameOnly, NotGiven):
			with self.assertRaises(TypeError):
				frozen(cls)


def told(cls: type, given: tuple, named: dict) -> object:
	"""Its fields, or that it was refused."""
	try:
		return vars(cls(*given, **named))
	except TypeError:
		return TypeError
