"""When each program is told to start: web first, then as many at once as the machine has processors for, or one less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fmx_restart.engine.ports import Bench, ProcessKind
from fmx_restart.engine.replacement import Order, Replacement, Stage

FIRST_TO_LAST = (
	ProcessKind.WEB,  # people wait for it
	ProcessKind.WORKER,
	ProcessKind.OTHER,
	ProcessKind.SOCKETIO,  # open pages wait for it, and the scheduler for minutes anyway
	ProcessKind.SCHEDULER,
)
AHEAD = 1.0  # seconds after its stop order for which a place is kept for one that is to start before others
IDLE_FOR = 0.15  # seconds for which a program waits for something other than a processor once it has booted
BOOTS_FOR = 5.0  # seconds that a boot keeps the others back at most: one that serves at once is never idle


class Starts:
	"""
	Processes that boot at the same time share the processors, and web is then back when the last of them is. So a start
	waits while others of this machine boot, but that of web, which waits for nothing.
	"""

	def __init__(self, bench: Bench) -> None:
		self._bench = bench
		self.spares_one = False  # a processor is left to the workers that run jobs meanwhile
		self._idle_since: dict[str, float] = {}  # program → when its new process was first seen idle
		self._admitted_at: dict[str, float] = {}  # program → when its start was let through
		self._booted: set[str] = set()  # programs
		self._is_limited = True
		self.held_back: list[Replacement] = []  # those that the last look let wait

	def spare_one(self) -> None:
		"""
		From now on leave a processor, where there are several, to the workers that run jobs meanwhile: Frappe lowers the
		priority of these, so that any two processes that boot would take nearly all of two processors from them.
		"""
		self.spares_one = True

	def let_all(self) -> None:
		"""From now on nothing waits: whatever else goes wrong, no program may stay down."""
		self._is_limited = False

	def note_booted(self, name: str) -> None:
		"""This program has proved it: one that serves at once is hardly ever idle."""
		self._booted.add(name)

	def has_booted(self, name: str) -> bool:
		"""Whether this program was noted so."""
		return name in self._booted

	def admitted(self, replacements: Iterable[Replacement]) -> list[Replacement]:
		"""Those whose next order may be given now."""
		replacements = list(replacements)
		waiting = [replacement for replacement in replacements if self._may_wait(replacement)]
		if not waiting:  # to look who boots reads the process table, while that boots
			self.held_back = []
			return replacements
		others = [replacement for replacement in replacements if replacement not in waiting]
		room = max(0, self._most() - sum(map(self.boots, others)))
		places = in_order([*waiting, *filter(self._is_next, others)])[:room]
		self._admitted_at |= {it.old.name: self._bench.clock.now() for it in waiting if it in places}
		self.held_back = [replacement for replacement in waiting if replacement not in places]
		return [replacement for replacement in replacements if replacement not in self.held_back]

	def _most(self) -> int:
		"""How many boot at once."""
		return max(1, self._bench.host.processors - self.spares_one)

	def _may_wait(self, replacement: Replacement) -> bool:
		is_here = not replacement.old.host
		is_start = replacement.order is Order.START and not replacement.attempts
		return self._is_limited and is_here and is_start and replacement.old.kind is not ProcessKind.WEB

	def _is_next(self, replacement: Replacement) -> bool:
		"""It was just told to stop, and will soon be down: whoever is down before it may have to start after it."""
		waited = self._bench.clock.now() - replacement.stopped_at
		is_here = not replacement.old.host and not replacement.keeps_down
		return self._is_limited and is_here and replacement.stage is Stage.STOPPING and waited < AHEAD

	def boots(self, replacement: Replacement) -> bool:
		"""Whether its new process still needs a processor of this machine to come up, or was just told to start."""
		name = replacement.old.name
		is_new = replacement.stage in (Stage.STARTING, Stage.UP) and name not in self._booted
		if replacement.old.host or not is_new:
			return False
		now = self._bench.clock.now()
		if now - self._admitted_at.get(name, replacement.started_at) > BOOTS_FOR:
			return False
		if self._is_at_work(replacement):
			self._idle_since.pop(name, None)
			return True
		return now - self._idle_since.setdefault(name, now) < IDLE_FOR

	def _is_at_work(self, replacement: Replacement) -> bool:
		"""Web may load the application in processes below its own. A worker's are its jobs, and none of its boot."""
		pid, host = replacement.current_pid, self._bench.host
		if replacement.order is Order.START or pid is None:
			return True
		is_web = replacement.old.kind is ProcessKind.WEB and not replacement.old.runs_jobs
		pids = [process.pid for process in host.family(pid)] if is_web else [pid]
		return any(map(host.is_runnable, pids))


def in_order(replacements: Iterable[Replacement]) -> list[Replacement]:
	"""Of programs that differ in a number at the end, one of each comes before the second of any."""
	seen: Counter[str] = Counter()
	places = {}
	for replacement in replacements:
		stem = replacement.old.name.rstrip("0123456789")
		places[replacement] = (FIRST_TO_LAST.index(replacement.old.kind), seen[stem])
		seen[stem] += 1
	return sorted(places, key=places.__getitem__)
