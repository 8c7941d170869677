"""Every supervisord that runs programs of this bench: those that the settings name, and those found on this machine."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

from fmx_restart.adapters.managers.kind import Found, Obstacle, Refusal, Search
from fmx_restart.adapters.managers.names import ADDRESS, SUPERVISOR
from fmx_restart.adapters.managers.supervisor.connection import (
	TIMEOUT,
	UNIX,
	Address,
	Unusable,
	candidates,
	config_files,
	parse_url,
)
from fmx_restart.adapters.managers.supervisor.discovery import (
	ask,
	explain,
	find_supervisor,
	none_named,
	parents_of_processes,
)
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.adapters.managers.supervisor.setting import SupervisorEntry, default_name
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Process

#: Where Frappe Manager's containers share the sockets of their supervisords
SHARED_SOCKETS = "/fm-sockets"
#: Seconds that each further one gets: one that hangs must not delay a bench that another one runs
FURTHER = 2.0


class NamedSupervisor(SupervisorProcesses):
	"""One that belongs to the bench even while it does not answer; then it is told why, and what to do."""

	has_hung = False

	def list(self) -> list[Process]:
		"""Raises ProcessFault, with what to type. After a time-out it gets less time, until it has answered again."""
		try:
			processes = super().list()
		except ProcessFault as fault:
			self._set_patience(has_hung=self.has_hung or isinstance(fault.__cause__, TimeoutError))
			refusal = explain(fault.__cause__, self.address, self._bench.path)
			raise ProcessFault(refusal.message, hint=refusal.hint) from fault
		self._set_patience(has_hung=False)
		return processes

	def _set_patience(self, *, has_hung: bool) -> None:
		if has_hung is not self.has_hung:
			self.has_hung = has_hung
			self.wait_for(min(FURTHER, self.timeout) if has_hung else None)


@frozen
class Places:
	"""Where supervisord is looked for."""

	environ: Mapping[str, str]
	files: tuple[str, ...]  # its configuration files
	sockets: str = SHARED_SOCKETS

	@classmethod
	def usual(cls, bench_path: str) -> Places:
		"""On this machine."""
		return cls(os.environ, tuple(config_files(bench_path)))


def find_supervisors(
	bench_path: str,
	config: Mapping,
	entries: Iterable[SupervisorEntry] = (),
	*,
	places: Places | None = None,
	timeout: float = TIMEOUT,
) -> Search:
	"""
	Those of `entries`, whether they answer or not, then those that run programs of this bench. Where
	fmx_restart_supervisor_url is set and answers, no other is looked for. Raises WrongEnvironment for a setting that
	cannot be used.
	"""
	entries, places = list(entries), places or Places.usual(bench_path)
	named = [named_supervisor(entry, bench_path, timeout) for entry in entries]
	if url := config.get(ADDRESS):
		others, refusals = the_one(bench_path, url, places, timeout)
		if named and not others:
			others = [expected(url, bench_path, timeout)]
	else:
		asker = Asker(bench_path, timeout, known={entry.address.url for entry in entries})
		others, refusals = asker.ask_all(
			candidates(None, places.environ, places.files), list(sockets_in(places.sockets))
		)
	if named and others:
		prints = [it for entry in entries if (it := fingerprint_of(entry.address, bench_path))]
		others = [other for other in others if not is_among(other, prints)]
	found = [*named, *(Found(default_name(other.address), SUPERVISOR, other) for other in others)]
	return Search(tuple(found), tuple(refusals or ([] if found else [none_named(bench_path)])))


def named_supervisor(entry: SupervisorEntry, bench_path: str, timeout: float) -> Found:
	"""Nobody is asked yet."""
	processes = NamedSupervisor(entry.address, bench_path, timeout=timeout, host=entry.host)
	return Found(entry.name, SUPERVISOR, processes, is_named=True)


def the_one(
	bench_path: str, url: object, places: Places, timeout: float
) -> tuple[list[SupervisorProcesses], list[Refusal]]:
	"""By the setting for one supervisord: whatever answers first."""
	try:
		one = find_supervisor(
			bench_path, url=url, environ=places.environ, files=places.files, timeout=timeout
		)
		return [one], []
	except WrongEnvironment as error:
		return [], [Refusal(Obstacle.LOCKED, str(error), error.hint)]


def expected(url: object, bench_path: str, timeout: float) -> NamedSupervisor:
	"""Where others are named too, it does not answer, and they do not stand in for it. Raises WrongEnvironment."""
	address = parse_url(url, f"the setting {ADDRESS}")
	if isinstance(address, Unusable):
		raise WrongEnvironment(f"{address.message}. Nothing was changed.", hint=address.hint)
	return NamedSupervisor(address, bench_path, timeout=timeout)


class Asker:
	"""Asks one place after the other. `known`: URLs that need not be asked, as the settings name them."""

	def __init__(self, bench_path: str, timeout: float, known: Collection[str]) -> None:
		self.bench_path, self.timeout, self.known = bench_path, timeout, known
		self.found: list[SupervisorProcesses] = []
		self.refusals: list[Refusal] = []

	def ask_all(
		self, places: list[Address | Unusable], sockets: list[Address]
	) -> tuple[list[SupervisorProcesses], list[Refusal]]:
		"""
		Each supervisord once, by whichever of its addresses, and why other places do not serve. `sockets`: of the folder that
		this bench's containers share. What does not answer there is one of the bench's all the same.
		"""
		asked = list(dict.fromkeys([*places, *sockets]))
		for place in asked:
			if isinstance(place, Unusable) or place.url not in self.known:
				answer = self._with_time(ask(place, self.bench_path, self._patience()))
				self._take(answer, place if place in sockets else None)
		asked += [Address(url) for url in self.known]
		for answer in parents_of_processes(self.bench_path, asked, self._patience()):
			if isinstance(answer, SupervisorProcesses) or answer.obstacle is Obstacle.LOCKED:
				self._take(self._with_time(answer))  # what else an environment may say is no reason to tell
		return self.found, self.refusals

	def _with_time(self, answer: SupervisorProcesses | Refusal) -> SupervisorProcesses | Refusal:
		"""It has answered: from now on it gets the usual time."""
		if isinstance(answer, SupervisorProcesses):
			answer.wait_for(self.timeout)
		return answer

	def _patience(self) -> float:
		return min(self.timeout, FURTHER) if self.found else self.timeout

	def _take(self, answer: SupervisorProcesses | Refusal, socket: Address | None = None) -> None:
		if isinstance(answer, Refusal):
			if socket and answer.obstacle in (Obstacle.ODD, Obstacle.LOCKED):
				self.found.append(NamedSupervisor(socket, self.bench_path, timeout=self._patience()))
			else:
				self.refusals.append(answer)
		elif is_among(
			answer, [it for one in self.found if (it := fingerprint_of(one.address, self.bench_path))]
		):
			answer.close()
		else:
			self.found.append(answer)


Fingerprint = tuple[int, frozenset[tuple]]


def fingerprint_of(address: Address, bench_path: str) -> Fingerprint | None:
	"""None where it does not answer soon."""
	with closing(SupervisorProcesses(address, bench_path, timeout=FURTHER)) as asked, suppress(ProcessFault):
		return asked.fingerprint()
	return None


def is_among(one: SupervisorProcesses, known: Iterable[Fingerprint]) -> bool:
	"""Whether that supervisord is known by another address: listed twice, each of its programs would be."""
	with suppress(ProcessFault):
		pid, running = one.fingerprint()
		return any(pid == other and (running & its or not (running or its)) for other, its in known)
	return False


def sockets_in(folder: str) -> Iterator[Address]:
	"""By name. Nothing where there is no such folder, or it is closed."""
	with suppress(OSError):
		for path in sorted(Path(folder).glob("*.sock")):
			address = parse_url(f"{UNIX}{path}", folder)
			if path.is_socket() and isinstance(address, Address):
				yield address
