"""
The rounds of the race. Run by Frappe's interpreter in the sites folder; prints progress to stderr and its counts as
JSON. Usage: python race_rounds.py '{"site", "rounds", "journals": {"plain", "safe"}}'
"""

from __future__ import annotations

import json
import queue
import random
import sys
import threading
import time
from dataclasses import replace
from uuid import uuid4

import frappe
from fmx_workload.jobs import note

from fmx_restart.engine import events
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import (
	Bench,
	ProcessKind,
	ProcessManagers,
	ProcessState,
	Survey,
	WorkerState,
)
from fmx_restart.engine.strategies import operation_for
from fmx_restart.wiring import new_operation_id, this_bench

#: A job arrives this many milliseconds before or after the stop, at the most (facts: most are lost within 4).
SPREAD = 4.0
#: When safe-restart is attacked: at each of these it still has, or had just now, something to lose.
ATTACKED = {Phase.FENCE, Phase.PARK, Phase.DRAIN, Phase.RESTART, Phase.LIFT}
DEADLINE = 120.0  # seconds for anything we wait for
#: Seconds after which a worker counts as stuck: RQ can swallow a TERM (its StopRequested is an Exception, and Python's
#: logging catches those). supervisor would go on waiting for 360 or 1560 s before it kills; we do it at once.
STUCK = 15.0


class Arrivals:
	"""Puts bursts of jobs from a thread of its own, so that the stop doesn't wait for them."""

	def __init__(self, site: str) -> None:
		self.site = site
		self.orders: queue.Queue = queue.Queue()
		threading.Thread(target=self._serve, daemon=True).start()

	def burst(self, count: int, journal: str) -> None:
		self.orders.put((count, journal))

	def settle(self) -> None:
		self.orders.join()

	def _serve(self) -> None:
		frappe.init(site=self.site)
		frappe.connect()
		while True:
			count, journal = self.orders.get()
			for _ in range(count):
				time.sleep(random.uniform(0, SPREAD / 1000 / count))
				self._put(journal)
			self.orders.task_done()

	@staticmethod
	def _put(journal: str) -> None:
		token = uuid4().hex
		name = random.choice(("short", "default", "long"))
		frappe.enqueue(
			"fmx_workload.jobs.work", queue=name, job_id=token, token=token, journal=journal, on_queue=name
		)
		note(journal, token, "enqueued", name)


class WorkersOnly(ProcessManagers):
	"""The bench's process managers, but for everything that is no worker: the race is about workers."""

	def survey(self) -> Survey:
		found = super().survey()
		return replace(found, processes=[it for it in found.processes if it.kind is ProcessKind.WORKER])


def workers_only(site: str) -> tuple[str, Bench]:
	id = new_operation_id()
	bench = this_bench(id, site)
	return id, replace(bench, processes=WorkersOnly({"this machine": bench.processes}))


def safe_round(site: str, arrivals: Arrivals, journal: str) -> int:
	"""Returns how many jobs had to be put back."""
	id, bench = workers_only(site)
	count = len(bench.processes.list())

	def attack(event: events.Event) -> None:
		if isinstance(event, events.PhaseEntered) and event.phase in ATTACKED:
			arrivals.burst(count, journal)

	report = operation_for(bench, Options(drain_timeout=DEADLINE), attack, id).run()
	return report.account.requeued


def plain_round(site: str, arrivals: Arrivals, journal: str) -> int:
	"""Returns how many workers took no notice of their TERM."""
	_, bench = workers_only(site)
	processes = bench.processes.list()
	arrivals.burst(len(processes), journal)
	time.sleep(random.uniform(0, SPREAD / 1000))
	give(bench, stop=[process.name for process in processes])
	down = {ProcessState.STOPPED, ProcessState.EXITED}
	stuck = wait_for_stops(bench, down)
	wait(lambda: all(process.state in down for process in bench.processes.list()))
	give(bench, start=[process.name for process in processes])
	return stuck


def give(bench: Bench, **orders: list[str]) -> None:
	"""Raises the ProcessFault of the first order that is refused."""
	for fault in bench.processes.order(**orders).values():
		raise fault


def wait_for_stops(bench: Bench, down: set[ProcessState]) -> int:
	deadline = time.monotonic() + STUCK
	while time.monotonic() < deadline:
		if all(process.state in down for process in bench.processes.list()):
			return 0
		time.sleep(0.05)
	stuck = [process.pid for process in bench.processes.list() if process.state not in down]
	for pid in stuck:
		bench.host.end(bench.host.family(pid))
	return len(stuck)


def settle(site: str) -> int:
	"""Wait until every worker is idle and nothing is queued. Returns the number of workers."""
	_, bench = workers_only(site)

	def at_rest() -> bool:
		look = bench.queue.look()
		pids = {process.pid for process in bench.processes.list() if process.state is ProcessState.RUNNING}
		idle = {worker.pid for worker in look.workers if worker.state is WorkerState.IDLE}
		return bool(pids) and pids <= idle and not any(look.depths.values()) and not look.started

	wait(at_rest)
	return len(bench.processes.list())


def wait(condition) -> None:
	deadline = time.monotonic() + DEADLINE
	while not condition():
		if time.monotonic() > deadline:
			raise TimeoutError("the bench did not come to rest")
		time.sleep(0.05)


def main() -> None:
	options = json.loads(sys.argv[1])
	site, journals = options["site"], options["journals"]
	frappe.init(site=site)
	arrivals = Arrivals(site)
	counts = {method: {"stops": 0, "trouble": 0} for method in journals}
	for number in range(options["rounds"]):
		for method, play in (("plain", plain_round), ("safe", safe_round)):
			counts[method]["stops"] += settle(site)
			counts[method]["trouble"] += play(site, arrivals, journals[method])
			arrivals.settle()
		sys.stderr.write(f"round {number + 1} of {options['rounds']}\n")
	settle(site)
	print(json.dumps(counts))


if __name__ == "__main__":
	main()
