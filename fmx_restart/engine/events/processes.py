"""Facts about processes, web among them."""

from __future__ import annotations

from fmx_restart.engine.events.operation import Event, Level
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import (
	ConfigurationPlan,
	GroupChange,
	Job,
	Process,
	ProcessKind,
	Reloadable,
	WebFault,
)


@frozen
class ProcessStopping(Event):
	"""Told before it is asked to leave: whoever cleans up after us starts what nobody else will."""

	name: str
	kind: ProcessKind
	pid: int | None
	incarnation: str = ""


@frozen
class ProcessDown(Event):
	"""The old process has ended."""

	name: str
	pid: int | None
	seconds: float  # since it was told to stop


@frozen
class ProcessUp(Event):
	"""Its successor runs."""

	name: str
	kind: ProcessKind
	old_pid: int | None
	new_pid: int | None
	seconds: float  # since it went down


@frozen
class ReloadAsked(Event):
	"""Told before it is asked: whoever cleans up after us sees what became of it. `name`: of its program."""

	name: str
	worker: Reloadable  # as its record was then


@frozen
class WorkerReloaded(Event):
	"""The process of a worker or the scheduler goes on with new code; that of a pool does, and so do all of its workers."""

	name: str
	kind: ProcessKind
	pid: int
	seconds: float  # since it was asked, or since it had no job any more
	workers: int = 0  # of a pool: how many it has


@frozen
class SchedulerAsked(Event):
	"""No manager that we know runs it. It reloads in place after its next tick, and nobody waits for that."""

	level = Level.NOTE

	process: str


@frozen
class ProcessRetried(Event):
	"""It ended soon after its start. Its manager tries again, and we wait for that."""

	level = Level.WARNING

	name: str
	detail: str


@frozen
class ProcessFailed(Event):
	"""It did not stop, did not come back, or is not well."""

	level = Level.ERROR
	name: str
	reason: str
	log_tail: str


@frozen
class RollingStopped(Event):
	"""So many processes did not come back that nothing further is replaced."""

	level = Level.ERROR

	failed: tuple[str, ...]
	not_replaced: tuple[str, ...]  # they stay in service, with the code they were started with


@frozen
class ProgramsStay(Event):
	"""Known before anything is touched: their manager cannot replace them, so they go on as they are."""

	programs: tuple[Process, ...]

	@property
	def level(self) -> Level:
		"""Old Python code that goes on serving is worth a warning."""
		return Level.WARNING if any(program.runs_apps for program in self.programs) else Level.NOTE


@frozen
class ConfigurationChanged(Event):
	"""Known before anything is touched: the files of a process manager say otherwise than it runs by."""

	plan: ConfigurationPlan

	@property
	def level(self) -> Level:
		"""What a manager would refuse is worth a warning: the next person to ask it learns it then."""
		return Level.WARNING if self.plan.faults else Level.NOTE


@frozen
class GroupUpdating(Event):
	"""Told before its manager is asked to take it over: whoever cleans up after us sees that it is not left out."""

	change: GroupChange


@frozen
class GroupUpdated(Event):
	"""Its manager runs it by its new configuration. `gone` and `new`: programs that it has no more, and has now."""

	change: GroupChange
	gone: tuple[str, ...] = ()
	new: tuple[str, ...] = ()


@frozen
class GroupNotUpdated(Event):
	"""It goes on by its former configuration."""

	level = Level.ERROR

	change: GroupChange
	reason: str


@frozen
class HostsBegun(Event):
	"""The turn of these hosts has come: the `number`-th of `groups`."""

	hosts: tuple[str, ...]
	number: int
	groups: int


@frozen
class HostsDone(Event):
	"""All that was to be restarted on them is new and well. `watched`: seconds for which the canary was watched."""

	hosts: tuple[str, ...]
	watched: float = 0.0
	pause: float = 0.0  # seconds until the next group's turn


@frozen
class HostsStopped(Event):
	"""On the first ones something is not well, so the others are not restarted."""

	level = Level.ERROR

	failed: tuple[str, ...]
	not_replaced: tuple[str, ...]  # hosts; they stay in service, with the old code


@frozen
class HandedOver(Event):
	"""
	These processes are replaced when their jobs end; the operation continues in the background. `exit_code`: with which
	the command that began the operation ends now.
	"""

	processes: tuple[str, ...]
	jobs: tuple[Job, ...]
	exit_code: int = 0


@frozen
class WebTaken(Event):
	"""Known before anything is touched: someone keeps web from its address, and the restart will not bring it up."""

	level = Level.WARNING

	fault: WebFault


@frozen
class WebUnproved(Event):
	"""Web answers, and whether it is the new process that does cannot be known."""

	level = Level.NOTE

	address: str
	reason: str


@frozen
class WebSilent(Event):
	"""Users have got no answer from web for more than a moment."""

	level = Level.NOTE

	address: str
	through: str  # web, or the proxy in front of it
	reason: str


@frozen
class WebAnswersAgain(Event):
	"""Users get answers at this address again."""

	address: str
	through: str
	seconds: float  # without an answer


@frozen
class NginxReloaded(Event):
	"""It serves with its configuration as it is now."""


@frozen
class NginxNotReloaded(Event):
	"""It serves with its former configuration."""

	level = Level.ERROR

	reason: str


@frozen
class WebCannotLinger(Event):
	"""A restart of this program will fail requests, or let them wait: its old workers cannot serve until new ones answer."""

	level = Level.NOTE

	program: str
	reason: str
	remedy: str = ""
	waits: bool = False  # requests wait, and none fails


@frozen
class WebRequestsWait(Event):
	"""From the end of this program's process on, requests wait until it is back."""

	program: str


@frozen
class WebRequestsServed(Event):
	"""A new worker of the program has taken over the requests that waited."""

	program: str
	seconds: float  # since it was told to stop


@frozen
class PauseNotAnnounced(Event):
	"""Pages of Desk are not told that web is about to stop; `reason` goes on after "because"."""

	level = Level.NOTE

	reason: str


@frozen
class WebRequestsFail(Event):
	"""Requests that were to wait for this program do not any more."""

	level = Level.WARNING

	program: str
	reason: str


@frozen
class NewWebAnswers(Event):
	"""The first new worker has answered for itself; the others of its program follow, and old ones leave then."""

	program: str
	seconds: float  # since the old master was ended


@frozen
class LiveMessagesSent(Event):
	"""What Frappe published for browsers while socketio was away was kept, and published once more when they were back."""

	sent: int
	dropped: int = 0  # too many to keep


@frozen
class LiveMessagesNotKept(Event):
	"""What Frappe publishes for browsers while socketio is away is lost."""

	level = Level.WARNING

	reason: str  # goes on after "because"


@frozen
class OldWebServes(Event):
	"""New workers do not answer, so old ones stay: no request fails."""

	level = Level.ERROR

	program: str
	reason: str
	until: float  # seconds since the epoch
	not_replaced: tuple[str, ...] = ()  # programs that were left as they are for that


@frozen
class StillVerifying(Event):
	"""What verify waits for: told when it takes more than a moment, and when it changes."""

	programs: tuple[str, ...]  # not up yet
	unregistered: tuple[str, ...]  # worker programs that Redis does not list yet
	leftovers: tuple[int, ...]  # pids of old processes
	web: tuple[WebFault, ...]


@frozen
class OrphansFound(Event):
	"""Job processes that lost their worker go on with the code they were started with."""

	level = Level.WARNING

	pids: tuple[int, ...]
