"""
What a restart costs: `supervisorctl restart` of the web and the workers group beside `safe-restart`, in turns, on
the same bench under the same load. Try: python3 -m development.benchmarks.restart --help
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from development import state
from development.benchmarks.probe import WebProbe
from development.command_line import wanted_bench
from development.description import Bench
from development.lifecycle import up
from development.progress import Progress
from development.running import wait_until
from development.services import answers_ping, process_info, workers_are_registered
from development.workload import Mix, Workload

WARM_UP = 3.0  # seconds of load before the restart
LOADS = {"idle": None, "8 jobs/s": Mix(rate=8, long_share=0)}


@dataclass(frozen=True)
class Run:
	"""One restart. Times in seconds."""

	method: str
	load: str
	wall: float  # until the command returned
	works_again: float  # until web answered and every worker had registered
	failed_requests: int
	web_outage: float
	longest_gap: float  # between two job starts; 0 without load
	lost: int
	run_twice: int
	interrupted: int


def supervisorctl_restart(bench: Bench) -> None:
	"""What `bench restart` does: one group after the other."""
	for group in ("web", "workers"):
		bench.supervisorctl("restart", f"{bench.name}-{group}:", check=True)


def safe_restart(*options: str) -> Callable[[Bench], None]:
	def restart(bench: Bench) -> None:
		bench.run_bench_command("--site", bench.site, "safe-restart", *options, "--yes")

	return restart


METHODS: dict[str, Callable[[Bench], None]] = {
	"supervisorctl restart": supervisorctl_restart,
	"safe-restart --wait-workers": safe_restart("--wait-workers"),
	"safe-restart": safe_restart(),
	"safe-restart --no-wait-workers": safe_restart("--no-wait-workers"),
	"safe-restart --suspend-rq": safe_restart("--suspend-rq"),
	"safe-restart --rolling": safe_restart("--rolling"),
}


def measure(bench: Bench, method: str, load: str) -> Run:
	journal = bench.log_path / "benchmark.jsonl"
	journal.unlink(missing_ok=True)
	workload = Workload(bench, journal, LOADS[load])
	if LOADS[load]:
		workload.start()
	with WebProbe(bench) as probe:
		time.sleep(WARM_UP)
		wall, works_again = timed(bench, METHODS[method])
		time.sleep(WARM_UP)
	workload.stop()
	account = workload.settle() if LOADS[load] else None
	return Run(
		method=method,
		load=load,
		wall=wall,
		works_again=works_again,
		failed_requests=probe.failed,
		web_outage=probe.outage,
		longest_gap=account.longest_gap if account else 0.0,
		lost=len(account.lost) if account else 0,
		run_twice=len(account.run_twice) if account else 0,
		interrupted=len(account.interrupted) if account else 0,
	)


def timed(bench: Bench, restart: Callable[[Bench], None]) -> tuple[float, float]:
	"""
	Seconds until the command returned, and until everything worked. Both count from its start: safe-restart returns later, as
	it checks what supervisorctl leaves to the person.
	"""
	before = {info["name"]: info["pid"] for info in process_info(bench) if "worker" in info["name"]}
	began = time.monotonic()

	def works_again() -> float:
		wait_until(lambda: is_working(bench, before), "the bench works again", timeout=300, poll=0.1)
		return time.monotonic() - began

	with ThreadPoolExecutor(1) as watcher:
		seen = watcher.submit(works_again)
		restart(bench)
		wall = time.monotonic() - began
		return wall, seen.result()


def is_working(bench: Bench, before: dict[str, int]) -> bool:
	"""Every worker is another process than before and has registered, and web answers."""
	now = {info["name"]: info["pid"] for info in process_info(bench) if info["name"] in before}
	if any(now.get(name) in (0, pid) for name, pid in before.items()):
		return False
	return workers_are_registered(bench) and answers_ping(bench)


def table(runs: list[Run]) -> str:
	"""Medians, as Markdown; losses are sums over all rounds."""
	head = "| load | command | returns | works again | failed web requests | web outage | longest gap between job starts | lost | twice |"
	lines = [head, "|" + " --- |" * 9]
	for load in LOADS:
		for method in METHODS:
			if rows := [run for run in runs if (run.load, run.method) == (load, method)]:
				lines.append(row(load, method, rows))
	return "\n".join(lines)


def row(load: str, method: str, rows: list[Run]) -> str:
	def middle(name: str) -> float:
		return statistics.median(getattr(run, name) for run in rows)

	times = [f"{middle(name):.1f} s" for name in ("wall", "works_again")]
	gap = f"{middle('longest_gap'):.1f} s" if load != "idle" else "-"
	lost, twice = sum(run.lost for run in rows), sum(run.run_twice for run in rows)
	cells = [
		*times,
		f"{middle('failed_requests'):.0f}",
		f"{middle('web_outage'):.1f} s",
		gap,
		str(lost),
		str(twice),
	]
	return f"| {load} | `{method}` | {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/restart.py", description=__doc__)
	top.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
	top.add_argument("--only", nargs="*", choices=METHODS, default=list(METHODS), help="which commands")
	top.add_argument("--name", help="which development bench")
	top.add_argument("--json", type=Path, help="write every single run into this file")
	top.set_defaults(frappe="", sites=1, workers=1)
	options = top.parse_args(argv)
	progress = Progress(sys.stderr)
	with state.exclusively(progress):
		bench = up(wanted_bench(options), progress)
		runs = []
		for number in range(options.rounds):
			for load in LOADS:
				for method in options.only:
					progress.say(f"round {number + 1} of {options.rounds}: {method}, {load}")
					runs.append(measure(bench, method, load))
	if options.json:
		options.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))
	print(table(runs))
	return 0


if __name__ == "__main__":
	sys.exit(main())
