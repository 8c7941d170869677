"""The code on other hosts, tried by a worker of this app that runs there: from here nobody can load it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Look, Trial, Worker
from fmx_restart.engine.reload import CANNOT
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import live_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

SEEN_WITHIN = 5.0  # seconds: a suspended worker looks once a second
TRIED_WITHIN = Patience(timeout=75.0, poll=0.1)  # it gives itself a minute


def check_code_elsewhere(operation: Operation) -> None:
	"""
	While all workers are suspended. Emits for each host whether nobody there could try the code. Raises WrongEnvironment where it
	cannot be loaded, unless the options ignore such faults.
	"""
	hosts = sorted({process.host for process in operation.plan.replaced if process.host})
	testers = testers_on(hosts, operation.look())
	for host in hosts:
		if host not in testers:
			tell_unchecked(operation, host, "no worker of this app that could load it runs there")
	if testers:
		judge(operation, testers, tried(operation, list(testers.values())))


def testers_on(hosts: Iterable[str], look: Look) -> dict[str, Worker]:
	"""By host: a worker that can say whether the code there can be loaded."""
	able = [worker for worker in live_workers(look) if worker.reload and not worker.is_leaving]
	return {host: worker for host in hosts for worker in able if worker.host == host}


def tried(operation: Operation, workers: list[Worker]) -> dict[str, Trial]:
	"""By worker: what it has found, as far as it has answered in time."""
	queue, clock = operation.bench.queue, operation.bench.clock
	operation.insist(lambda: queue.ask_to_try(workers))
	asked_at, found = clock.now(), dict.fromkeys((worker.name for worker in workers), Trial())

	def are_over() -> bool:
		found.update(queue.trials(workers))
		is_late = clock.now() - asked_at > SEEN_WITHIN
		return all(trial.is_over or (is_late and not trial.is_seen) for trial in found.values())

	operation.wait(are_over, TRIED_WITHIN)
	return found


def judge(operation: Operation, testers: dict[str, Worker], found: dict[str, Trial]) -> None:
	"""Raises WrongEnvironment."""
	broken = []
	for host, worker in testers.items():
		trial = found[worker.name]
		if not trial.is_over or trial.fault.partition(" ")[0] in CANNOT:
			tell_unchecked(operation, host, f"its worker (pid {worker.pid}) did not try it")
		elif trial.fault:
			broken.append(f"{host}: {trial.fault}")
	if broken and not operation.options.ignore_code_faults:
		raise WrongEnvironment(
			f"The code as it is now cannot be loaded on other hosts. {'; '.join(broken)}. {operation.undone}",
			hint="Bring the same code to each host, and type the same command again; or migrate anyway with --force.",
		)


def tell_unchecked(operation: Operation, host: str, why: str) -> None:
	"""Emit it: the migration goes on."""
	operation.emit(events.CodeNotChecked(f"on {host}: {why}"))
