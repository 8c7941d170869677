"""The bench's web server: where it listens, who listens there, whether it answers its sites, and for how long it did not."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.web.addresses import Endpoint, Listening, listening, meant_endpoints
from fmx_restart.adapters.web.holders import Holder, find_holders
from fmx_restart.adapters.web.linger import Hooks
from fmx_restart.adapters.web.nginx import front_of
from fmx_restart.adapters.web.probe import TIMEOUT, AskedSites, PingedWebServer, Question
from fmx_restart.adapters.web.users import Target, UserProbe
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import HostProcess, NewWorkers, WebFault, WebWay
from fmx_restart.engine.web_answers import WebAnswers, never

SHORT = 1.0  # seconds for an answer while the old server still serves: nothing waits longer for it
SITES_TAKE = 20.0  # seconds for all sites; those that did not get their turn are asked in the next round
LOOK = 0.25  # seconds that one look waits for an answer
FIRST = 3  # sites that are asked whether the server answers at all
PENDING = "no answer yet"
HOLDER_SEEN_AGAIN = 0.5  # seconds between two looks at the whole machine


@frozen
class Answer:
	"""Of one request. `fault` is None for a good one."""

	endpoint: Endpoint
	site: str | None
	fault: WebFault | None


class BenchWeb:
	"""
	`expected`: where web listens by the bench's configuration. `override`: where it is asked instead, whatever it listens
	at. Requests run in threads, and no call takes longer than SHORT.
	"""

	def __init__(
		self,
		bench_path: str,
		sites: AskedSites,
		expected: Endpoint,
		*,
		override: Endpoint | None = None,
		timeout: float = TIMEOUT,
	) -> None:
		self._bench, self._sites, self._expected = BenchFolder(bench_path), sites, expected
		self._override, self._timeout = override, timeout
		self._endpoint = override or expected  # where it answered last, or should
		self._answered: list[str] = []  # sites that answered before the restart
		self._confirmed: set[str | None] = set()  # sites that have answered since
		self._users: UserProbe | None = None
		self._asking: tuple[list[Endpoint], Question[Answer]] | None = None
		self._asking_sites: Question[list[WebFault]] | None = None
		self._asking_before: Question[None] | None = None
		self._holders: tuple[float, list[Holder]] = (0.0, [])
		self._hooks = Hooks(Path(bench_path, "sites"))

	# before the restart

	def begin(self, family: Sequence[HostProcess], is_ordered: Callable[[str], bool] = never) -> None:
		self.end()
		self._endpoint = endpoint = self._endpoints(family)[0]
		self._users = users = UserProbe(is_ordered, timeout=self._timeout)
		self._asking_before = Question(lambda: self._note_answering(endpoint, users))

	def _note_answering(self, endpoint: Endpoint, users: UserProbe) -> None:
		"""What users see is measured from the first answer on; where no site answers, by the first one."""
		for site in self._sites.all:
			if self._ping(endpoint, site, timeout=self._timeout) is None:
				self._answered.append(site)
				if len(self._answered) == 1:
					users.start(self._targets(endpoint, site))
		if not self._answered:
			users.start(self._targets(endpoint, next(iter(self._sites.all), None)))

	def _targets(self, endpoint: Endpoint, site: str | None) -> list[Target]:
		"""Web itself, and nginx where the bench is configured for it."""
		front = front_of(Path(self._bench.path), site) if site else None
		return [Target(endpoint, site), *([front] if front else [])]

	def taken(self, families: Collection[Sequence[HostProcess]]) -> WebFault | None:
		if self._is_kept():
			return None
		members = [process for family in families for process in family]
		for family in families or [()]:
			sockets = listening(family)
			if sockets.is_known:
				endpoints = sockets.endpoints or self._meant(family)
				holders = find_holders(self._bench, sockets.everybody, endpoints, members)
				if fault := self._held(holders, is_listening=bool(sockets.listeners)):
					return fault
		return None

	def restart_begins(self) -> None:
		if self._users:
			self._users.restart_begins(SHORT)

	def ask_seldom(self) -> None:
		if self._users:
			self._users.ask_seldom()

	def answers(self) -> tuple[WebAnswers, ...]:
		return self._users.answers() if self._users else ()

	def end(self) -> tuple[WebAnswers, ...]:
		users, self._users = self._users, None
		return users.end() if users else ()

	# after it

	def fault(self, family: Sequence[HostProcess]) -> WebFault | None:
		sockets = listening(family)
		is_elsewhere = not family and self._override is not None  # in another container, for instance
		if sockets.is_known and not sockets.listeners and not is_elsewhere:
			return self._not_listening(sockets, family)
		answer = self._answer(self._endpoints(family, sockets))
		if answer.fault:
			return answer.fault
		if sockets.listeners and (
			fault := self._held(self._find_holders(sockets, sockets.endpoints, family), is_listening=True)
		):
			return fault
		self._endpoint = answer.endpoint
		self._confirmed.add(answer.site)
		return None

	def unproved(self, family: Sequence[HostProcess]) -> str:
		sockets = listening(family)
		if not sockets.is_known:
			return sockets.unknown
		if not sockets.listeners:
			return "none of its processes can be seen"
		if any(endpoint.overlaps(self._endpoint) for endpoint in sockets.endpoints):
			return ""
		return f"{self._endpoint} is none of the addresses at which it listens ({', '.join(map(str, sockets.endpoints))})"

	def broken_sites(self) -> list[WebFault] | None:
		if self._asking_sites is None:
			self._asking_sites = Question(self._ask_sites)
		if not self._asking_sites.is_answered(LOOK):
			return None
		asked, self._asking_sites = self._asking_sites, None
		return asked.answer()

	def _ask_sites(self) -> list[WebFault]:
		until = time.monotonic() + SITES_TAKE
		faults = []
		for site in dict.fromkeys([*self._sites.named, *self._answered]):
			if site in self._confirmed or not self._sites.is_there(site):
				continue
			left = min(self._timeout, until - time.monotonic())
			if left <= 0:
				faults.append(WebFault("the sites before it took too long", str(self._endpoint), site))
			elif fault := self._ping(self._endpoint, site, timeout=left):
				faults.append(fault)
			else:
				self._confirmed.add(site)
		return faults

	@property
	def address(self) -> str:
		return str(self._endpoint)

	def way(self, family: Sequence[HostProcess]) -> WebWay:
		return self._hooks.way(family)

	def way_alone(self, family: Sequence[HostProcess]) -> WebWay:
		return self._hooks.way_alone(family)

	def order_to_linger(
		self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]
	) -> None:
		if self._asking_before:
			self._asking_before.is_answered(SHORT)
		self._hooks.order(family, sites=tuple(self._answered), seconds=seconds, logs=logs)

	def new_workers(self, family: Sequence[HostProcess]) -> NewWorkers | None:
		return self._hooks.new_workers(family)

	def lingering(self) -> bool:
		return self._hooks.is_lingering()

	def may_be_taken_over(self) -> bool:
		return self._hooks.may_be_taken_over()

	def end_lingering(self) -> None:
		self._hooks.end_lingering()

	def way_to_hold(self, family: Sequence[HostProcess]) -> WebWay:
		return self._hooks.way_to_hold(family)

	def hold_requests(self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]) -> None:
		self._hooks.hold(family, sites=tuple(self._answered), seconds=seconds, logs=logs)
		if self._users:
			self._users.wait_for_all()

	def are_requests_held(self) -> bool:
		return self._hooks.holds()

	def old_web(self) -> list[int]:
		return self._hooks.others()

	def let_requests_go(self) -> None:
		self._hooks.let_go()
		if self._users:
			self._users.wait_as_usual()

	def withdraw_orders(self) -> None:
		self._hooks.withdraw_orders()

	def _is_kept(self) -> bool:
		"""The address is not free, and that is meant: old workers serve, or we let requests wait, until a new one takes over."""
		return self._hooks.is_holding or self.lingering()

	def _answer(self, endpoints: list[Endpoint]) -> Answer:
		"""A question that is still open is not asked again: a request that is abandoned delays the next one."""
		if self._asking is None or self._asking[0] != endpoints:
			sites = self._likely_sites()
			self._asking = endpoints, Question(lambda: self._ask(endpoints, sites))
		if not self._asking[1].is_answered(LOOK):
			site = self._likely_sites()[0]
			return Answer(endpoints[0], site, WebFault(PENDING, str(endpoints[0]), site or ""))
		asked, self._asking = self._asking[1], None
		return asked.answer()

	def _ask(self, endpoints: Iterable[Endpoint], sites: Iterable[str | None]) -> Answer:
		"""The first good one, of any site at any of them; else the first one."""
		answers = []
		for endpoint in endpoints:
			for site in sites:
				answer = Answer(endpoint, site, self._ping(endpoint, site, timeout=self._timeout))
				if answer.fault is None:
					return answer
				answers.append(answer)
				if not answer.fault.is_answer:
					break  # it is the server's fault, not this site's
		return answers[0]

	def _likely_sites(self) -> list[str | None]:
		"""Those that answered before; where none did, any. Without a site, whatever answers will do."""
		before = [site for site in self._answered if self._sites.is_there(site)]
		return list((before or self._sites.all)[:FIRST]) or [None]

	def _ping(self, endpoint: Endpoint, site: str | None, *, timeout: float) -> WebFault | None:
		server = PingedWebServer(
			endpoint,
			site,
			in_maintenance=lambda: self._sites.in_maintenance(site),
			cause=lambda: self._sites.cause(site),
			timeout=timeout,
		)
		return server.fault()

	def _endpoints(self, family: Sequence[HostProcess], sockets: Listening | None = None) -> list[Endpoint]:
		"""Where to ask: what was set; else where these processes listen, the configured address first; else their own words."""
		if self._override:
			return [self._override]
		sockets = sockets or listening(family)
		meant = self._meant(family)
		likely = [self._expected, *meant]

		def rank(endpoint: Endpoint) -> int:
			return next((n for n, at in enumerate(likely) if endpoint.overlaps(at)), len(likely))

		return sorted(sockets.endpoints, key=rank) or list(meant)

	def _meant(self, family: Sequence[HostProcess]) -> tuple[Endpoint, ...]:
		return (meant_endpoints(family[0]) if family else ()) or (self._expected,)

	def _not_listening(self, sockets: Listening, family: Sequence[HostProcess]) -> WebFault:
		endpoints = self._meant(family)
		if not self._is_kept() and (
			fault := self._held(self._find_holders(sockets, endpoints, family), is_listening=False)
		):
			return fault
		reason = f"its process (pid {family[0].pid}) does not listen yet" if family else "it does not run"
		return WebFault(reason, str(endpoints[0]), self._likely_sites()[0] or "")

	def _held(self, holders: Iterable[Holder], *, is_listening: bool) -> WebFault | None:
		"""Who listens beside a program that listens itself (SO_REUSEPORT) takes a part of its requests; who is not ours may."""
		for holder in holders:
			if holder.is_stray or not is_listening:
				beside = "at the same address" if is_listening else "in its place"
				return WebFault(
					f"{holder.text} listens {beside}",
					str(holder.endpoint),
					holder=holder.process,
					remedy=holder.remedy,
					is_taken=True,
					is_stray=holder.is_stray,
				)
		return None

	def _find_holders(
		self, sockets: Listening, endpoints: Collection[Endpoint], family: Sequence[HostProcess]
	) -> list[Holder]:
		"""Not at every look: each reads the sockets of the whole machine."""
		now = time.monotonic()
		if now >= self._holders[0]:
			self._holders = (
				now + HOLDER_SEEN_AGAIN,
				find_holders(self._bench, sockets.everybody, endpoints, family),
			)
		return self._holders[1]
