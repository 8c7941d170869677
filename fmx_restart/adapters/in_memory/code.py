"""Code that exists only as what is wrong with it."""

from __future__ import annotations

from fmx_restart.adapters.in_memory.clock import FakeClock
from fmx_restart.engine.ports import CodeFault


class InMemoryCode:
	"""`broken` and `broken_web` are found by the first and the second part of a check, so many seconds after its start."""

	def __init__(self, clock: FakeClock) -> None:
		self.broken: list[CodeFault] = []
		self.broken_web: list[CodeFault] = []
		self.takes, self.web_takes = 0.05, 4.0
		self.no_room = False
		self.checks = 0
		self._clock = clock
		self._began: float | None = None
		self._is_ended = True

	def start_check(self) -> None:
		if self.no_room:
			raise OSError("Cannot allocate memory")
		self.checks += 1
		self._began, self._is_ended = self._clock.now(), False

	def faults(self) -> list[CodeFault] | None:
		if self._began is None or not self._is_past(self.takes):
			return None
		return self.broken + (self.broken_web if self._is_past(self.web_takes) else [])

	def is_checked(self) -> bool:
		return self._is_ended or self._is_past(self.web_takes)

	def end_check(self) -> None:
		self._is_ended = True

	def _is_past(self, seconds: float) -> bool:
		return self._began is not None and self._clock.now() - self._began >= seconds
