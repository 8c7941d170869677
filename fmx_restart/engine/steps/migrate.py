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
from fmx_restart.engine.ports import HostProcess, Process, ProcessKind, Run
from fmx_restart.engine.replacement import Replacement, Stage, give_orders
from fmx_restart.engine.steps.code_elsewhere import check_code_elsewhere
from fmx_restart.engine.steps.findings import OLD_CODE, inspect_again
from fmx_restart.engine.steps.follow import advance, make_replacements, start_all
from fmx_restart.engine.steps.hold import check_old_web, hold_for_migration, web_to_hold
from fmx_restart.engine.steps.linger import end_lingering
from fmx_restart.engine.steps.restart import as_they_are_now, split_busy, wait_until_down
from fmx_restart.engine.steps.web import restart_begins
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import live_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

HELD = Patience(timeout=20.0, poll=0.05)  # for what its manager brings back, and is stopped again
AFTER_STOP = Patience(timeout=5.0, poll=0.05)
STARTED = Patience(timeout=30.0, poll=0.05)


def stop_old_programs(operation: Operation) -> None:
	"""
	Stop everything that is restarted, but for web that runs no workers; that, too, where its requests wait. Where one does not stop, or a worker is left that is
	not ours to stop, those that stopped are started again. Raises ProcessFault and WrongEnvironment; no schema was changed.
	"""
	web = as_they_are_now(operation, web_to_hold(operation))
	processes = [*web, *to_stop(operation)]
	restart_begins(operation, processes)
	replacements = []
	try:
		hold_for_migration(operation, web)
		replacements = operation.held = make_replacements(operation, processes, keeps_down=True)
		give_orders(operation.bench, replacements)
		wait_until_down(operation, replacements)
		keep_stopped(operation)
		check_old_web(operation)
		check_old_workers(operation)
	except OperationError as error:
		if operation.has_lost_lock:
			raise
		raise started_again(operation, replacements, error) from error
	except BaseException:
		start_all(operation, replacements)
		raise


def to_stop(operation: Operation) -> list[Process]:
	"""
	Also web of other hosts, which no setting of a site may reach. Where nobody waited for running jobs (only with --force)
	those that are at work go on.
	"""
	planned = operation.plan.restart
	others = chosen(planned, web=False, workers=True)
	far_web = [process for process in planned if process.host and process.kind is ProcessKind.WEB]
	processes = [it for it in planned if it.runs_jobs or it in others or it in far_web]
	if operation.options.strategy in DRAINING:
		return as_they_are_now(operation, processes)
	_, others = split_busy(operation, processes)
	return others


def keep_stopped(operation: Operation) -> None:
	"""Also before each further site. Raises LockLost; ProcessFault where one cannot be kept down."""
	operation.renew()
	replacements = operation.held
	if operation.wait(
		lambda: is_all_down(operation, replacements) or has_failed(replacements), HELD
	) and not has_failed(replacements):
		return
	if operation.fence_stood:  # what is left belongs to programs that are down, and runs no job
		operation.bench.host.end(leftovers_of(operation, replacements))
		wait_until(lambda: not leftovers_of(operation, replacements), AFTER_STOP, operation.bench.clock)
	if not is_all_down(operation, replacements):
		raise still_alive(operation, replacements)


def is_all_down(operation: Operation, replacements: list[Replacement]) -> bool:
	"""Whether all have ended for good, by their manager and by the process table."""
	return advance(operation, replacements) and all(replacement.is_held for replacement in replacements)


def has_failed(replacements: list[Replacement]) -> bool:
	"""Whether any of them has."""
	return any(replacement.stage is Stage.FAILED for replacement in replacements)


def by_py_spy(pids: list[int]) -> str:
	"""The command for the first of them."""
	return f" (py-spy dump --pid {pids[0]})" if pids else ""


def still_alive(operation: Operation, replacements: list[Replacement]) -> ProcessFault:
	"""The error that names what did not stop."""
	up = [
		replacement
		for replacement in replacements
		if not replacement.is_held or operation.bench.host.alive(replacement.family)
	]
	pids = [process.pid for replacement in up for process in operation.bench.host.alive(replacement.family)]
	return ProcessFault(
		f"These programs did not stop, and their old code would meet the new schema:"
		f" {', '.join(replacement.old.name for replacement in up)} (pid {', '.join(map(str, pids)) or 'unknown'}).",
		hint=f"Check what they are doing{by_py_spy(pids)}, stop them, and type the same command again.",
	)


def leftovers_of(operation: Operation, replacements: list[Replacement]) -> list[HostProcess]:
	"""Processes below programs that are down."""
	down = [replacement for replacement in replacements if replacement.is_held]
	return operation.bench.host.alive(member for replacement in down for member in replacement.family)


