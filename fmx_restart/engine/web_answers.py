"""What users get from web while an operation runs: answers, none, or the page of a closed site. One owner for that account."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from fmx_restart.engine.frozen import frozen

NOT_YET = "no answer yet"
WAITS_FOR = 1.0  # seconds: a request that waits for longer when the measuring ends counts as not answered


@frozen
class WebAnswers:
	"""What users got at one address, since the preflight. Durations are seconds."""

	address: str
	through: str = "web"  # or the proxy in front of it
	site: str = ""  # for which site it was asked
	requests: int = 0  # that ended, well or not
	slowest: float | None = None  # of the good answers; None where there was none
	unanswered: float = 0.0  # from the last good answer to the next one, in sum
	longest: float = 0.0  # of these times, if there were several
	reason: str = ""  # why there was no answer, the last time
	closed: float = 0.0  # by maintenance mode that the operation itself ordered
	unmeasured: float = 0.0  # the operation's process was stopped or starved, and nobody knows
	before: str = ""  # why it did not answer before the restart; empty where it did
	silence: float = 0.0  # for how long there has been no answer until now; 0 where the last one was good
	answers_now: bool = False

	@property
	def is_flawless(self) -> bool:
		"""Every answer that was measured was good."""
		return self.slowest is not None and not (self.unanswered or self.closed or self.before)


def never(site: str) -> bool:
	"""No site is closed by the operation."""
	return False


def outage(answers: Iterable[WebAnswers]) -> float | None:
	"""The longest sum of seconds without an answer at any address; None where nobody knows one."""
	known = [answer for answer in answers if answer.slowest is not None]
	return max((answer.unanswered for answer in known), default=None)


class Answer(Enum):
	"""What the last request got."""

	UNKNOWN = "unknown"  # none has ended yet
	BEFORE = "before"  # none, as before the restart: not the restart's doing
	GOOD = "good"
	CLOSED = "closed"  # by maintenance mode that the operation ordered
	NONE = "none"


class Tally:
	"""
	The account of one address. Moments are seconds on a clock that never jumps. Time counts as unanswered from the last good
	answer on, so a request that fails costs at least the time since then.
	"""

	def __init__(self, address: str, *, site: str = "", through: str = "web") -> None:
		self._address, self._site, self._through = address, site, through
		self._last_answer, self._last = Answer.UNKNOWN, 0.0  # and until when all time is accounted for
		self._restart_at: float | None = None
		self._requests, self._slowest = 0, None
		self._unanswered = self._longest = self._silence = self._closed = self._unmeasured = 0.0
		self._reason = self._before = ""

	@property
	def is_closed(self) -> bool:
		"""The last answer said that the site is closed, as the operation ordered."""
		return self._last_answer is Answer.CLOSED

	def good(self, sent: float, at: float) -> None:
		"""A whole answer came for the request of that moment."""
		self._requests += 1
		if self._restart_at is None or sent < self._restart_at:
			self._before = ""  # it was only slow, or was just starting
		self._pass(at, Answer.GOOD)
		self._slowest = max(self._slowest or 0.0, at - sent)

	def closed(self, at: float) -> None:
		"""The site is in maintenance mode, as the operation ordered."""
		self._requests += 1
		self._pass(at, Answer.CLOSED)

	def failed(self, at: float, reason: str) -> None:
		"""No answer, or an error in place of one."""
		self._requests += 1
		self._reason = reason
		if self._last_answer in (Answer.UNKNOWN, Answer.BEFORE):
			self._last_answer = Answer.BEFORE
			self._before = reason if self._before in ("", NOT_YET) else self._before
			return
		self._pass(at, Answer.NONE)

	def skip(self, began: float, ended: float) -> None:
		"""Nobody measured in between: whoever measures did not run."""
		if self._last < began and self._last_answer is not Answer.UNKNOWN:
			self._pass(began, self._last_answer)
		self._last = ended
		self._unmeasured += ended - began

	def restart_begins(self, at: float) -> None:
		"""What does not answer now did not answer before. Only the first call counts."""
		if self._restart_at is not None:
			return
		self._restart_at = at
		if self._last_answer in (Answer.UNKNOWN, Answer.NONE):
			self._before = self._reason or NOT_YET
			self._last_answer, self._silence = Answer.BEFORE, 0.0

	def end(self, at: float, sent: float | None) -> None:
		"""`sent`: when the request was sent that still waits for its answer, if one does."""
		if sent is not None and at - sent > WAITS_FOR:
			self.failed(at, f"no answer within {at - sent:.0f} s")

	def answers(self, now: float) -> WebAnswers:
		"""The account until now."""
		silence = self._silence + max(0.0, now - self._last) if self._last_answer is Answer.NONE else 0.0
		return WebAnswers(
			address=self._address,
			through=self._through,
			site=self._site,
			requests=self._requests,
			slowest=self._slowest,
			unanswered=self._unanswered + silence,
			longest=max(self._longest, silence),
			reason=self._reason,
			closed=self._closed,
			unmeasured=self._unmeasured,
			before=self._before,
			silence=silence,
			answers_now=self._last_answer in (Answer.GOOD, Answer.CLOSED),
		)

	def _pass(self, at: float, answer: Answer) -> None:
		"""The time since the last answer is accounted for; this answer is the last one now."""
		elapsed, kinds = max(0.0, at - self._last), (self._last_answer, answer)
		if Answer.UNKNOWN not in kinds and Answer.BEFORE not in kinds:
			if Answer.NONE in kinds:
				self._silence += elapsed
			elif Answer.CLOSED in kinds:
				self._closed += elapsed
		if answer is not Answer.NONE:
			self._unanswered += self._silence
			self._longest, self._silence = max(self._longest, self._silence), 0.0
		self._last_answer, self._last = answer, at
