"""What the doctor is made of: findings, checks, tables and fixes, each registered where it is written."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.plain_text import escaped


class Severity(str, Enum):
	ERROR = "error"  # something does not work, or jobs are lost or stuck
	WARNING = "warning"  # it works now and will hurt later
	NOTE = "note"  # nothing is wrong; it says what could not be looked at, and no exit code depends on it


@dataclass(frozen=True)
class Finding:
	"""One thing that is wrong. No job's arguments and no passwords in any of its texts."""

	check: str  # the check's name; pages/<check>.md tells what it means
	severity: Severity
	subject: str  # the site, queue, worker or program that it is about; "" for the bench
	text: str  # what is wrong, in one sentence
	remedy: str  # the command to type
	fix: str = ""  # the name of a fix that --fix can apply; "" for none

	def __post_init__(self) -> None:
		"""Names that other programs chose stand in these texts: a terminal, JSON and a database must be able to take them."""
		for name in ("subject", "text", "remedy"):
			object.__setattr__(self, name, escaped(getattr(self, name), "\n"))


T = TypeVar("T")


class Registry(Generic[T]):
	"""`package`: each module in it is imported before the first question, so a new file needs no second entry."""

	def __init__(self, package: str) -> None:
		self.package = package
		self._things: dict[str, T] = {}

	def add(self, name: str, thing: T) -> None:
		"""Raises ValueError for a name that is taken."""
		if name in self._things:
			raise ValueError(f"{name} stands twice in {self.package}")
		self._things[name] = thing

	def all(self) -> dict[str, T]:
		"""Sorted by name."""
		import_all(importlib.import_module(self.package))
		return dict(sorted(self._things.items()))


def import_all(package: ModuleType) -> None:
	"""Import each module of a package: this is when checks, tables and fixes enter their registry."""
	for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
		importlib.import_module(module.name)


Check = Callable[[BenchView], Iterable[Finding]]
CHECKS: Registry[Check] = Registry("fmx_restart.doctor.checks")


def check(name: str) -> Callable[[Check], Check]:
	"""
	@check("ghost-jobs") above a function registers it. Its findings carry that name, and pages/<name>.md says what
	they mean. It changes nothing, raises what it cannot handle (examine.py makes a finding of it), and says nothing
	where it does not apply.
	"""

	def register(function: Check) -> Check:
		CHECKS.add(name, function)
		return function

	return register


#: For dataclasses.field(metadata=…) of a row: how people read the number. Without one it is shown as it is.
SECONDS: Mapping[str, str] = {"unit": "seconds"}  # a duration
BYTES: Mapping[str, str] = {"unit": "bytes"}
INSTANT: Mapping[str, str] = {"unit": "instant"}  # seconds since the epoch
HIDDEN: Mapping[str, str] = {"unit": "hidden"}  # only in --json

Rows = Callable[[BenchView], Iterable[Any]]


@dataclass(frozen=True)
class Detail:
	title: str  # the table's, e.g. "Workers"
	rows: Rows


DETAILS: Registry[Detail] = Registry("fmx_restart.doctor.checks")


def detail(name: str, title: str) -> Callable[[Rows], Rows]:
	"""@detail("workers", "Workers") above a function that yields rows, all of one dataclass. No rows, no table."""

	def register(function: Rows) -> Rows:
		DETAILS.add(name, Detail(title, function))
		return function

	return register


@dataclass(frozen=True)
class Step:
	text: str  # what will be done, in the imperative: "Put job x back to the front of queue short"
	act: Callable[[], str]  # does it, after one more look whether it is still right; returns what came of it


Fix = Callable[[BenchView], Iterable[Step]]
FIXES: Registry[Fix] = Registry("fmx_restart.doctor.checks")


def fix(name: str) -> Callable[[Fix], Fix]:
	"""@fix("ghost-jobs") above a function that yields steps; findings name it in `fix`."""

	def register(function: Fix) -> Fix:
		FIXES.add(name, function)
		return function

	return register


def write_for_administrator(file: Path, text: str) -> None:
	"""Raises WrongEnvironment; half a file that could be copied into /etc does not stay."""
	try:
		file.parent.mkdir(parents=True, exist_ok=True)
		file.write_text(text)
	except OSError as error:
		with suppress(OSError):
			file.unlink(missing_ok=True)
		raise WrongEnvironment(
			f"{file} cannot be written: {error.strerror}. Nothing else was changed.",
			hint="Check the free space and the owner of the folder.",
		) from error