def check_old_workers(operation: Operation) -> None:
	"""A worker that lives now was started since the drain, or is left on purpose (--force). Raises WrongEnvironment."""
	left = [f"pid {worker.pid} on {worker.host}" for worker in live_workers(operation.look())]
	if left and not operation.options.migration.force:
		raise WrongEnvironment(
			f"Workers were started meanwhile that this restart does not replace: {', '.join(left)}.",
			hint=f"Stop them first. {OLD_CODE}",
		)
	operation.report.old_workers = left


def started_again(
	operation: Operation, replacements: list[Replacement], error: OperationError
) -> OperationError:
	"""Start what was stopped. Returns the same error, which now says also what was and what was not changed."""
	start_all(operation, replacements)
	wait_until(lambda: are_settled(operation, replacements), STARTED, operation.bench.clock)
	operation.held = []
	up = [replacement.old.name for replacement in replacements if replacement.stage is Stage.UP]
	down = [replacement.old.name for replacement in replacements if replacement.stage is not Stage.UP]
	web = "" if any(map(is_web, replacements)) else ", and web was not restarted"
	parts = [f"Not migrated: {error} No schema was changed{web}."]
	parts += [f"Started again, with the code that is on the disk now: {', '.join(up)}."] if up else []
	parts += [f"Not up: {', '.join(down)}."] if down else []
	return type(error)(" ".join(parts), hint=error.hint)


def is_web(replacement: Replacement) -> bool:
	"""True for what must be gone, or held, before the schema changes."""
	return replacement.old.kind is ProcessKind.WEB


def are_settled(operation: Operation, replacements: list[Replacement]) -> bool:
	"""Each has come back or failed."""
	return advance(operation, replacements) and all(replacement.is_settled for replacement in replacements)


T = TypeVar("T")
LOOK_EVERY = 0.1  # seconds between two looks at the output
#: both together stay below the lease: lock and fence are not renewed meanwhile
AFTER_TERM = Patience(timeout=10.0, poll=0.05)
AFTER_KILL = Patience(timeout=5.0, poll=0.05)


def migrate_then(operation: Operation, restart: Callable[[], T]) -> T:
	"""
	Migrate, then restart. Once a schema may have changed every process is replaced, however the migration ends, unless
	another operation has the bench.
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
	Back up and migrate all sites, where the options say so. The report has what became of each; a failure is raised by
	migrations_judged, when the bench is back in service.
	"""
	options = operation.options
	if options.migration is None:
		return
	inspect_again(operation)
	check_code_elsewhere(operation)
	operation.report.migrations = [SiteMigration(site) for site in options.sites]
	if options.migration.backup:
		back_up(operation)
	operation.heed_stop_request()
	operation.enter(Phase.MIGRATE)
	end_lingering(operation)
	stop_old_programs(operation)
	operation.migration_begun = True
	operation.emit(events.MigrationsPlanned(options.sites))
	migrate_sites(operation, operation.report.migrations)


def migrate_sites(operation: Operation, migrations: list[SiteMigration]) -> None:
	"""One after the other, until one fails or someone asks to stop."""
	for position, migration in enumerate(migrations):
		if operation.stop_requested.is_set():
			operation.emit(events.MigrationsStopped(tuple(left.site for left in migrations[position:])))
			return
		migrate_site(operation, migration)
		operation.emit(events.MigrationEnded(migration))
		if migration.result is not Result.DONE:
			return


def migrate_site(operation: Operation, migration: SiteMigration) -> None:
	"""`migration` is filled. Raises LockLost."""
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
	Wait for the run, and fill `migration`. However this returns, the run has ended and none of its processes is left. Only where another operation took the
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
			emit_lines(operation, output.site, output.close())
	migration.seconds, migration.exit_code = clock.now() - began, run.exit_code() if is_over else None
	note_result(migration, output)


def held_up_by(operation: Operation, site: str) -> list[str]:
	"""Why the run hangs, asked while it does: tables that are locked now are free again when it has ended."""
	try:
		findings = operation.bench.migrations.inspect(site, operation.options.migration)
	except OperationError as error:
		return [str(error)]
	return [f"At the timeout: {finding.text}" for finding in findings if finding.gravity is Gravity.TRANSIENT]


def is_at_end(operation: Operation, run: Run, output: Output) -> bool:
	"""Emit what was printed. The exit code is asked first, so that everything printed before the end is read."""
	is_over = run.exit_code() is not None
	emit_lines(operation, output.site, output.feed(run.output(), operation.bench.clock.now()))
	return is_over


