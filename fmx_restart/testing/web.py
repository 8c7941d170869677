"""Web and nginx of a bench in memory: what users get follows from the programs that run, but for what a test says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from fmx_restart.engine.errors import OperationError, ProcessFault
from fmx_restart.engine.ports import (
	HostProcess,
	NewWorkers,
	ProcessKind,
	ProcessState,
	WebFault,
	WebMethod,
	WebWay,
)
from fmx_restart.engine.web_answers import Tally, WebAnswers, never
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.testing.settings import InMemorySettings

ADDRESS = "127.0.0.1:8000"
SITE = "one.localhost"
CLOSED = "HTTP 503"
WAITS = "waits"
STRANGER_TEXT = "pid {pid}, a web server of this bench that no process manager runs, listens {how}"


class InMemoryNginx:
	"""`fault`: what its test raises; `refusal`: what the order to reload raises. `reloads`: when it was reloaded."""

	def __init__(self, clock: FakeClock) -> None:
		self.fault: OperationError | None = None
		self.refusal: OperationError | None = None
		self.reloads: list[float] = []
		self._clock = clock

	def test(self) -> None:
		if self.fault:
			raise self.fault

	def reload(self) -> None:
		if self.refusal:
			raise self.refusal
		self.reloads.append(self._clock.now())


WORKERS = 2  # of each web program


class InMemoryWeb:
	"""
	Every web program of `processes` answers while it runs, but for what a test says: `broken` is what is wrong with all
	sites, `sites` what is wrong with single ones (None: nothing), `orphan` listens at the address in place of all
	programs and answers well, `hidden` says why sockets cannot be seen. `named`: sites that someone typed.
	"""

	def __init__(self, processes: InMemoryProcesses, clock: FakeClock) -> None:
		self.broken: str | None = None
		self.sites: dict[str, str | None] = {SITE: None}
		self.named: tuple[str, ...] = ()
		self.orphan: HostProcess | None = None
		self.is_stray = True  # the orphan is a web server of this bench
		self.hidden = ""
		self.web_way = WebWay()
		self.refuses_order = ""  # why an order to linger cannot be given
		self.ordered: list[HostProcess] = []  # masters whose workers were ordered to linger
		self.is_set_up = True  # the next process would take over from old workers
		self.hold_fault = ""  # why requests cannot wait
		self.hands_over = True  # old workers hand over their connections when their master has ended
		self.held: list[HostProcess] = []  # masters from whose end on requests wait
		self.leftovers: list[int] = []  # pids that may still answer while requests are held
		self.others_take = (
			0.0  # seconds from the first new worker that answers to all of them, where old ones linger
		)
		#: pid of a new master → when its first worker was seen to answer
		self._first_answers: dict[int, float] = {}
		self.new_fault = ""  # what new workers answer with, where old ones linger
		self.address = ADDRESS
		self._processes, self._clock = processes, clock
		self._answered: list[str] = []
		self.settings: InMemorySettings | None = None
		self._tally: Tally | None = None  # while it is measured what users get
		self._watched = ""  # the site for which
		self._told: str | None = None  # what users got at the last look
		self._waits_since: float | None = None
		self._is_ordered: Callable[[str], bool] = never
		processes.when_changed = self._note

	def taken(self, families: Collection[Sequence[HostProcess]]) -> WebFault | None:
		return self._taken()

	def begin(self, family: Sequence[HostProcess], is_ordered: Callable[[str], bool] = never) -> None:
		is_up = self._is_served()
		self._answered = [site for site in self.sites if is_up and self._reason(site) is None]
		site = next(iter([*self._answered, *self.sites]))
		self._tally, self._watched, self._is_ordered = Tally(ADDRESS, site=site), site, is_ordered
		self._told = None
		self._note()

	def restart_begins(self) -> None:
		if self._tally:
			self._tally.restart_begins(self._clock.now())

	def ask_seldom(self) -> None:
		"""Nothing is asked here: whatever changes is known at once."""

	def answers(self) -> tuple[WebAnswers, ...]:
		self._note()
		return (self._tally.answers(self._clock.now()),) if self._tally else ()

	def end(self) -> tuple[WebAnswers, ...]:
		answers, self._tally = self.answers(), None
		return answers

	def fault(self, family: Sequence[HostProcess]) -> WebFault | None:
		if self.hidden:
			return None if self._is_served() else WebFault("connection refused", ADDRESS)
		if fault := self._taken():
			return fault
		if not self._runs(family):
			reason = f"its process (pid {family[0].pid}) does not listen yet" if family else "it does not run"
			return WebFault(reason, ADDRESS, SITE)
		faults = {site: self._reason(site) for site in self._answered or self.sites}
		if None in faults.values():
			return None
		site, reason = next(iter(faults.items()))
		return WebFault(reason or "", ADDRESS, site, is_answer=True)

	def unproved(self, family: Sequence[HostProcess]) -> str:
		return self.hidden

	def way(self, family: Sequence[HostProcess]) -> WebWay:
		return self.web_way

	def way_alone(self, family: Sequence[HostProcess]) -> WebWay:
		return WebWay(WebMethod.HOLD, "its manager ends it") if self.web_way.is_lingering else self.web_way

	def order_to_linger(
		self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]
	) -> None:
		if self.refuses_order:
			raise ProcessFault(self.refuses_order)
		self.ordered = [*self.ordered, family[0]]

	def new_workers(self, family: Sequence[HostProcess]) -> NewWorkers | None:
		"""Of a program that took over: up means that all of its workers answer, but for what a test says."""
		old = [*self.ordered, *self.held]
		if not old or not family or family[0] in old:
			return None
		ready = self._ready(family[0].pid) if self._runs(family) and not self.new_fault else 0
		return NewWorkers(ready, WORKERS, (self.new_fault,) if self.new_fault else ())

	def _ready(self, pid: int) -> int:
		now = self._clock.now()
		return WORKERS if now - self._first_answers.setdefault(pid, now) >= self.others_take else 1

	def lingering(self) -> bool:
		return bool(self.ordered) and (bool(self.new_fault) or not self._all_up())

	def may_be_taken_over(self) -> bool:
		return self.is_set_up

	def end_lingering(self) -> None:
		self.ordered = []

	def way_to_hold(self, family: Sequence[HostProcess]) -> WebWay:
		return WebWay(reason=self.hold_fault) if self.hold_fault else WebWay(WebMethod.HOLD)

	def hold_requests(self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]) -> None:
		if self.hold_fault:
			raise ProcessFault(self.hold_fault)
		self.held = [*self.held, family[0]]

	def are_requests_held(self) -> bool:
		return self.hands_over or not self.held

	def old_web(self) -> list[int]:
		return self.leftovers

	def let_requests_go(self) -> None:
		if self.held:
			self._note()
			self.held = []
			self._note()

	def withdraw_orders(self) -> None:
		running = {program.pid for program in self._programs() if is_up(program.state)}
		self.ordered = [master for master in self.ordered if master.pid not in running]

	def broken_sites(self) -> list[WebFault]:
		asked = dict.fromkeys([*self.named, *self._answered])
		return [
			WebFault(reason, ADDRESS, site, is_answer=True)
			for site in asked
			if site in self.sites and (reason := self._reason(site))
		]

	def _reason(self, site: str) -> str | None:
		return self.broken or self.sites[site]

	def _taken(self) -> WebFault | None:
		if self.orphan is None:
			return None
		pid = self.orphan.pid
		return WebFault(
			STRANGER_TEXT.format(pid=pid, how="in its place"),
			ADDRESS,
			is_taken=True,
			is_stray=self.is_stray,
			holder=self.orphan,
			remedy=f"End it: kill {pid} (or bench doctor --fix). Then type bench safe-restart --no-workers.",
		)

	def _runs(self, family: Sequence[HostProcess]) -> bool:
		pids = {process.pid for process in family}
		return any(process.pid in pids and is_up(process.state) for process in self._programs())

	def _is_served(self) -> bool:
		"""By whomever."""
		return self.orphan is not None or bool(self.ordered) or self._all_up()

	def _all_up(self) -> bool:
		return all(is_up(process.state) for process in self._programs())

	def _programs(self) -> tuple[Program, ...]:
		return self._processes.of_kind(ProcessKind.WEB)

	def _note(self) -> None:
		"""A program came up or went down, or may have. Until now users got what they got at the last look."""
		if self._tally is None:
			return
		now, before = self._clock.now(), self._told
		self._told = self._users_get()
		if self._told == WAITS:
			self._waits_since = now if self._waits_since is None else self._waits_since
		elif self._told == "" and self._waits_since is not None:
			self._tally.good(self._waits_since, now)
			self._waits_since = None
		for told in (before, self._told) if before is not None else (self._told,):
			if told == WAITS:
				continue
			if told == "":
				self._tally.good(now, now)
			elif told == CLOSED and self._is_ordered(self._watched):
				self._tally.closed(now)
			else:
				self._tally.failed(now, told)

	def _users_get(self) -> str:
		"""What is wrong with it; empty for a good answer."""
		if not self._is_served():
			return WAITS if self.held and self.hands_over else "connection refused"
		if self.settings and self.settings.files.get(self._watched, {}).get("maintenance_mode"):
			return CLOSED
		return self._reason(self._watched) or ""


def is_up(state: ProcessState) -> bool:
	"""It runs, and does not only start."""
	return state is ProcessState.RUNNING
