"""
From an order that waits to a process of its own. The ticket in Redis decides who launches it, and whether it still may be;
the operation's process is told its id and reads the order's file itself (start_order). Neither a row nor Redis can change that.
"""

from __future__ import annotations

import subprocess
import sys
import time

import frappe

from fmx_restart.adapters.managers.systemd.scope import way_out
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.look import Looker
from fmx_restart.adapters.redis_queue.requests import Waiting
from fmx_restart.desk import bench, rows, start_order
from fmx_restart.desk.access import current, refusal_to_start
from fmx_restart.desk.start_order import InvalidOrder
from fmx_restart.engine.identity import is_operation_id
from fmx_restart.engine.ports import WorkerState

QUEUE = "short"
TIMEOUT = 60  # seconds for RQ's job and for the launch itself
TAKEN_WITHIN = (
	4.0  # seconds for a worker that looks free to take the job: it may have died, or its machine is busy
)
LOOK_AGAIN = 0.05  # seconds between two looks at the ticket
FREE = (WorkerState.STARTED, WorkerState.IDLE)
HELPER = ("-m", "frappe.utils.bench_helper", "frappe", "safe-restart")
AWAY = ("-m", "fmx_restart.adapters.own_session")
AGAIN = "Nothing was changed. Start it again; or type on the bench: bench safe-restart --wait-workers"


def enqueue(operation: str) -> None:
	"""In front of other jobs: whoever asked for a restart is waiting."""
	frappe.enqueue(
		"fmx_restart.desk.launch.launch",
		queue=QUEUE,
		timeout=TIMEOUT,
		at_front=True,
		operation=operation,
	)


def launch(operation: str, *, is_web: bool = False) -> bool:
	"""
	`is_web`: the caller is the web process, which the operation's journal tells. False when it is launched already, was
	cancelled, belongs to another site, or cannot be launched: its row then says why. What runs this ends before the operation
	begins to wait.
	"""
	try:
		order = start_order.read(bench.journal_folder(), operation)
	except InvalidOrder as fault:
		give_up(operation, str(fault))
		return False
	is_ours = order.site == frappe.local.site and not bench.was_launched(operation)
	if is_ours and (reason := refusal_to_start(current(), order.options)):
		give_up(operation, reason)
		return False
	if not is_ours or not bench.ticket().take(operation):
		return False
	words = [sys.executable, *HELPER, f"--order={order.operation}"]
	words += ["--launched-from-web"] if is_web else []
	away = [sys.executable, *AWAY, str(bench.output_of(operation)), *way_out(operation), *words]
	subprocess.run(away, check=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
	return True


def has_free_worker() -> bool:
	"""Whether some worker would take the launching job at once, by the workers' records. Raises QueueUnreachable."""
	with redis_border():
		look = Looker(bench.connection(), bench.bench_id()).look()
	return look.suspension is None and any(
		QUEUE in worker.queues and worker.state in FREE and not worker.is_leaving for worker in look.workers
	)


def was_taken(operation: str) -> bool:
	"""Wait until someone launched or withdrew it, for some seconds at most. Raises QueueUnreachable."""
	until = time.monotonic() + TAKEN_WITHIN
	while bench.ticket().waiting() == Waiting(operation, is_launched=False):
		if time.monotonic() > until:
			return False
		time.sleep(LOOK_AGAIN)
	return True


def give_up(operation: str, reason: str) -> None:
	"""
	Its order cannot be read on this host, so nobody launches it: the next one need not wait for it. One that was launched
	keeps what its journal tells, whatever has become of its order.
	"""
	is_waiting = is_operation_id(operation) and not bench.was_launched(operation)
	if is_waiting and frappe.db.exists(rows.DOCTYPE, operation):
		withdraw(operation, reason)


def withdraw(operation: str, reason: str, status: str = "Aborted") -> bool:
	"""
	Nobody launches it any more. False when it was launched, or its ticket is gone. Its ticket stays until the row says why,
	so that nobody else finds an operation for which nobody cares.
	"""
	if not bench.ticket().withdraw(operation):
		return False
	start_order.remove(bench.journal_folder(), operation)
	if frappe.db.exists(rows.DOCTYPE, operation):  # not on another site than the one that started it
		rows.run(operation, rows.update(operation, never_launched(reason, status)))
	bench.ticket().give_back(operation)
	return True


def never_launched(reason: str, status: str = "Aborted") -> rows.Row:
	"""The fields of a row whose operation never began. `status`: whether someone wanted that."""
	return {
		"status": status,
		"phase": "",
		"failure": rows.NEVER_LAUNCHED,
		"reason": f"It was never launched. {reason}",
		"remedy": AGAIN,
		"finished": time.time(),
	}
