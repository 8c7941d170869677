"""Try: python3 -m development.benchmarks.worker_stops --help"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import rq

import development.benchmarks.worker_stops as package
from development.benchmarks.worker_stops import cost, job_kills, managers, redis_faults, stops
from development.benchmarks.worker_stops.trial import KINDS, Row

MANAGED = "by-"  # begins the names of parts with a process manager
#: What is measured → how many of it unless --count says otherwise, and what is counted
PARTS = {
	"stops": (40, "rounds of two workers for each kind of stop"),
	"job-kills": (100, "kills of processes of jobs"),
	"memory": (15, "processes that the kernel kills because memory is short"),
	"redis": (1000, "jobs for each fault of Redis"),
	**{f"{MANAGED}{name}": (20, "plain restarts of two workers") for name in managers.MANAGERS},
	"cost": (300, "jobs, for the time until one begins"),
	"fence": (50, "workers that see a suspension"),
}
FAULTS: dict[str, Callable[[str, int, int], Iterator[Row]]] = {
	"stops": stops.rows,
	"job-kills": job_kills.of_jobs,
	"memory": job_kills.of_memory,
	"redis": redis_faults.rows,
	**{f"{MANAGED}{name}": partial(managers.rows, names=[name]) for name in managers.MANAGERS},
}


def print_row(row: object, *, is_first: bool) -> None:
	names = list(row.__dataclass_fields__)
	cells = (getattr(row, name) for name in names)
	lines = [
		" | ".join(names),
		" | ".join(["---"] * len(names)),
		" | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells),
	]
	print("\n".join(f"| {line} |" for line in (lines if is_first else lines[2:])), flush=True)


def print_table(rows: Iterator) -> list:
	"""Each row as soon as it is there."""
	printed = []
	for row in rows:
		print_row(row, is_first=not printed)
		printed.append(row)
	print()
	return printed


def faults(parts: Sequence[str], kinds: Sequence[str], count: int, seed: int) -> Iterator[Row]:
	for part in parts:
		for kind in kinds if part in FAULTS else ():
			yield from FAULTS[part](kind, count or PARTS[part][0], seed)


def print_costs(kinds: list[str], jobs: int) -> None:
	found = print_table(iter(cost.costs(kinds, jobs)))
	if len(found) == len(KINDS):
		stock, ours = found
		ratios = [
			f"{name} {getattr(ours, name) / getattr(stock, name):.3f}"
			for name in ("pick_up", "pick_up_99", "jobs_a_second")
		]
		print(f"ours : stock: {', '.join(ratios)}\n", flush=True)
	print_table(cost.herd(kind, workers, jobs // 3) for workers in cost.HERDS for kind in kinds)


def parsed(argv: list[str] | None) -> argparse.Namespace:
	top = argparse.ArgumentParser(
		prog="python3 -m development.benchmarks.worker_stops", description=package.__doc__
	)
	counts = "; ".join(f"{name}: {number} {what}" for name, (number, what) in PARTS.items())
	top.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)} (default: all)")
	top.add_argument("--count", type=int, default=0, help=f"how many of each part ({counts})")
	top.add_argument("--kind", choices=KINDS, action="append", help="default: both")
	top.add_argument("--seed", type=int, default=7)
	given = top.parse_args(argv)
	unknown = set(given.parts) - set(PARTS)
	if unknown:
		top.error(f"there is no part {', '.join(sorted(unknown))}")
	return given


def main(argv: list[str] | None = None) -> int:
	given = parsed(argv)
	signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # what was started is ended
	parts, kinds = given.parts or list(PARTS), given.kind or list(KINDS)
	print(f"rq {rq.VERSION}, Python {sys.version.split()[0]}\n")
	rows = print_table(faults(parts, kinds, given.count, given.seed))
	if "cost" in parts:
		print_costs(kinds, given.count or PARTS["cost"][0])
	if "fence" in parts:
		workers = given.count or PARTS["fence"][0]
		print(f"{workers} idle workers saw the fence within {cost.fence(workers):.2f} s")
	ours = [row for row in rows if row.kind == KINDS["lossless"]]
	return 1 if any(row.lost or row.left for row in ours) else 0


if __name__ == "__main__":
	sys.exit(main())
