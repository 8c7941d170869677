"""What the engine needs of the bench's live messages: those that Frappe publishes for browsers, through socketio."""

from __future__ import annotations

from typing import Protocol

from fmx_restart.engine.frozen import frozen


@frozen
class LiveMessages:
	"""What became of those that were published while nobody heard them."""

	sent: int = 0  # published once more
	dropped: int = 0  # too many to keep
	refusal: str = ""  # why none were kept, or sent; goes on after "because"


class Realtime(Protocol):
	"""Kept from the moment when socketio hears nothing any more until browsers are back. No call raises, or takes long."""

	def keep(self) -> None:
		"""Right before socketio is told to stop."""

	def is_settled(self) -> bool:
		"""Look once. True when nothing more will come: all that was kept is published once more, or that is given up."""

	def hears_again(self) -> bool:
		"""By the last look: socketio heard nothing any more, and hears again. False where nobody can know it."""

	def result(self) -> LiveMessages:
		"""Once it is settled."""

	def end(self) -> None:
		"""Keep nothing any more. Does nothing where that is so already."""


class Notices(Protocol):
	"""What every open page of Desk is told, on all sites of the bench. No call raises, or takes long."""

	def pause(self) -> str:
		"""Web is about to stop, and requests will fail for a moment. Returns why nobody can be told; empty where they are."""

	def back(self) -> None:
		"""Web answers again."""


class NoNotices:
	"""Where nobody is told."""

	def pause(self) -> str:
		return ""

	def back(self) -> None:
		pass


class NoRealtime:
	"""Where live messages are not kept: those that are published while socketio is away are lost."""

	def keep(self) -> None:
		pass

	def is_settled(self) -> bool:
		return True

	def hears_again(self) -> bool:
		return False

	def result(self) -> LiveMessages:
		return LiveMessages()

	def end(self) -> None:
		pass
