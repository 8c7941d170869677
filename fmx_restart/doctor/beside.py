"""The doctor beside an operation: a few cheap checks in a thread, so that nobody waits for him."""

from __future__ import annotations

import threading

from fmx_restart.doctor import PREFLIGHT, examine
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.ports import Trouble


class DoctorBeside:
	def __init__(self) -> None:
		self._thread: threading.Thread | None = None
		self._found: list[Trouble] | None = None

	def troubles(self) -> list[Trouble] | None:
		if self._thread is None:
			self._thread = threading.Thread(target=self._look, name="doctor", daemon=True)
			self._thread.start()
		return self._found

	def _look(self) -> None:
		try:
			findings = examine(PREFLIGHT).findings
		except OperationError:  # the operation meets the same, and tells it better
			findings = ()
		self._found = [
			Trouble(found.check, found.text, found.remedy) for found in findings if found.check in PREFLIGHT
		]
