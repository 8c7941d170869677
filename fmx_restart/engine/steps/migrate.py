"""Migrate the sites, one after the other, while no worker and no scheduler with old code is alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	LockLost,
	MigrationFailed,
	OperationError,
	ProcessFault,
	WrongEnvironment,
)
from fmx_restart.engine.migration import Gravity, Output, Result, SiteMigration
from fmx_restart.engine.options import DRAINING
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import chosen
from fmx_restart.engine.ports import HostProcess, Process, Run
from fmx_restart.engine.replacement import Replacement, Stage, give_orders
from fmx_restart.engine.steps.preflight import OLD_CODE, inspect_again
from fmx_restart.engine.steps.restart import as_they_are, pass_on, relays_of, see_down, split_busy, start_all
from fmx_restart.engine.steps.web import watch
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import live_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

HELD = Patience(timeout=20.0, poll=0.05)  # for what its manager brings back, and is stopped again
AFTER_STOP = Patience(timeout=5.0, poll=0.05)
STARTED = Patience(timeout=30.0, poll=0.05)


def stop_old_programs(operation: Operation) -> None:
	"""
	Everything that is restarted but web (and that too where it runs workers). Where one does not stop, or a worker is left that is not ours to stop, those that
	stopped are started again and a ProcessFault or WrongEnvironment is raised: no schema was changed.
	"""
	processes = to_stop(operation)
	watch(operation, processes)
	relays = operation.held = relays_of(operation, processes, keeps_down=True)
	try:
		give_orders(operation.bench, relays)
		see_down(operation, relays)
		keep_stopped(operation)
		check_old_workers(operation)
	except OperationError as error:
		if operation.has_lost_lock:
			raise
		raise started_again(operation, relays, error) from error
	except BaseException:
		start_all(operation, relays)
		raise


def to_stop(operation: Operation) -> list[Process]:
	"""Where nobody waited for running jobs (only with --force) those that are at work go on."""
	planned = operation.plan.restart
	others = chosen(planned, web=False, workers=True)
	processes = [process for process in planned if process.runs_jobs or process in others]
	if operation.options.strategy in DRAINING:
		return as_they_are(operation, processes)
	_, others = split_busy(operation, processes)
	return others


def keep_stopped(operation: Operation) -> None:
	"""Also before each further site. Raises LockLost; ProcessFault where one cannot be kept down."""
	operation.renew()
	relays = operation.held
	if operation.wait(lambda: is_all_down(operation, relays) or has_failed(relays), HELD) and not has_failed(
		relays
	):
		return
	if operation.fence_stood:  # it belongs to a program that is down, and runs no job
		operation.bench.host.end(left_of(operation, relays))
		wait_until(lambda: not left_of(operation, relays), AFTER_STOP, operation.bench.clock)
	if not is_all_down(operation, relays):
		raise still_alive(operation, relays)


def is_all_down(operation: Operation, relays: list[Replacement]) -> bool:
	"""By the manager and by the process table."""
	return pass_on(operation, relays) and all(relay.is_held for relay in relays)


def has_failed(relays: list[Replacement]) -> bool:
	return any(relay.leg is Stage.FAILED for relay in relays)


def still_alive(operation: Operation, relays: list[Replacement]) -> ProcessFault:
	up = [relay for relay in relays if not relay.is_held or operation.bench.host.alive(relay.family)]
	pids = [process.pid for relay in up for process in operation.bench.host.alive(relay.family)]
	return ProcessFault(
		f"These programs did not stop, and their old code would meet the new schema:"
		f" {', '.join(relay.old.name for relay in up)} (pid {', '.join(map(str, pids)) or 'unknown'}).",
		hint="Check what they are doing, e.g. py-spy dump --pid PID, stop them, and type the same command again.",
	)


def left_of(operation: Operation, relays: list[Replacement]) -> list[HostProcess]:
	down = [relay for relay in relays if relay.is_held]
	return operation.bench.host.alive(member for relay in down for member in relay.family)


def check_old_workers(operation: Operation) -> None:
	"""Whoever is alive now was started since the drain, or is known and left on purpose (--force)."""
	left = [f"pid {worker.pid} on {worker.host}" for worker in live_workers(operation.look())]
	if left and not operation.options.migration.force:
		raise WrongEnvironment(
			f"Workers were started meanwhile that this restart does not replace: {', '.join(left)}.",
			hint=f"Stop them first. {OLD_CODE}",
		)
	operation.report.old_workers = left


def started_again(operation: Operation, relays: list[Replacement], error: OperationError) -> OperationError:
	"""The same error, which says also what was and what was not changed."""
	start_all(operation, relays)
	wait_until(lambda: are_settled(operation, relays), STARTED, operation.bench.clock)
	operation.held = []
	up = [relay.old.name for relay in relays if relay.leg is Stage.UP]
	down = [relay.old.name for relay in relays if relay.leg is not Stage.UP]
	parts = [f"Not migrated: {error} No schema was changed, and web was not restarted."]
	parts += [f"Started again, with the code that is on the disk now: {', '.join(up)}."] if up else []
	parts += [f"Not up: {', '.join(down)}."] if down else []
	return type(error)(" ".join(parts), hint=error.hint)


def are_settled(operation: Operation, relays: list[Replacement]) -> bool:
	return pass_on(operation, relays) and all(relay.is_settled for relay in relays)


T = TypeVar("T")
LOOK_EVERY = 0.1  # seconds between two looks at the output
#: both together stay below the lease: lock and fence are not renewed meanwhile
AFTER_TERM = Patience(timeout=10.0, poll=0.05)
AFTER_KILL = Patience(timeout=5.0, poll=0.05)


def migrate_then(operation: Operation, restart: Callable[[], T]) -> T:
	"""
	Once a schema may have changed every process is replaced, whatever ends the migration: unless the bench is not ours any
	more.
	"""
	try:
		migrate(operation)
	except LockLost:
		raise
	except BaseException:
		if operation.migration_begun and not operation.has_lost_lock:
			restart()
		raise
	return restart()


def migrate(operation: Operation) -> None:
	"""
	Nothing to do without options for it. What became of each site stands in the report; a failure is raised by
	judge_migrations, when the bench is back in service.
	"""
	options = operation.options
	if options.migration is None:
		return
	inspect_again(operation)
	operation.report.migrations = [SiteMigration(site) for site in options.sites]
	if options.migration.backup:
		back_up(operation)
	operation.heed_stop_request()
	operation.enter(Phase.MIGRATE)
	stop_old_programs(operation)
	operation.migration_begun = True
	operation.emit(events.MigrationsPlanned(options.sites))
	migrate_sites(operation, operation.report.migrations)


def migrate_sites(operation: Operation, migrations: list[SiteMigration]) -> None:
	for position, migration in enumerate(migrations):
		if operation.stop_requested.is_set():
			operation.emit(events.MigrationsStopped(tuple(left.site for left in migrations[position:])))
			return
		migrate_site(operation, migration)
		operation.emit(events.MigrationEnded(migration))
		if migration.result is not Result.DONE:
			return


def migrate_site(operation: Operation, migration: SiteMigration) -> None:
	options = operation.options.migration
	migration.result = Result.FAILED  # until it is proved done
	try:
		keep_stopped(operation)
		run = operation.bench.migrations.start(migration.site, options)
	except LockLost:
		raise
	except OperationError as error:  # the command is not there (any more): the bench goes back into service
		migration.last_lines = [str(error)]
		return
	migration.log = run.log
	operation.emit(events.MigrationStarted(migration.site, run.log, options.timeout))
	follow(operation, run, migration, options.timeout)


def follow(operation: Operation, run: Run, migration: SiteMigration, timeout: float) -> None:
	"""
	However this ends, the run has ended: nothing of it goes on behind our back. Only where another operation took the
	bench it is left to the recovery, which sees it to its end.
	"""
	output, clock = Output(migration.site), operation.bench.clock
	began = clock.now()
	is_over = False
	try:
		operation.wait(lambda: is_at_end(operation, run, output), Patience(timeout, LOOK_EVERY))
		is_over = is_at_end(operation, run, output)  # while Redis was away nobody looked
		if not is_over:
			output.add(held_up_by(operation, migration.site))
	finally:
		if not operation.has_lost_lock:
			if not is_over or run.exit_code():
				end_run(operation, run)
			is_at_end(operation, run, output)
			tell(operation, output.site, output.close())
	migration.seconds, migration.exit_code = clock.now() - began, run.exit_code() if is_over else None
	note_result(migration, output)


def held_up_by(operation: Operation, site: str) -> list[str]:
	"""Asked while it still hangs: locked tables are the usual reason, and free again when it has ended."""
	try:
		findings = operation.bench.migrations.inspect(site, operation.options.migration)
	except OperationError as error:
		return [str(error)]
	return [f"At the timeout: {found.text}" for found in findings if found.gravity is Gravity.TRANSIENT]


def is_at_end(operation: Operation, run: Run, output: Output) -> bool:
	"""The exit code is asked first: what was printed before it is read then for certain."""
	is_over = run.exit_code() is not None
	tell(operation, output.site, output.feed(run.output(), operation.bench.clock.now()))
	return is_over


def tell(operation: Operation, site: str, lines: list[str]) -> None:
	for line in lines:
		operation.emit(events.MigrationOutput(site, line))


def note_result(migration: SiteMigration, output: Output) -> None:
	if migration.exit_code == 0:
		migration.result = Result.DONE
		return
	if migration.exit_code is None:
		migration.result = Result.TIMED_OUT
	migration.culprit, migration.last_lines = output.culprit, list(output.last_lines)


def end_run(operation: Operation, run: Run) -> None:
	"""TERM, and KILL for what does not heed it. Not by operation.wait: that may be what just raised."""
	clock = operation.bench.clock
	run.terminate()
	if not wait_until(run.is_gone, AFTER_TERM, clock):
		run.kill()
		wait_until(run.is_gone, AFTER_KILL, clock)


def back_up(operation: Operation) -> None:
	"""Raises MigrationFailed while all can still be undone."""
	operation.enter(Phase.BACKUP)
	for migration in operation.report.migrations:
		attempt = SiteMigration(migration.site, Result.FAILED)
		run = operation.bench.migrations.start_backup(migration.site)
		operation.emit(events.BackupStarted(migration.site, run.log))
		follow(operation, run, attempt, operation.options.migration.timeout)
		file = operation.bench.migrations.backup_file(migration.site, run)
		if attempt.result is not Result.DONE or not file:
			raise backup_failed(attempt, run.log)
		migration.backup = file
		operation.emit(events.BackupEnded(migration.site, file, attempt.seconds))


def backup_failed(attempt: SiteMigration, log: str) -> MigrationFailed:
	how = "named no file that is there" if attempt.result is Result.DONE else f"{attempt.result.value}"
	return MigrationFailed(
		f"The backup of {attempt.site} {how}. Nothing was migrated and nothing restarted; the queue keeps running.",
		hint="\n".join([*attempt.last_lines, f"All it printed: {log}"]),
	)


IN_SERVICE = "The bench is back in service: every process is new, the queue is running, {settings}."
RESUME = "bench safe-restart --migrate --resume"


@contextmanager
def migrations_judged(operation: Operation) -> Iterator[None]:
	"""Around what follows the migrations. A failed one is told first, with what went wrong besides."""
	try:
		yield
	except LockLost:
		raise  # nothing is judged: the migration may go on
	except OperationError as fault:
		if operation.migration_begun and (error := verdict(operation.report.migrations, f"Besides: {fault}")):
			raise error from fault
		raise
	if error := verdict(operation.report.migrations, in_service(operation)):
		raise error


def in_service(operation: Operation) -> str:
	left = [kept.found.key for kept in operation.report.settings if kept.reason]
	settings = f"but could not put back {', '.join(left)}" if left else "settings are restored"
	return IN_SERVICE.format(settings=settings)


def verdict(migrations: list[SiteMigration], afterwards: str) -> MigrationFailed | None:
	"""None when every site is done."""
	open_ones = [migration for migration in migrations if migration.result is not Result.DONE]
	if not open_ones:
		return None
	first = open_ones[0]
	done = [migration.site for migration in migrations if migration.result is Result.DONE]
	not_tried = [migration.site for migration in open_ones if migration.result is Result.NOT_TRIED]
	parts = [what_happened(first)]
	parts += [f"Done: {', '.join(done)}."] if done else []
	parts += [f"Not tried: {', '.join(not_tried)}."] if not_tried else []
	return MigrationFailed(" ".join([*parts, afterwards]), hint=way_on(first))


def what_happened(migration: SiteMigration) -> str:
	if migration.result is Result.NOT_TRIED:
		return "Stopped on request before every site was migrated."
	at = f" at {migration.culprit}" if migration.culprit else ""
	if migration.result is Result.TIMED_OUT:
		return f"The migration of {migration.site} did not end within {migration.seconds:.0f} s and was stopped{at}."
	code = "" if migration.exit_code is None else f", exit code {migration.exit_code}"
	return f"The migration of {migration.site} failed{at} after {migration.seconds:.0f} s{code}."


def way_on(migration: SiteMigration) -> str:
	"""The end of what it printed, where all of it is, the backup, and what to type next."""
	if migration.result is Result.NOT_TRIED:
		return f"To continue, type: {RESUME}"
	lines = (
		["The last lines:", *(f"  {line}" for line in migration.last_lines)] if migration.last_lines else []
	)
	lines += [f"All of it: {migration.log}"] if migration.log else []
	lines += [f"The backup from before: {migration.backup}"] if migration.backup else []
	longer = " (with a larger --migrate-timeout)" if migration.result is Result.TIMED_OUT else ""
	return "\n".join([*lines, f"Fix the cause, then type: {RESUME}{longer}"])
