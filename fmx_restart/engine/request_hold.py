"""Requests that wait while a web program is stopped: from its stop until a new worker answers, or it is clear that none will."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Bench, Process
from fmx_restart.engine.replacement import Replacement, Stage

LONGEST_START = 90.0  # seconds from the start of its successor on
TAKES_OVER = (
	10.0  # seconds from the end of a main process on: old workers that hand nothing over by then have gone
)
LAST_REQUESTS = 5.0  # seconds that the start waits for requests which old workers have begun
LONGEST_REQUEST = (
	30.0  # seconds: gunicorn's own limit at a stop. Then they are ended where nothing of them may be left
)


class RequestHold:
	"""
	The replacements of these programs have `keeps_down`: each is released here as soon as the requests for it wait, unless a
	migration holds it down, too.
	"""

	def __init__(self, bench: Bench, emit: Callable[[events.Event], None]) -> None:
		self._bench, self._emit = bench, emit
		self._programs: set[str] = set()  # whose requests wait, or are about to
		self._kept_down: set[str] = set()  # those of them that a migration releases
		self._started_at: dict[str, float] = {}  # when its successor was first seen on its way

	def begin(self, process: Process, *, seconds: float, is_migration: bool = False) -> None:
		"""Before it is stopped. `seconds`: as Web.hold_requests. Raises ProcessFault where its requests cannot wait."""
		bench = self._bench
		logs = bench.processes.log_files(process.name)
		bench.web.hold_requests(bench.host.family(process.local_pid or 0), seconds=seconds, logs=logs)
		self._programs.add(process.name)
		if is_migration:
			self._kept_down.add(process.name)
		self._emit(events.WebRequestsWait(process.name))

	def follow(self, replacements: Iterable[Replacement]) -> None:
		"""At each look at the replacements. Raises ProcessFault."""
		mine = [replacement for replacement in replacements if replacement.old.name in self._programs]
		for replacement in mine:
			if replacement.stage is Stage.DOWN:
				self._follow_down(replacement)
			elif replacement.stage is not Stage.STOPPING:
				self._follow_start(replacement)
		if mine and not self._programs:
			self._bench.web.let_requests_go()

	def end(self) -> None:
		"""However the operation ends."""
		self._programs.clear()
		self._bench.web.let_requests_go()

	def _follow_down(self, replacement: Replacement) -> None:
		waited = self._bench.clock.now() - replacement.started_at
		is_held, host = self._bench.web.are_requests_held(), self._bench.host
		if not is_held and waited > TAKES_OVER:
			self._give_up_down(replacement)
		elif replacement.old.name in self._kept_down:
			if waited > LONGEST_REQUEST:
				host.end(host.alive(replacement.family))
		elif is_held and (waited > LAST_REQUESTS or not host.alive(replacement.family)):
			replacement.release()

	def _give_up_down(self, replacement: Replacement) -> None:
		"""Raises ProcessFault where requests were to wait for a migration: none has begun."""
		reason = "no old worker has handed its connections over"
		self._give_up(replacement, reason)
		if replacement.old.name in self._kept_down:
			raise ProcessFault(f"Requests cannot wait for {replacement.old.name}: {reason}.")
		replacement.release()

	def _follow_start(self, replacement: Replacement) -> None:
		clock, pid = self._bench.clock, replacement.current_pid
		started_at = self._started_at.setdefault(replacement.old.name, clock.now())
		if replacement.stage is Stage.FAILED or replacement.retried_at is not None:
			self._give_up(replacement, "it does not come up")
		elif clock.now() - started_at > LONGEST_START:
			self._give_up(replacement, f"no new worker has answered within {LONGEST_START:.0f} s")
		elif pid not in (None, replacement.old.pid):
			new = self._bench.web.new_workers(self._bench.host.family(pid))
			if new and new.ready:
				self._programs.discard(replacement.old.name)
				seconds = clock.now() - replacement.stopped_at
				self._emit(events.WebRequestsServed(replacement.old.name, seconds))

	def _give_up(self, replacement: Replacement, reason: str) -> None:
		self._programs.discard(replacement.old.name)
		self._emit(events.WebRequestsFail(replacement.old.name, reason))
