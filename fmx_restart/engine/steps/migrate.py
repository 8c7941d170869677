"""One site after the other, between drain and restart. A migration that fails ends the row, not the operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fmx_restart.engine import events
from fmx_restart.engine.errors import LockLost, MigrationFailed, OperationError
from fmx_restart.engine.migration import Gravity, Result, SiteMigration
from fmx_restart.engine.migration_output import Output
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Run
from fmx_restart.engine.steps.inspect_sites import inspect_again
from fmx_restart.engine.steps.old_programs import keep_stopped, stop_old_programs
from fmx_restart.engine.waiting import Patience, wait_until

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

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
	return [f"When its time was over: {found.text}" for found in findings if found.gravity is Gravity.PASSING]


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
		f"The backup of {attempt.site} {how}. Nothing was migrated and nothing restarted; the queue goes on.",
		hint="\n".join([*attempt.last_lines, f"All it printed: {log}"]),
	)
