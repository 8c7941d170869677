"""The strategies, one story each: which steps, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fmx_restart.engine.events import Event
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Process, ProcessKind
from fmx_restart.engine.reload import Reload
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.steps.audit import (
	audit,
	close_ledger,
	close_ledger_on_the_move,
	open_ledger,
	with_old_code,
)
from fmx_restart.engine.steps.configuration import read_configuration
from fmx_restart.engine.steps.drain import drain, park, pass_gate
from fmx_restart.engine.steps.findings import refuse_held
from fmx_restart.engine.steps.hand_over import hand_over
from fmx_restart.engine.steps.hosts import host_by_host
from fmx_restart.engine.steps.last_look import last_look, unchanged
from fmx_restart.engine.steps.migrate import migrate_then, migrations_judged
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.reload import ask_scheduler, make_reloads, refuse_pools
from fmx_restart.engine.steps.restart import restart, restart_all, restart_idle
from fmx_restart.engine.steps.rolling import roll, stop_rolling
from fmx_restart.engine.steps.verify import verify


@contextmanager
def under_fence(operation: Operation) -> Iterator[None]:
	"""Idle workers take no job inside the block. Where it ends well every job is counted, and the queue runs again."""
	operation.enter(Phase.FENCE)
	if operation.ledger is None:  # one for all groups of hosts
		open_ledger(operation)
	with operation.fenced():
		park(operation)
		yield
		operation.enter(Phase.LIFT)
		operation.insist(lambda: close_ledger(operation))


def wait_workers(operation: Operation) -> None:
	"""Running jobs end first, then everything is restarted. Also the story of the fast strategy, with a short grace."""
	preflight(operation)
	with migrations_judged(operation):
		audit(operation, host_by_host(operation, restart_drained))


def restart_drained(operation: Operation) -> list[Replacement]:
	"""All that is to be restarted now, while no job runs there."""
	with under_fence(operation):
		drain(operation)
		last_look(operation)
		read_configuration(operation)
		replacements = migrate_then(operation, lambda: restart(operation))
	verify(operation, replacements)
	return replacements


def no_wait_workers(operation: Operation) -> None:
	"""Everything idle is restarted now; a busy worker is replaced when its job ends, while the queue runs."""
	preflight(operation)
	with migrations_judged(operation):
		in_place = all_in_place(operation)
		with under_fence(operation) if in_place is None else on_the_move(operation):
			last_look(operation)
			# a migration only with --force: running jobs go on meanwhile
			prompt, lingering = migrate_then(
				operation, lambda: restart_idle(operation, *(in_place or make_reloads(operation)))
			)
		verify(operation, prompt)
		prompt, lingering = at_work_now(prompt, lingering)
		ask_scheduler(operation, prompt)
		if lingering:
			is_new = all(replacement.stage is not Stage.FAILED for replacement in prompt)
			is_new = is_new and not with_old_code(operation)
			hand_over(operation, lingering, all_is_well=is_new and not operation.report.lapses)
		audit(operation, [*prompt, *lingering])


def all_in_place(operation: Operation) -> tuple[list[Reload], list[Process]] | None:
	"""make_reloads, where no worker has to be stopped; else None. Nobody is asked yet."""
	reloads, programs = make_reloads(operation)
	return None if not reloads or any(process.runs_jobs for process in programs) else (reloads, programs)


@contextmanager
def on_the_move(operation: Operation) -> Iterator[None]:
	"""The queue runs on in the block: nobody who may take a job is stopped. Where it ends well every job is counted."""
	operation.starts.spare_one()
	open_ledger(operation)
	yield
	operation.insist(lambda: close_ledger_on_the_move(operation))


def at_work_now(
	prompt: list[Replacement], lingering: list[Replacement]
) -> tuple[list[Replacement], list[Replacement]]:
	"""A worker that is to reload may have taken a job before its turn came: it reloads when that has ended."""
	later = [it for it in prompt if isinstance(it, Reload) and not it.is_settled]
	return [replacement for replacement in prompt if replacement not in later], [*lingering, *later]


def suspend_rq(operation: Operation) -> None:
	"""Everything is told to stop now; a job that still runs after the grace is killed."""
	preflight(operation)
	with migrations_judged(operation):
		with under_fence(operation):
			last_look(operation)
			read_configuration(operation)
			force_after = operation.options.force_kill_timeout
			# a migration only with --force: running jobs go on meanwhile
			replacements = migrate_then(operation, lambda: restart(operation, force_after=force_after))
		verify(operation, replacements)
		audit(operation, replacements)


ESSENTIAL = {ProcessKind.WEB, ProcessKind.SCHEDULER}


def rolling(operation: Operation) -> None:
	"""Web and scheduler at once, then worker after worker, each when it is idle; the queue is never suspended."""
	preflight(operation)
	replacements = host_by_host(operation, restart_rolling)
	ask_scheduler(operation, replacements)
	close_ledger_on_the_move(operation)
	audit(operation, replacements)


def restart_rolling(operation: Operation) -> list[Replacement]:
	"""All that is to be restarted now: web and scheduler, then worker after worker."""
	reloads, restart = make_reloads(operation)
	workers = [process for process in restart if process.runs_jobs]
	refuse_pools(workers, operation.look(), operation.bench.host, unchanged(operation))
	refuse_held(operation)
	last_look(operation)
	operation.starts.spare_one()
	if operation.ledger is None:  # one for all groups of hosts
		open_ledger(operation)
	others = restart_all(operation, [process for process in restart if process not in workers])
	verify(operation, others)
	return [*others, *roll_workers(operation, others, workers, reloads)]


def roll_workers(
	operation: Operation, others: list[Replacement], workers: list[Process], reloads: list[Reload]
) -> list[Replacement]:
	"""No worker is touched when web or the scheduler did not come back, or too many of the other processes."""
	failed = [replacement.old for replacement in others if replacement.stage is Stage.FAILED]
	is_essential = any(process.kind in ESSENTIAL for process in failed)
	if is_essential or len(failed) >= operation.options.rolling_max_failures:
		stop_rolling(operation, failed, [*workers, *(reload.old for reload in reloads)])
		return []
	operation.enter(Phase.HANDOVER)
	return roll(operation, workers, reloads, failed_before=failed)


def without_workers(operation: Operation) -> None:
	"""Web alone: no job notices, so the queue is neither fenced nor counted."""
	preflight(operation)
	audit(operation, host_by_host(operation, restart_untouched))


def restart_untouched(operation: Operation) -> list[Replacement]:
	"""All that is to be restarted now; none of it runs a job."""
	last_look(operation)
	read_configuration(operation)
	operation.starts.spare_one()
	replacements = restart(operation)
	verify(operation, replacements)
	return replacements


STORIES = {
	# the fast one differs in its options: a short grace, then force
	Strategy.FAST: wait_workers,
	Strategy.WAIT_WORKERS: wait_workers,
	Strategy.NO_WAIT_WORKERS: no_wait_workers,
	Strategy.ROLLING: rolling,
	Strategy.SUSPEND_RQ: suspend_rq,
}


FENCED = (Phase.FENCE, Phase.PARK)
MIGRATED = (Phase.BACKUP, Phase.MIGRATE)
REPLACED = (Phase.RESTART, Phase.LIFT, Phase.VERIFY)
#: The phases of each story between preflight and end, when all goes well; backup and migration only where asked for
PHASES = {
	Strategy.FAST: (*FENCED, Phase.DRAIN, *REPLACED, Phase.AUDIT),
	Strategy.WAIT_WORKERS: (*FENCED, Phase.DRAIN, *MIGRATED, *REPLACED, Phase.AUDIT),
	Strategy.NO_WAIT_WORKERS: (*FENCED, *MIGRATED, *REPLACED, Phase.HANDOVER, Phase.AUDIT),
	Strategy.ROLLING: (Phase.RESTART, Phase.VERIFY, Phase.HANDOVER, Phase.AUDIT),
	Strategy.SUSPEND_RQ: (*FENCED, *MIGRATED, *REPLACED, Phase.AUDIT),
}
PHASES_WITHOUT_WORKERS = (Phase.RESTART, Phase.VERIFY, Phase.AUDIT)


class StrategyStory:
	"""The Story of an operation: the steps of the strategy that its options name."""

	def run(self, operation: Operation) -> None:
		"""Every step of the operation's strategy; without its jobs where only web is restarted. Raises OperationError."""
		steps = STORIES[operation.options.strategy] if operation.options.touches_jobs else without_workers
		steps(operation)

	def pass_gate(self, operation: Operation) -> None:
		"""The last checks before the first change. Raises OperationError where one of them speaks against it."""
		pass_gate(operation)


def operation_for(bench: Bench, options: Options, emit: Callable[[Event], None], id: str) -> Operation:
	"""An operation that carries out its options when it runs. `id`: see new_operation_id."""
	return Operation(bench, options, emit, id, StrategyStory())
