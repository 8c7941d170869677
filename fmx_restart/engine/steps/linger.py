"""
Web programs whose old workers serve until new ones have answered. They are replaced first, while nothing else boots, and
where new code does not answer nothing else is touched: old code stays in service everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import FenceFault, ProcessFault, QueueUnreachable
from fmx_restart.engine.held import REDIS_RETURNS
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Bench, Process, ProcessKind, ProcessState, WebMethod, WebWay
from fmx_restart.engine.replacement import Replacement, Stage, StopMethod
from fmx_restart.engine.steps.follow import follow, make_replacements, never_left_down
from fmx_restart.engine.waiting import Patience, wait_until

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

COMING = Patience(timeout=60.0, poll=0.2)  # a program that was just started imports Frappe first
ANSWERS = Patience(timeout=90.0, poll=0.05)
#: the new workers after the first one, where nothing else waits for anything
OTHERS_BOOT = Patience(timeout=20.0, poll=0.05)
ERRS_FOR = 15.0  # seconds: new workers that have answered with errors for so long will not do better
OLD_LEAVE = Patience(timeout=20.0, poll=0.1)
MIGRATES = WebWay(reason="old code must not serve while a schema changes")
REPAIR = "Repair the code, then type the same command again."
ELSEWHERE = WebWay(reason="it runs on another machine")
ALONE = WebWay(reason="it is the only one that answers")
IN_TURN = WebWay()  # the others answer meanwhile
BY_ITSELF = WebWay(WebMethod.RELOAD)
RUNS_WORKERS = WebWay(reason="its process runs workers, too")
KEPT = WebWay(WebMethod.HOLD, "its process manager listens in its place meanwhile")
STARTED = WebWay(reason="its process manager would start it for the next connection, while a schema changes")
STOPS_ALL = "its configuration is updated, and its manager's order to stop ends its web workers at once"
IS_DOWN = WebWay()  # nobody is served, so there is nothing to say


def way_of(bench: Bench, process: Process, options: Options) -> WebWay:
	"""How this web program is replaced. Changes nothing."""
	if options.migration is not None and not options.migration.hold_web:
		return MIGRATES
	if process.host:
		return way_elsewhere(process)
	if process.local_pid is None or process.state not in (ProcessState.RUNNING, ProcessState.STARTING):
		return IS_DOWN
	if process.ends_all:
		return IN_TURN if process.rolls_out else BY_ITSELF
	if process.has_workers:
		return RUNS_WORKERS
	if process.keeps_sockets:
		return STARTED if options.migration else KEPT
	family = bench.host.family(process.local_pid)
	if process.ends_leftovers:
		return bench.web.way_alone(family)
	return bench.web.way_to_hold(family) if options.migration else bench.web.way(family)


def way_elsewhere(process: Process) -> WebWay:
	"""Of web on another machine."""
	if process.rolls_out:
		return WebWay(reason=process.gap)
	return IN_TURN if process.has_replicas else ALONE if process.alone_since is not None else ELSEWHERE


def tell_way(operation: Operation, program: str, way: WebWay) -> None:
	"""What keeps this web program from lingering."""
	if way.is_worth_telling:
		operation.emit(events.WebCannotLinger(program, way.reason, way.remedy, way.is_holding))


def replace_lingering(operation: Operation, processes: Iterable[Process]) -> list[Replacement]:
	"""
	Replace those of these programs whose workers can linger, until the first new worker of each has answered. One whose new
	code does not answer has failed. What has to be down together with one of them is replaced with it. Empty where none can
	linger. Raises FenceFault where the fence lapsed meanwhile.
	"""
	processes, replacements = list(processes), []
	for process in processes:
		current = as_it_lingers(operation, process)
		if current:
			replacements += begin(operation, current, operation.updates.beside(current, processes))
	if replacements:
		first_answers = FirstAnswers(operation, replacements)
		with never_left_down(operation, replacements):
			operation.wait(first_answers.are_there, ANSWERS)
			first_answers.judge()
			if operation.starts.spares_one:
				operation.wait(first_answers.are_complete, OTHERS_BOOT)
			check_fence(operation)
	return replacements


def as_it_lingers(operation: Operation, process: Process) -> Process | None:
	"""
	A web program as it is now, where its restart fails no request; else None. One that is still starting is waited for. One
	that is down while old workers serve in its place, after an earlier restart or a crash, only has to come up: its manager
	may start it at any moment, so it must not be stopped then.
	"""
	if process.kind is not ProcessKind.WEB:
		return None
	bench, seen = operation.bench, [(process, way_of(operation.bench, process, operation.options))]

	def is_known() -> bool:
		"""Its manager may have started another one meanwhile."""
		current = next((it for it in operation.managed_now() if it.name == process.name), process)
		seen.append((current, way_of(bench, current, operation.options)))
		return not seen[-1][1].is_coming

	if seen[-1][1].is_coming:
		operation.wait(is_known, COMING)
	current, way = seen[-1]
	if way.is_coming:
		way = WebWay(reason=f"it was still starting after {COMING.timeout:.0f} s")
	if way != operation.plan.web_ways.get(process.name):
		tell_way(operation, process.name, way)
	if not way.is_lingering and bench.web.lingering() and not bench.web.may_be_taken_over():
		let_old_web_go(bench)
	return current if way.is_lingering or (way is IS_DOWN and bench.web.lingering()) else None


def begin(operation: Operation, process: Process, beside: list[Process]) -> list[Replacement]:
	"""Empty where the order to linger cannot be given: then it is replaced as all others are. `beside`: what is stopped with it."""
	bench, is_updated = operation.bench, operation.updates.awaits(process)
	if process.local_pid is None:
		method = StopMethod.MANAGER if is_updated else StopMethod.OTHERS
		return make_replacements(operation, [process, *beside], method=method)
	if is_updated and stop_reaches_workers(bench, process.name):
		operation.emit(events.WebCannotLinger(process.name, STOPS_ALL))
		return []
	try:
		logs = bench.processes.log_files(process.name)
		seconds = operation.options.old_web_timeout
		bench.web.order_to_linger(bench.host.family(process.local_pid), seconds=seconds, logs=logs)
	except ProcessFault as fault:
		operation.emit(events.WebCannotLinger(process.name, str(fault), fault.hint))
		return []
	if is_updated:  # else its manager would start it by its former configuration
		return make_replacements(operation, [process, *beside])
	return make_replacements(operation, [process], method=StopMethod.TERM)


def stop_reaches_workers(bench: Bench, name: str) -> bool:
	"""Whether its manager's order to stop ends the web workers, too, or nobody tells."""
	try:
		settings = bench.processes.settings()
	except ProcessFault:
		return True
	programs = settings.programs if settings else ()
	return any(program.name == name and program.stops_group is not False for program in programs)


