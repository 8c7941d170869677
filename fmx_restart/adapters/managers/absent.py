"""The process manager that could not be found: what needs none is done without it, and a recovery is tried again."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.ports import LogTail, ManagerSettings, Process


class AbsentManager:
	def __init__(self, error: WrongEnvironment) -> None:
		self.error = error

	def list(self) -> list[Process]:
		self._refuse()

	def order(
		self, *, stop: Collection[str] = (), start: Collection[str] = (), leave: Collection[str] = ()
	) -> dict[str, ProcessFault]:
		self._refuse()

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		self._refuse()

	def check_orders(self, names: Collection[str]) -> None:
		self._refuse()

	def mark_log(self, name: str) -> None:
		"""There is nobody to ask where the log is."""

	def log_tail(self, name: str) -> str:
		return ""

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		self._refuse()

	def log_files(self, name: str) -> tuple[str, str]:
		return "", ""

	def settings(self) -> ManagerSettings | None:
		self._refuse()

	def start_command(self, names: Collection[str]) -> str:
		self._refuse()

	def status_command(self) -> str:
		return "bench safe-restart status"

	def setup_command(self) -> str:
		return "bench setup"

	def _refuse(self) -> NoReturn:
		raise ProcessFault(str(self.error), hint=self.error.hint)
