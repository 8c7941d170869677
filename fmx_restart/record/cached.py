"""Answers that many readers ask for at the same time, kept for some seconds in the site's own part of Frappe's cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import frappe

T = TypeVar("T")
PREFIX = "fmx_restart"


def cached(name: str, seconds: int, make: Callable[[], T]) -> T:
	"""The answer of up to `seconds` ago, else a new one. Must not be None. No other site sees it."""
	key = f"{PREFIX}:{name}"
	value = frappe.cache().get_value(key, expires=True)
	if value is None:
		value = make()
		frappe.cache().set_value(key, value, expires_in_sec=seconds)
	return value


def forget(name: str) -> None:
	frappe.cache().delete_value(f"{PREFIX}:{name}")