class FirstAnswers:
	"""The first new worker of each program, which has answered each site itself before it takes a request."""

	def __init__(self, operation: Operation, replacements: list[Replacement]) -> None:
		self.operation, self.bench, self.all = operation, operation.bench, replacements
		self.replacements = [it for it in replacements if it.old.kind is ProcessKind.WEB]
		self.begun_at = self.bench.clock.now()
		self.answered: set[str] = set()  # programs
		self.faults: dict[str, str] = {}  # program → what is wrong with its new workers
		self.err_since: dict[str, float] = {}

	def are_there(self) -> bool:
		"""Also when it is clear that more patience is of no use."""
		follow(self.operation, self.all)
		for replacement in self.replacements:
			self.look_at(replacement)
		return all(map(self.is_settled, self.replacements))

	def are_complete(self) -> bool:
		"""No new worker of those that have answered boots any more: each takes a processor from whatever else runs."""
		follow(self.operation, self.all)
		return all(map(self.is_complete, self.replacements))

	def is_complete(self, replacement: Replacement) -> bool:
		"""Also where it has failed, or is gone."""
		pid = replacement.current_pid
		new = self.bench.web.new_workers(self.bench.host.family(pid)) if pid is not None else None
		return new is None or new.are_complete or replacement.old.name not in self.answered

	def look_at(self, replacement: Replacement) -> None:
		"""
		Note that a web program's first new worker answers, or since when its workers err. None of them counts while the old
		main process runs.
		"""
		name, pid = replacement.old.name, replacement.current_pid
		# the old master's workers were new once, in an earlier restart
		is_new = pid is not None and pid != replacement.old.pid
		new = self.bench.web.new_workers(self.bench.host.family(pid)) if is_new else None
		if new is None or name in self.answered:
			return
		now = self.bench.clock.now()
		if new.ready:
			self.answered.add(name)
			self.operation.starts.note_booted(name)
			self.operation.emit(events.NewWebAnswers(name, now - self.begun_at))
		elif new.faults:
			self.faults[name] = new.faults[-1]
			self.err_since.setdefault(name, now)

	def is_settled(self, replacement: Replacement) -> bool:
		name = replacement.old.name
		errs_long = self.bench.clock.now() - self.err_since.get(name, self.bench.clock.now()) > ERRS_FOR
		is_over = replacement.stage in (Stage.FAILED, Stage.REMOVED)
		return name in self.answered or is_over or errs_long

	def judge(self) -> None:
		"""Whoever has not answered has failed."""
		for replacement in self.replacements:
			name = replacement.old.name
			if name not in self.answered and replacement.stage not in (Stage.FAILED, Stage.REMOVED):
				why = self.faults.get(name, f"no new worker has answered within {ANSWERS.timeout:.0f} s")
				replacement.fail(f"new code does not answer: {why}")


