"""A web server that exists only in this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fmx_restart.adapters.in_memory.clock import FakeClock
from fmx_restart.adapters.in_memory.processes import InMemoryProcesses, Program
from fmx_restart.engine.ports import HostProcess, ProcessKind, ProcessState, WebFault

ADDRESS = "127.0.0.1:8000"
SITE = "one.localhost"
STRANGER_TEXT = "pid {pid}, a web server of this bench that no process manager runs, listens {how}"


class InMemoryWeb:
	"""
	Every web program of `processes` answers while it runs, but for what a test says: `broken` is what is wrong with all
	sites, `sites` what is wrong with single ones (None: nothing), `orphan` listens at the address in place of all
	programs and answers well, `hidden` says why sockets cannot be seen. `named`: sites that somebody typed.
	"""

	def __init__(self, processes: InMemoryProcesses, clock: FakeClock) -> None:
		self.broken: str | None = None
		self.sites: dict[str, str | None] = {SITE: None}
		self.named: tuple[str, ...] = ()
		self.orphan: HostProcess | None = None
		self.is_stray = True  # the orphan is a web server of this bench
		self.hidden = ""
		self.address = ADDRESS
		self._processes, self._clock = processes, clock
		self._answered: list[str] = []
		self._watched_since: float | None = None
		self._silent_since: float | None = None  # while it is watched
		self._silence = 0.0  # seconds
		processes.when_changed = self._note

	def taken(self, families: Collection[Sequence[HostProcess]]) -> WebFault | None:
		return self._taken()

	def begin(self, family: Sequence[HostProcess]) -> None:
		is_up = self._is_served()
		self._answered = [site for site in self.sites if is_up and self._reason(site) is None]

	def watch(self) -> None:
		self._watched_since, self._silent_since, self._silence = self._clock.now(), None, 0.0
		if not self._is_served() or self.broken:
			self._watched_since = None

	def outage(self) -> float | None:
		self._note()
		is_known = self._watched_since is not None and self._silent_since is None
		self._watched_since = None
		return self._silence if is_known else None

	def fault(self, family: Sequence[HostProcess]) -> WebFault | None:
		if self.hidden:
			return None if self._is_served() else WebFault("connection refused", ADDRESS)
		if fault := self._taken():
			return fault
		if not self._runs(family):
			reason = f"its process (pid {family[0].pid}) listens nowhere yet" if family else "it does not run"
			return WebFault(reason, ADDRESS, SITE)
		faults = {site: self._reason(site) for site in self._answered or self.sites}
		if None in faults.values():
			return None
		site, reason = next(iter(faults.items()))
		return WebFault(reason or "", ADDRESS, site, is_answer=True)

	def unproved(self, family: Sequence[HostProcess]) -> str:
		return self.hidden

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
		return self.orphan is not None or all(is_up(process.state) for process in self._programs())

	def _programs(self) -> tuple[Program, ...]:
		return self._processes.of_kind(ProcessKind.WEB)

	def _note(self) -> None:
		"""A program came up or went down."""
		if self._watched_since is None:
			return
		now, is_served = self._clock.now(), self._is_served() and not self.broken
		if not is_served and self._silent_since is None:
			self._silent_since = now
		elif is_served and self._silent_since is not None:
			self._silence += now - self._silent_since
			self._silent_since = None


def is_up(state: ProcessState) -> bool:
	return state is ProcessState.RUNNING
