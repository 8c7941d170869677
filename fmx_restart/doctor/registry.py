"""Named things that register themselves when their module is imported: checks, details, fixes."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
	"""`package`: each module in it is imported before the first question, so a new file needs no second entry."""

	def __init__(self, package: str) -> None:
		self.package = package
		self._things: dict[str, T] = {}

	def add(self, name: str, thing: T) -> None:
		if name in self._things:
			raise ValueError(f"{name} stands twice in {self.package}")
		self._things[name] = thing

	def all(self) -> dict[str, T]:
		"""Sorted by name."""
		import_all(importlib.import_module(self.package))
		return dict(sorted(self._things.items()))


def import_all(package: ModuleType) -> None:
	for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
		importlib.import_module(module.name)