def check_fence(operation: Operation) -> None:
	"""
	Raises FenceFault: workers may have taken jobs again, and must not be stopped. Raises QueueUnreachable where Redis does
	not come back: whether they have is unknown.
	"""
	if not operation.wait(lambda: operation.keep_alive(now=True) or True, REDIS_RETURNS):
		raise QueueUnreachable(
			f"Web was restarted. Then Redis did not answer for {REDIS_RETURNS.timeout:.0f} s: workers were not restarted, and"
			" no job was stopped.",
			hint="Repair Redis, then type the same command again.",
		)
	if operation.is_fenced and not operation.fence_stood:
		raise FenceFault(
			"Web was restarted. Then the fence lapsed, so workers may run jobs: they were not restarted, and no job was"
			" stopped.",
			hint="Type the same command again.",
		)


def keep_old_code(
	operation: Operation, replacements: Iterable[Replacement], others: Iterable[Process]
) -> None:
	"""New web does not answer: these others stay as they are. The report and the listeners say so."""
	names = tuple(process.name for process in others)
	operation.report.not_replaced = list(names)
	clock = operation.bench.clock
	for replacement in replacements:
		if replacement.stage is Stage.FAILED:
			since = clock.time() - (clock.now() - replacement.stopped_at)
			tell_old_web(operation, replacement, since=since, others=names)


def tell_old_web(
	operation: Operation, replacement: Replacement, *, since: float, others: tuple[str, ...] = ()
) -> None:
	"""`since`: when the old master was ended, seconds since the epoch. `others`: programs that were left as they are for it."""
	until = since + operation.options.old_web_timeout
	operation.emit(events.OldWebServes(replacement.old.name, replacement.reason, until, others))
	replacement.remedy = REPAIR


def end_lingering(operation: Operation) -> None:
	"""Before a schema changes: old workers of an earlier restart must not meet it. Raises ProcessFault where some stay."""
	if operation.bench.web.lingering() and not let_old_web_go(operation.bench):
		raise ProcessFault(
			"Old web workers of an earlier restart still serve, and would meet the new schema.",
			hint="Restart web first: bench safe-restart --no-workers",
		)


def let_old_web_go(bench: Bench) -> bool:
	"""False where some stay."""
	bench.web.end_lingering()
	return wait_until(lambda: not bench.web.lingering(), OLD_LEAVE, bench.clock)
