"""socketio is restarted when web is back, and what is published for browsers meanwhile is kept for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.engine.replacement import Replacement, Stage

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation
	from fmx_restart.engine.steps.web import WebCheck


#: Seconds for which they wait at most for a web that does not answer: then they must be new, too, within Verify
WEB_ANSWERS = 60.0


class Companions:
	"""
	Of web, which run on until web answers. socketio asks web who a browser is. A browser that it refuses, because web does
	not answer, does not come back by itself; and Frappe's gives up after three attempts to connect, 4 to 9 s.
	"""

	def __init__(self, operation: Operation, replacements: list[Replacement], check: WebCheck) -> None:
		self.operation, self.realtime, self.check = operation, operation.bench.realtime, check
		self.until = operation.bench.clock.now() + WEB_ANSWERS
		self.web = [replacement for replacement in replacements if replacement.old.kind is ProcessKind.WEB]
		# a worker that reloads in place waits for nothing of web
		self.waiting = [it for it in replacements if it.stage is Stage.WAITING and it.needs_manager]
		self.has_told = self.is_settled = not self.waiting

	def follow(self) -> None:
		"""Begin with them as soon as web answers, or has failed; from then on look who hears what is published."""
		if not self.waiting and not self.is_settled:
			self.is_settled = self.realtime.is_settled()
		if self.waiting and self._is_web_back():
			self.operation.bench.notices.back()
			if any(replacement.old.kind is ProcessKind.SOCKETIO for replacement in self.waiting):
				self.realtime.keep()
			for replacement in self.waiting:
				replacement.begin()
			self.waiting = []

	def _is_web_back(self) -> bool:
		"""Once one of its new workers answers: the others may still boot for seconds, where the processors are busy."""
		if any(replacement.stage in (Stage.STOPPING, Stage.DOWN) for replacement in self.web):
			return False
		if all(self.operation.starts.has_booted(replacement.old.name) for replacement in self.web):
			return True
		return self.check.are_programs_settled() or self.operation.bench.clock.now() > self.until

	def is_done(self) -> bool:
		"""They are told to stop, and what was published meanwhile is with the browsers, as far as that can be."""
		if self.waiting or not self.is_settled:
			return False
		self._tell()
		return True

	def _tell(self) -> None:
		if self.has_told:
			return
		self.has_told, result = True, self.realtime.result()
		if result.sent or result.dropped:
			self.operation.emit(events.LiveMessagesSent(result.sent, result.dropped))
		if result.refusal:
			self.operation.emit(events.LiveMessagesNotKept(result.refusal))
