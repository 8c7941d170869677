"""A mailbox that exists only in this process."""

from __future__ import annotations

from dataclasses import dataclass, field

from fmx_restart.engine.ports import Mail, Request


@dataclass
class InMemoryRequests:
	waiting: list[Request] = field(default_factory=list)
	unreadable: list[str] = field(default_factory=list)  # what others put there: why it cannot be read

	def take(self) -> Mail:
		mail = Mail(tuple(self.waiting), tuple(self.unreadable))
		self.waiting.clear()
		self.unreadable.clear()
		return mail

	def put(self, request: Request) -> None:
		self.waiting.append(request)
