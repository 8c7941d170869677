"""What the engine needs of a bench's sites: web, code, migrations, settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Protocol

from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.migration import Finding, MigrationOptions
from fmx_restart.engine.ports.processes import HostProcess
from fmx_restart.engine.web_answers import WebAnswers, never


@frozen
class WebFault:
	"""Why the web server does not answer as it should."""

	reason: str  # in a few words
	address: str = ""  # where it was asked: 127.0.0.1:8000, unix:/path
	site: str = ""  # for which site; empty where it was asked for none
	is_answer: bool = False  # the server is up, and says itself that something is wrong
	is_taken: bool = False  # another process listens at the address
	is_stray: bool = False  # which is a web server of this bench that no process manager runs, with old code
	holder: HostProcess | None = None  # that process, where it can be seen
	remedy: str = ""  # what to type; empty where only a log can tell

	def __str__(self) -> str:
		about = f" (site {self.site})" if self.site else ""
		return f"{self.address}{about}: {self.reason}" if self.address else self.reason


class WebMethod(str, Enum):
	"""How a web program is replaced."""

	LINGER = "linger"  # its old workers serve until new ones answer, and no request fails
	HOLD = "hold"  # it is stopped and started, and requests wait until it answers again
	PLAIN = "plain"  # it is stopped and started: requests fail until it answers again
	RELOAD = "reload"  # its own reloader replaces it: requests that are under way fail, new ones wait


@frozen
class WebWay:
	"""The best method that a web program allows now, and what keeps it from lingering."""

	method: WebMethod = WebMethod.PLAIN
	reason: str = ""  # why it cannot linger, in a few words; empty where that is of no interest
	remedy: str = ""  # what to type so that it can, or from when on it can: whole sentences
	is_coming: bool = False  # it is still starting, and may be able to in a moment

	@property
	def is_lingering(self) -> bool:
		"""Old workers serve until new ones answer, so no request fails."""
		return self.method is WebMethod.LINGER

	@property
	def is_reloading(self) -> bool:
		"""Its own reloader replaces it, which keeps the listening socket."""
		return self.method is WebMethod.RELOAD

	@property
	def is_holding(self) -> bool:
		"""The listening sockets stay open meanwhile, so requests wait instead of failing."""
		return self.method is WebMethod.HOLD

	@property
	def is_worth_telling(self) -> bool:
		"""Requests will fail or wait, and it is known why."""
		return not self.is_lingering and not self.is_coming and bool(self.reason)


@frozen
class NewWorkers:
	"""Of a web program whose old workers linger."""

	ready: int  # so many have answered for themselves
	wanted: int
	faults: tuple[str, ...] = ()  # why others take no request yet: site and error

	@property
	def are_complete(self) -> bool:
		"""As many workers answer as the new main process is to have."""
		return self.ready >= self.wanted


class Web(Protocol):
	"""
	The bench's web server, asked over HTTP where its processes listen. A `family` is a web program's process and all its
	descendants; it is empty where the program does not run. No call takes longer than a second or two.
	"""

	def taken(self, families: Collection[Sequence[HostProcess]]) -> WebFault | None:
		"""
		Who keeps one of these programs from its address, or shares it, if anybody does: an old web server that no process
		manager runs, a stranger. Changes nothing.
		"""

	def begin(self, family: Sequence[HostProcess], is_ordered: Callable[[str], bool] = never) -> None:
		"""
		Find out, beside us, which sites answer before the restart, and measure from then on what users get, ten times a second.
		`is_ordered`: whether we have put a site into maintenance mode.
		"""

	def restart_begins(self) -> None:
		"""What does not answer now did not answer before. Returns when users have been asked for once, or within a second."""

	def ask_seldom(self) -> None:
		"""Web is restarted, and only workers are waited for: measure once a second from now on."""

	def answers(self) -> tuple[WebAnswers, ...]:
		"""What users got until now, at each address. Empty before the first of them is known."""

	def end(self) -> tuple[WebAnswers, ...]:
		"""The same; nothing is measured any more."""

	def fault(self, family: Sequence[HostProcess]) -> WebFault | None:
		"""
		None when one of these processes answers as it should, for a site that was answered before, or for any where none
		was. An answer of someone else is a fault; where it cannot be known who answers, the answer counts: see unproved.
		"""

	def unproved(self, family: Sequence[HostProcess]) -> str:
		"""Why it cannot be known that one of these processes answered; empty where it is known. After a good answer."""

	def broken_sites(self) -> list[WebFault] | None:
		"""
		After a good answer: sites that answered before the restart, or that someone named, and that are not answered now.
		None while they are still being asked.
		"""

	@property
	def address(self) -> str:
		"""Where it answered last, or should."""

	def way(self, family: Sequence[HostProcess]) -> WebWay:
		"""How the program of this family can be replaced, as far as its own processes tell. Changes nothing."""

	def way_alone(self, family: Sequence[HostProcess]) -> WebWay:
		"""As way, where nothing of the program may outlive its main process: LINGER is none, HOLD and PLAIN are. Changes nothing."""

	def order_to_linger(
		self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]
	) -> None:
		"""
		When this master ends, its workers stay until new ones have answered each site that is answered now, and `seconds`
		at most. It counts while this process lives. `logs`: files for their stdout and stderr then. Raises ProcessFault.
		"""

	def new_workers(self, family: Sequence[HostProcess]) -> NewWorkers | None:
		"""None where the processes of this family have taken over from nobody, or are not that far yet."""

	def lingering(self) -> bool:
		"""Whether old workers serve beside, or in place of, a web program."""

	def may_be_taken_over(self) -> bool:
		"""
		Whether the next process of web would take their place. One that would not, as it is not set up for it any more, could
		not even listen.
		"""

	def end_lingering(self) -> None:
		"""Old workers are to leave now, whether or not new ones answer."""

	def way_to_hold(self, family: Sequence[HostProcess]) -> WebWay:
		"""Whether requests can wait while this program is stopped: HOLD, or PLAIN and why not. Changes nothing."""

	def hold_requests(self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]) -> None:
		"""
		From the end of this master on, connections wait until the next one takes them, or let_requests_go. To be called before
		it is stopped. `seconds`: how long its workers serve at most where we die before are_requests_held. Raises ProcessFault.
		"""

	def are_requests_held(self) -> bool:
		"""
		To be asked again and again once such a master has ended: it tells old workers that still serve to leave. True when they
		take no request any more.
		"""

	def old_web(self) -> list[int]:
		"""While requests are held, and no new program has been started: pids that may still answer one."""

	def let_requests_go(self) -> None:
		"""Connections that still wait are those of whoever took them; they end where nobody did. Does nothing where none are held."""

	def withdraw_orders(self) -> None:
		"""
		After the death of who gave them: orders to linger that no web process has followed. One that old workers serve by
		stays.
		"""


class NoWeb:
	"""Where no web program is looked at: all that a step asks which restarts none."""

	def answers(self) -> tuple[WebAnswers, ...]:
		return ()

	def end(self) -> tuple[WebAnswers, ...]:
		return ()

	def lingering(self) -> bool:
		return False


@frozen
class CodeFault:
	"""A module of an app that cannot be imported."""

	module: str  # what cannot be imported
	error: str  # the exception, in one line
	traceback: str  # its last lines


class Code(Protocol):
	"""The Python code on the disk, as web and workers would load it if they were started now."""

	def start_check(self, *, is_awaited: bool = False) -> None:
		"""
		Begin it, beside us. `is_awaited`: somebody waits for all of it, so its second part does not make way for everybody
		else. Raises OSError when the machine has no room for it.
		"""

	def faults(self) -> list[CodeFault] | None:
		"""
		Those found so far; None as long as the first part is not done: what every web and worker process loads. The
		second part, the web application as a whole, takes seconds.
		"""

	def is_checked(self) -> bool:
		"""Nothing more will come: both parts are done, or it has ended early, or was never begun."""

	def end_check(self) -> None:
		"""Stop it: enough is known. Does nothing where none is under way."""


class UncheckedCode:
	"""Where the code on the disk is not checked: nothing is known against it."""

	def start_check(self, *, is_awaited: bool = False) -> None:
		pass

	def faults(self) -> list[CodeFault]:
		return []

	def is_checked(self) -> bool:
		return True

	def end_check(self) -> None:
		pass


class Run(Protocol):
	"""A command on one site, in a process group of its own. Whoever asks is never kept waiting."""

	log: str  # the file that gets all its output

	def output(self) -> str:
		"""What it printed since the last time."""

	def exit_code(self) -> int | None:
		"""None while it runs."""

	def terminate(self) -> None:
		"""TERM to each of its processes that is proved to be its own."""

	def kill(self) -> None:
		"""KILL to each of its processes that is proved to be its own."""

	def is_gone(self) -> bool:
		"""None of its processes is left, children included."""

	def age(self) -> float:
		"""Seconds since the oldest process began that is left of it, by the kernel's own clock; 0 where none is."""


