"""Web that others stand in for: one program after the other, or rolled out by its manager, so that somebody answers meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine.ports import Process, ProcessKind
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.steps.follow import begin_replacements, follow, never_left_down
from fmx_restart.engine.steps.linger import REPAIR
from fmx_restart.engine.steps.rolling import stop_rolling
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: gunicorn gives requests that are under way 30 s
STOPS = Patience(timeout=60.0, poll=0.05)
COMES_UP = Patience(timeout=90.0, poll=0.05)
STAYS_UP = 2.0  # seconds that one must run before the next one is stopped
#: seconds in which a rollout must make progress, by what its manager says of it: a process boots, and another one ends
ADVANCES = 120.0
ROLLS_OUT = Patience(timeout=3600.0, poll=0.05)


def replicas_among(processes: Iterable[Process]) -> list[Process]:
	"""Web programs that others stand in for, and those whose manager makes their successors first."""
	return [it for it in processes if it.kind is ProcessKind.WEB and (it.has_replicas or it.rolls_out)]


def replace_replicas(operation: Operation, processes: Iterable[Process]) -> list[Replacement]:
	"""
	One after the other, each when the one before has stayed up. Ends with the first one that fails: those after it keep the old
	code, and serve.
	"""
	replacements: list[Replacement] = []
	for process in processes:
		(replacement,) = begin_replacements(operation, [process])
		replacements.append(replacement)
		with never_left_down(operation, replacements):
			(roll_out if replacement.is_rolled_out else replace_one)(operation, replacement)
		if replacement.stage is Stage.FAILED:
			break
	return replacements


def replace_one(operation: Operation, replacement: Replacement) -> None:
	"""Wait until the new one has stayed up, or has failed. An old one that does not heed its stop is killed."""

	def is_past_stop() -> bool:
		follow(operation, [replacement])
		return replacement.stage is not Stage.STOPPING

	def is_settled() -> bool:
		follow(operation, [replacement])
		since = replacement.up_at if replacement.stage is Stage.UP else None
		is_proved = since is not None and operation.bench.clock.now() - since >= STAYS_UP
		return is_proved or replacement.stage is Stage.FAILED

	if not operation.wait(is_past_stop, STOPS):
		operation.bench.processes.kill([replacement.old.name])
	if not operation.wait(is_settled, COMES_UP):
		replacement.fail("it is not running yet")


def roll_out(operation: Operation, replacement: Replacement) -> None:
	"""Wait until its manager has replaced it and it has stayed up, or makes no progress any more."""
	clock, seen = operation.bench.clock, [("", operation.bench.clock.now())]

	def is_settled() -> bool:
		follow(operation, [replacement])
		progress = f"{replacement.stage.value} {replacement.current.detail}"
		if seen[-1][0] != progress:
			seen.append((progress, clock.now()))
		if replacement.stage is Stage.UP and replacement.up_at is not None:
			return clock.now() - replacement.up_at >= STAYS_UP
		return replacement.stage is Stage.FAILED or clock.now() - seen[-1][1] > ADVANCES

	operation.wait(is_settled, ROLLS_OUT)
	if replacement.stage not in (Stage.UP, Stage.FAILED):
		detail = replacement.current.detail
		replacement.fail(f"its successor is not running yet{f': {detail}' if detail else ''}")


def keep_replicas(
	operation: Operation, replacements: Iterable[Replacement], others: Iterable[Process]
) -> None:
	"""The new code of one does not come up: these others stay as they are. The report and the listeners say so."""
	failed = [replacement for replacement in replacements if replacement.stage is Stage.FAILED]
	for replacement in failed:
		replacement.remedy = replacement.remedy or REPAIR
	stop_rolling(operation, [replacement.old for replacement in failed], others)