def emit_lines(operation: Operation, site: str, lines: list[str]) -> None:
	"""Each as a fact of its own."""
	for line in lines:
		operation.emit(events.MigrationOutput(site, line))


def note_result(migration: SiteMigration, output: Output) -> None:
	"""By the exit code, which is None where the run was ended by us."""
	if migration.exit_code == 0:
		migration.result = Result.DONE
		return
	if migration.exit_code is None:
		migration.result = Result.TIMED_OUT
	migration.culprit, migration.last_lines = output.culprit, list(output.last_lines)


def end_run(operation: Operation, run: Run) -> None:
	"""TERM, then KILL for what is still there. Without operation.wait, which may be what just raised."""
	clock = operation.bench.clock
	run.terminate()
	if not wait_until(run.is_gone, AFTER_TERM, clock):
		run.kill()
		wait_until(run.is_gone, AFTER_KILL, clock)


def back_up(operation: Operation) -> None:
	"""Back up every site. Raises MigrationFailed while everything can still be undone."""
	operation.enter(Phase.BACKUP)
	for migration in operation.report.migrations:
		attempt = SiteMigration(migration.site, Result.FAILED)
		run = operation.bench.migrations.start_backup(migration.site)
		operation.emit(events.BackupStarted(migration.site, run.log))
		follow(operation, run, attempt, operation.options.migration.timeout)
		file = operation.bench.migrations.backup_file(migration.site, run)
		if attempt.result is not Result.DONE or not file:
			raise backup_failed(operation, attempt, run.log)
		migration.backup = file
		operation.emit(events.BackupEnded(migration.site, file, attempt.seconds))


def backup_failed(operation: Operation, attempt: SiteMigration, log: str) -> MigrationFailed:
	"""The error for it, with the last lines of what it printed."""
	how = "ended without a backup file" if attempt.result is Result.DONE else f"{attempt.result.value}"
	return MigrationFailed(
		f"The backup of {attempt.site} {how}. Nothing was migrated. {operation.undone}",
		hint="\n".join([*attempt.last_lines, f"Full output: {log}"]),
	)


IN_SERVICE = "The bench is back in service: every process is new, the queue is running, {settings}."
RESUME = "bench safe-restart --migrate --resume"


@contextmanager
def migrations_judged(operation: Operation) -> Iterator[None]:
	"""Around what follows the migrations. Raises MigrationFailed for a failed one, with what else went wrong."""
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
	"""A sentence for whoever reads of a failed migration: the bench runs."""
	left = [kept.found.key for kept in operation.report.settings if kept.reason]
	settings = f"but could not put back {', '.join(left)}" if left else "settings are restored"
	return IN_SERVICE.format(settings=settings)


def verdict(migrations: list[SiteMigration], afterwards: str) -> MigrationFailed | None:
	"""The error for sites that are not done; None when all are. `afterwards`: its last sentence."""
	unfinished = [migration for migration in migrations if migration.result is not Result.DONE]
	if not unfinished:
		return None
	first = unfinished[0]
	done = [migration.site for migration in migrations if migration.result is Result.DONE]
	not_tried = [migration.site for migration in unfinished if migration.result is Result.NOT_TRIED]
	parts = [what_happened(first)]
	parts += [f"Done: {', '.join(done)}."] if done else []
	parts += [f"Not tried: {', '.join(not_tried)}."] if not_tried else []
	return MigrationFailed(" ".join([*parts, afterwards]), hint=next_steps(first))


def what_happened(migration: SiteMigration) -> str:
	"""In a sentence, with the patch or DocType at which it failed where that is known."""
	if migration.result is Result.NOT_TRIED:
		return "Stopped on request before every site was migrated."
	at = f" at {migration.culprit}" if migration.culprit else ""
	if migration.result is Result.TIMED_OUT:
		return f"The migration of {migration.site} did not end within {migration.seconds:.0f} s and was stopped{at}."
	code = "" if migration.exit_code is None else f", exit code {migration.exit_code}"
	return f"The migration of {migration.site} failed{at} after {migration.seconds:.0f} s{code}."


def next_steps(migration: SiteMigration) -> str:
	"""The end of what it printed, where all of it is, the backup, and what to type next."""
	if migration.result is Result.NOT_TRIED:
		return f"To continue, type: {RESUME}"
	lines = (
		["The last lines:", *(f"  {line}" for line in migration.last_lines)] if migration.last_lines else []
	)
	lines += [f"Full output: {migration.log}"] if migration.log else []
	lines += [f"Backup made before it: {migration.backup}"] if migration.backup else []
	longer = " (with a larger --migrate-timeout)" if migration.result is Result.TIMED_OUT else ""
	return "\n".join([*lines, f"Fix the cause, then type: {RESUME}{longer}"])
