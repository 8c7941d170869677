"""
How long it takes until a person sees something: from the start of the process, and from the moment when bench has found our
command, to the first line and to the operation's own first line. Each round is stopped at once, so nothing is restarted.
Try: python3 -m development.benchmarks.start --help
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from development import Bench, current_bench

#: Notes when bench_helper calls our command, and how much processor that has cost until then
NOTES_CALLBACK = """
import os, sys, time
from fmx_restart.commands import safe_restart
note, callback = int(sys.argv.pop(1)), safe_restart.callback
def noted(*given, **named):
	os.write(note, f"{time.monotonic()} {time.process_time()}".encode())
	return callback(*given, **named)
safe_restart.callback = noted
from frappe.utils.bench_helper import main
sys.argv.insert(1, "frappe")
main()
"""
MODULE, BENCH = "python -m fmx_restart", "bench safe-restart"
BOUNDS = {MODULE: 0.3, BENCH: 0.25}  # seconds to the first line: from the start, and from our callback
OPTIONS = ("safe-restart", "--wait-workers", "--yes")


@dataclass(frozen=True)
class Round:
	"""Seconds."""

	way: str
	before: float  # until our code was called, with Frappe's own imports; 0 where all of it is ours
	line: float  # until the first line, from then on
	operation: (
		float  # until the operation has begun: its journal is there, Redis and the manager have answered
	)
	processor: float  # of the command itself until the first line, without what came before


def measure(bench: Bench, way: str) -> Round:
	reading, writing = os.pipe()
	python = [str(bench.python)]
	words = {
		MODULE: [*python, "-m", "fmx_restart", *OPTIONS],
		BENCH: [*python, "-c", NOTES_CALLBACK, str(writing), *OPTIONS],
	}
	environment = {**os.environ, **bench.environment}
	environment.pop("PYTHONDONTWRITEBYTECODE", None)  # production has the cache
	began = time.monotonic()
	process = subprocess.Popen(
		words[way],
		cwd=bench.sites_path,
		env=environment,
		stdout=subprocess.PIPE,
		stderr=subprocess.STDOUT,
		pass_fds=[writing],
		text=True,
	)
	os.close(writing)
	try:
		first, processor = next_line(process, "Preflight: ")
		operation, _ = next_line(process, "Operation ")
		process.send_signal(signal.SIGINT)
		process.communicate(timeout=120)
		called, before = (map(float, os.read(reading, 100).split())) if way == BENCH else (began, 0.0)
	finally:
		os.close(reading)
	return Round(way, called - began, first - called, operation - called, processor - before)


def next_line(process: subprocess.Popen, begins: str) -> tuple[float, float]:
	"""When it came, and how much processor the command has used by then. Raises SystemExit for another line."""
	line = process.stdout.readline()
	now, used = time.monotonic(), processor_of(process.pid)
	if not line[10:].startswith(begins):
		raise SystemExit(f"{line}{process.communicate()[0]}")
	return now, used


def processor_of(pid: int) -> float:
	"""Seconds, to the nanosecond as the scheduler counts them."""
	return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def table(rounds: list[Round]) -> str:
	lines = ["| way | before our code | first line | its processor | the operation has begun |"]
	lines += ["| --- | --- | --- | --- | --- |"]
	for way in (MODULE, BENCH):
		mine = [it for it in rounds if it.way == way]
		cells = [
			shown([getattr(it, name) for it in mine]) for name in ("before", "line", "processor", "operation")
		]
		lines.append(f"| `{way}` | {' | '.join(cells)} |")
	return "\n".join(lines)


def shown(values: list[float]) -> str:
	return f"{min(values):.2f} s ({median(values):.2f})" if any(values) else "-"


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/start.py", description=__doc__)
	top.add_argument("--rounds", type=int, default=10, help="rounds of each way, in turns (default 10)")
	top.add_argument("--json", type=Path, help="write the results into this file, too")
	options = top.parse_args(argv)
	bench = current_bench()
	for way in BOUNDS:
		measure(bench, way)  # fills the bytecode cache
	rounds = [measure(bench, way) for _ in range(options.rounds) for way in BOUNDS]
	if options.json:
		options.json.write_text(json.dumps([asdict(it) for it in rounds], indent=1))
	print(
		f"Best of {options.rounds}, medians in brackets; load {os.getloadavg()[0]:.1f}\n\n{table(rounds)}\n"
	)
	best = {way: min(it.line for it in rounds if it.way == way) for way in BOUNDS}
	for way, bound in BOUNDS.items():
		print(f"{way}: bound {bound:g} s: {'met' if best[way] <= bound else 'NOT met'} ({best[way]:.2f} s)")
	return 0 if all(best[way] <= bound for way, bound in BOUNDS.items()) else 1


if __name__ == "__main__":
	sys.exit(main())