class Migrations(Protocol):
	"""What migrates and backs up a site of this bench, and what is known about it before."""

	def inspect(self, site: str, options: MigrationOptions) -> list[Finding]:
		"""What speaks against migrating this site now. Changes nothing."""

	def start(self, site: str, options: MigrationOptions) -> Run:
		"""Raises WrongEnvironment when the command cannot be started; nothing was changed then."""

	def start_backup(self, site: str) -> Run:
		"""As start; Frappe's own backup of the database."""

	def adopt(self, log: str) -> Run:
		"""The run that writes this log, started by a process that died since. Its exit code is never known."""

	def backup_file(self, site: str, run: Run) -> str | None:
		"""The file that a backup which has ended says it wrote, if it is there."""


@frozen
class Setting:
	"""One key of a site's configuration file. An absent key is not the same as one that is null or 0."""

	site: str
	key: str
	value: int | float | str | bool | None = None
	is_present: bool = False


class SiteSettings(Protocol):
	"""The sites' configuration files. Raises WrongEnvironment for a file that cannot be read or written."""

	def read(self, site: str, key: str) -> Setting:
		"""The setting as it stands in the site's own file, without that of the whole bench."""

	def replace(self, old: Setting, new: Setting) -> bool:
		"""Set `new` where `old` stands, and change nothing else. False where neither of both stands."""


class NoSettings:
	"""Where settings of sites cannot be changed: refused before anything is."""

	def read(self, site: str, key: str) -> Setting:
		raise WrongEnvironment("Settings of sites cannot be changed here. Nothing was changed.")

	def replace(self, old: Setting, new: Setting) -> bool:
		raise WrongEnvironment("Settings of sites cannot be changed here. Nothing was changed.")
