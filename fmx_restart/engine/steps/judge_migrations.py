"""The verdict on the migrations, told when the bench is back in service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fmx_restart.engine.errors import LockLost, MigrationFailed, OperationError
from fmx_restart.engine.migration import Result, SiteMigration

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

IN_SERVICE = "The bench is back in service: every process is new, the queue moves, {settings}."
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
	settings = f"but could not put back {', '.join(left)}" if left else "settings are as they were found"
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
		return f"Go on with: {RESUME}"
	lines = (
		["The last lines:", *(f"  {line}" for line in migration.last_lines)] if migration.last_lines else []
	)
	lines += [f"All of it: {migration.log}"] if migration.log else []
	lines += [f"The backup from before: {migration.backup}"] if migration.backup else []
	longer = " (with a larger --migrate-timeout)" if migration.result is Result.TIMED_OUT else ""
	return "\n".join([*lines, f"Put the cause right, then go on with: {RESUME}{longer}"])
