"""The doctor beside an operation: a few cheap checks in a thread, so that nobody waits for him."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from fmx_restart.doctor import PREFLIGHT
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.runner import FAILED
from fmx_restart.doctor.words import error_name
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.ports import Trouble


class BackgroundExamination:
	def __init__(self, examine: Callable[[Collection[str]], Examination]) -> None:
		self._examine = examine
		self._thread: threading.Thread | None = None
		self._troubles: list[Trouble] | None = None

	def troubles(self) -> list[Trouble] | None:
		if self._thread is None:
			self._thread = threading.Thread(target=self._look, name="doctor", daemon=True)
			self._thread.start()
		return self._troubles

	def _look(self) -> None:
		try:
			findings = self._examine(PREFLIGHT).findings
		except OperationError:  # the operation meets the same, and tells it better
			findings = ()
		except Exception as error:  # noqa: BLE001 - it must not end in a traceback across the operation's own lines
			text = f"The doctor could not examine this bench ({error_name(error)})."
			self._troubles = [Trouble(FAILED, text, "bench doctor")]
			return
		self._troubles = [
			Trouble(finding.check, finding.text, finding.remedy)
			for finding in findings
			if finding.check in PREFLIGHT
		]
