"""Fixes: what --fix may do about a finding. Only what is safe, one step at a time, each told before it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.registry import Registry


@dataclass(frozen=True)
class Step:
	text: str  # what will be done, in the imperative: "Put job x back to the front of queue short"
	act: Callable[[], str]  # does it, after one more look whether it is still right; returns what came of it


Fix = Callable[[Patient], Iterable[Step]]
FIXES: Registry[Fix] = Registry("fmx_restart.doctor.fixes")


def fix(name: str) -> Callable[[Fix], Fix]:
	"""@fix("ghost-jobs") above a function that yields steps; findings name it in `fix`."""

	def register(function: Fix) -> Fix:
		FIXES.add(name, function)
		return function

	return register
