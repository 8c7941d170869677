"""Notice when the clock on Redis' wall is set: by it Redis lets keys expire, and RQ's records carry its time."""

from __future__ import annotations

MARGIN = 1.0  # seconds; clocks are also corrected little by little


class ClockSteps:
	"""`forward`: seconds by which it was set forward since the first note, in sum."""

	def __init__(self) -> None:
		self.forward = 0.0
		self._earliest: float | None = None
		self._latest = 0.0

	def note(self, time: float, before: float, after: float) -> float:
		"""
		`time`: what Redis' clock showed at some moment between `before` and `after` on ours, which nobody can set. Returns by
		how much it was set since the last note; negative for back, 0 for not at all.
		"""
		earliest, latest = time - after, time - before
		step = 0.0
		if self._earliest is not None:
			step = max(earliest - self._latest, 0.0) + min(latest - self._earliest, 0.0)
		self._earliest, self._latest = earliest, latest
		if abs(step) <= MARGIN:
			return 0.0
		self.forward += max(step, 0.0)
		return step
