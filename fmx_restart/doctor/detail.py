"""
Details: what is shown below the problems, whether anything is wrong or not. Each is a table of plain dataclasses; the
console makes columns of their fields, --json writes them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.registry import Registry

#: For dataclasses.field(metadata=…) of a row: how people read the number. Without one it is shown as it is.
SECONDS: Mapping[str, str] = {"unit": "seconds"}  # a duration
BYTES: Mapping[str, str] = {"unit": "bytes"}
INSTANT: Mapping[str, str] = {"unit": "instant"}  # seconds since the epoch
HIDDEN: Mapping[str, str] = {"unit": "hidden"}  # only in --json

Rows = Callable[[Patient], Iterable[Any]]


@dataclass(frozen=True)
class Detail:
	title: str  # the table's, e.g. "Workers"
	rows: Rows


DETAILS: Registry[Detail] = Registry("fmx_restart.doctor.details")


def detail(name: str, title: str) -> Callable[[Rows], Rows]:
	"""@detail("workers", "Workers") above a function that yields rows, all of one dataclass. No rows, no table."""

	def register(function: Rows) -> Rows:
		DETAILS.add(name, Detail(title, function))
		return function

	return register
