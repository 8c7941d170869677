"""The strategies, one story each: which steps, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fmx_restart.engine.events import Event
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Process, ProcessKind
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.steps.audit import audit, close_ledger, close_ledger_on_the_move, open_ledger
from fmx_restart.engine.steps.drain import drain, park, pass_gate
from fmx_restart.engine.steps.hand_over import hand_over, refuse_pools, roll, stop_rolling
from fmx_restart.engine.steps.migrate import migrate_then, migrations_judged
from fmx_restart.engine.steps.preflight import last_look, preflight
from fmx_restart.engine.steps.restart import restart, restart_all, restart_idle
from fmx_restart.engine.steps.verify import verify


@contextmanager
def under_fence(operation: Operation) -> Iterator[None]:
	"""Inside the block no idle worker takes a job. At its good end every job is counted, and the queue runs again."""
	operation.enter(Phase.FENCE)
	open_ledger(operation)
	with operation.fenced():
		park(operation)
		yield
		operation.enter(Phase.LIFT)
		operation.insist(lambda: close_ledger(operation))


def wait_workers(operation: Operation) -> None:
	preflight(operation)
	with migrations_judged(operation):
		with under_fence(operation):
			drain(operation)
			last_look(operation)
			relays = migrate_then(operation, lambda: restart(operation))
		verify(operation, relays)
		audit(operation, relays)


def no_wait_workers(operation: Operation) -> None:
	preflight(operation)
	with migrations_judged(operation):
		with under_fence(operation):
			last_look(operation)
			# a migration only with --force: running jobs go on meanwhile
			prompt, lingering = migrate_then(operation, lambda: restart_idle(operation))
		verify(operation, prompt)
		if lingering:
			failed = any(relay.leg is Stage.FAILED for relay in prompt)
			hand_over(operation, lingering, all_is_well=not failed and not operation.report.lapses)
		audit(operation, [*prompt, *lingering])


def suspend_rq(operation: Operation) -> None:
	preflight(operation)
	with migrations_judged(operation):
		with under_fence(operation):
			last_look(operation)
			force_after = operation.options.force_kill_timeout
			# a migration only with --force: running jobs go on meanwhile
			relays = migrate_then(operation, lambda: restart(operation, force_after=force_after))
		verify(operation, relays)
		audit(operation, relays)


ESSENTIAL = {ProcessKind.WEB, ProcessKind.SCHEDULER}


def rolling(operation: Operation) -> None:
	preflight(operation)
	workers = [process for process in operation.plan.restart if process.runs_jobs]
	refuse_pools(operation, workers)
	last_look(operation)
	open_ledger(operation)
	others = restart_all(operation, [process for process in operation.plan.restart if process not in workers])
	verify(operation, others)
	relays = roll_workers(operation, others, workers)
	close_ledger_on_the_move(operation)
	audit(operation, [*others, *relays])


def roll_workers(
	operation: Operation, others: list[Replacement], workers: list[Process]
) -> list[Replacement]:
	"""No worker is touched when web or the scheduler did not come back, or too many of the other processes."""
	failed = [relay.old for relay in others if relay.leg is Stage.FAILED]
	is_essential = any(process.kind in ESSENTIAL for process in failed)
	if is_essential or len(failed) >= operation.options.rolling_max_failures:
		stop_rolling(operation, failed, workers)
		return []
	operation.enter(Phase.HANDOVER)
	return roll(operation, workers, failed_before=failed)


def without_workers(operation: Operation) -> None:
	preflight(operation)
	last_look(operation)
	relays = restart(operation)
	verify(operation, relays)
	audit(operation, relays)


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
	"""The Story of an operation: by its options the steps of one strategy."""

	def tell(self, operation: Operation) -> None:
		steps = STORIES[operation.options.strategy] if operation.options.touches_jobs else without_workers
		steps(operation)

	def pass_gate(self, operation: Operation) -> None:
		pass_gate(operation)


def operation_for(bench: Bench, options: Options, emit: Callable[[Event], None], id: str) -> Operation:
	"""One that does what its options say when it runs. `id`: see new_operation_id."""
	return Operation(bench, options, emit, id, StrategyStory())
