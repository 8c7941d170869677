"""
Site and method in a pickled job, without unpickling it: a few bytes of pickle can take any amount of memory or time, or run
code. Its instructions are followed only as far as text, tuples and mappings go; whatever else they build is unknown.
"""

from __future__ import annotations

import pickletools
import zlib
from itertools import islice
from typing import Any

#: bytes of a pickle, decompressed: site and method come first, arguments may be of any size
LARGEST = 256 << 10
MOST_STEPS = 20_000  # instructions; some hundredths of a second
UNKNOWN = object()


class NoPickle(Exception):
	"""The reason, in a few words without any of the content."""


class Name(str):
	"""The path of a function or class that a pickle refers to; it is not imported."""


def content_of(data: bytes) -> Any:
	"""Text, tuples and mappings of its beginning; UNKNOWN in place of all else. Raises NoPickle."""
	reading, data = Reading(), decompressed(data)
	try:
		for step, argument, _ in islice(pickletools.genops(data), MOST_STEPS):
			if step.name == "STOP":
				return reading.stack.pop()
			reading.follow(step, argument)
	except Exception as error:  # noqa: BLE001  whatever pickletools makes of bytes that are no pickle
		if len(data) < LARGEST:
			raise NoPickle(f"its data is not a pickle ({type(error).__name__})") from None
	return reading.so_far()


def decompressed(data: bytes) -> bytes:
	"""RQ reads both: jobs of old versions are not compressed."""
	try:
		return zlib.decompressobj().decompress(data, LARGEST)
	except zlib.error:
		return data[:LARGEST]


class Reading:
	def __init__(self) -> None:
		self.stack: list[Any] = []
		self.marks: list[int] = []
		self.memo: dict[int, Any] = {}

	def follow(self, step: pickletools.OpcodeInfo, argument: Any) -> None:
		"""Take one step. What a restart needs no name from becomes UNKNOWN; nothing is imported or called."""
		if act := ACTS.get(step.name):
			act(self, argument)
		else:
			self.replace(step)

	def replace(self, step: pickletools.OpcodeInfo) -> None:
		"""Any other instruction: it takes its operands from the stack, and puts something unknown there."""
		taken = step.stack_before
		if pickletools.markobject in taken:
			self.above_mark()
			taken = taken[: taken.index(pickletools.markobject)]
		for _ in taken:
			self.stack.pop()
		self.stack += [UNKNOWN] * len(step.stack_after)

	def above_mark(self) -> list[Any]:
		"""Take what is above the last mark, and the mark. Raises IndexError where there is none."""
		mark = self.marks.pop()
		above, self.stack[mark:] = self.stack[mark:], []
		return above

	def so_far(self) -> Any:
		"""Of a pickle that goes on: what is not complete is closed where it stands."""
		while self.marks:
			items = self.above_mark()
			if not self.stack:
				return tuple(items)
			self.set_items(items[: len(items) // 2 * 2])
		return self.stack.pop() if self.stack else UNKNOWN

	def set_items(self, pairs: list[Any]) -> None:
		"""Put pairs into the mapping on top; keys that are not text are left out."""
		target = self.stack[-1]
		if isinstance(target, dict):
			keys, values = pairs[::2], pairs[1::2]
			target.update((key, value) for key, value in zip(keys, values, strict=True) if type(key) is str)

	def call(self, _argument: Any) -> None:
		"""A call has the name of what is called."""
		self.stack.pop()
		if not isinstance(self.stack[-1], Name):
			self.stack[-1] = UNKNOWN

	def name(self, argument: str) -> None:
		"""A dotted name that the step itself holds, as "module attribute". It stays a name."""
		self.stack.append(Name(".".join(argument.split(" ", 1))))

	def name_on_stack(self, _argument: Any) -> None:
		"""A dotted name whose two parts are on the stack; UNKNOWN where they are not text."""
		attribute, module = self.stack.pop(), self.stack.pop()
		is_known = isinstance(module, str) and isinstance(attribute, str)
		self.stack.append(Name(f"{module}.{attribute}") if is_known else UNKNOWN)

	def tuple_of(self, size: int) -> None:
		"""The upper `size` values become one tuple. Raises NoPickle where there are fewer."""
		items = tuple(self.stack[len(self.stack) - size :])
		if len(items) != size:
			raise NoPickle
		self.stack[len(self.stack) - size :] = [items]

	def pop(self) -> None:
		"""Drop the value on top, or the mark if that is on top."""
		if self.marks and self.marks[-1] == len(self.stack):
			self.marks.pop()
		else:
			self.stack.pop()


def set_item(reading: Reading, _argument: Any) -> None:
	"""One pair for the mapping below it."""
	value, key = reading.stack.pop(), reading.stack.pop()
	reading.set_items([key, value])


def mapping(reading: Reading, _argument: Any) -> None:
	"""A mapping of all pairs above the mark."""
	pairs = reading.above_mark()
	reading.stack.append({})
	reading.set_items(pairs)


def new_with_keywords(reading: Reading, _argument: Any) -> None:
	"""A call with keywords, which are dropped: it has the name of what is called."""
	reading.stack.pop()
	reading.call(None)


def put(reading: Reading, index: int) -> None:
	"""Remember the value on top under a number."""
	reading.memo[index] = reading.stack[-1]


TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")
ACTS = {
	**{kind: lambda reading, text: reading.stack.append(text) for kind in TEXTS},
	**{kind: put for kind in ("PUT", "BINPUT", "LONG_BINPUT")},
	**{
		kind: lambda reading, index: reading.stack.append(reading.memo[index])
		for kind in ("GET", "BINGET", "LONG_BINGET")
	},
	"MEMOIZE": lambda reading, _: put(reading, len(reading.memo)),
	"MARK": lambda reading, _: reading.marks.append(len(reading.stack)),
	"POP": lambda reading, _: reading.pop(),
	"POP_MARK": lambda reading, _: reading.above_mark(),
	"DUP": lambda reading, _: reading.stack.append(reading.stack[-1]),
	"GLOBAL": Reading.name,
	"STACK_GLOBAL": Reading.name_on_stack,
	"REDUCE": Reading.call,
	"NEWOBJ": Reading.call,
	"NEWOBJ_EX": new_with_keywords,
	"BUILD": lambda reading, _: reading.stack.pop(),
	"EMPTY_TUPLE": lambda reading, _: reading.stack.append(()),
	"TUPLE1": lambda reading, _: reading.tuple_of(1),
	"TUPLE2": lambda reading, _: reading.tuple_of(2),
	"TUPLE3": lambda reading, _: reading.tuple_of(3),
	"TUPLE": lambda reading, _: reading.stack.append(tuple(reading.above_mark())),
	"EMPTY_DICT": lambda reading, _: reading.stack.append({}),
	"DICT": mapping,
	"SETITEM": set_item,
	"SETITEMS": lambda reading, _: reading.set_items(reading.above_mark()),
}
