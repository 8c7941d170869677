"""
Operations killed with -9 at every phase border and at random instants, on a bench under load. Prints what became of each,
and the sum. Needs a bench that is up (development/bench up) and its interpreter, which has what reading journals needs:
.development/benches/fmx-bench/env/bin/python -m development.benchmarks.crashes
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

from development.description import CHECKOUT, current_bench
from development.workload import Mix, Workload

sys.path.insert(0, str(CHECKOUT))
from fmx_restart.tests.bench.crashes import Crashes, Outcome, at_borders, at_random


def main() -> int:
	options = parser().parse_args()
	bench = current_bench(options.name)
	outcomes = []
	with tempfile.TemporaryDirectory(prefix="fmx-crashes-") as folder:
		with Workload(bench, Path(folder) / "stream.jsonl", Mix(rate=options.rate)) as workload:
			crashes = Crashes(bench, workload)
			for crash in [*at_borders(more=True), *at_random(options.random, random.Random(options.seed))]:
				outcomes.append(crashes.run(crash))
				print(line(outcomes[-1]), flush=True)
		account = workload.settle(timeout=600)
	print(summary(outcomes))
	print(
		f"jobs: {account.enqueued} put, {len(account.lost)} lost, {len(account.run_twice)} run twice,"
		f" {len(account.interrupted)} interrupted"
	)
	return int(any(outcome.faults for outcome in outcomes) or bool(account.lost or account.run_twice))


def line(outcome: Outcome) -> str:
	text = f"{outcome.crash!s:<58} died in {outcome.died_in or '(had ended)':<12}"
	text += (
		f" moved after {outcome.moved_after:5.1f} s, {outcome.outcome} after {outcome.recovered_after:5.1f} s"
	)
	return text + "".join(f"\n    FAULT: {fault}" for fault in outcome.faults)


def summary(outcomes: list[Outcome]) -> str:
	died = [outcome for outcome in outcomes if outcome.died_in]
	moved = sorted(outcome.moved_after for outcome in died)
	phases = ", ".join(f"{phase} {n}" for phase, n in Counter(outcome.died_in for outcome in died).items())
	return (
		f"{len(died)} of {len(outcomes)} died in the middle ({phases});"
		f" queue moved after {median(moved):.1f} s (median), {moved[-1]:.1f} s (longest);"
		f" {sum(bool(outcome.faults) for outcome in outcomes)} benches with a fault"
	)


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(prog="development/benchmarks/crashes.py", description=__doc__)
	top.add_argument("--name", help="which development bench; default: the current one")
	top.add_argument("--random", type=int, default=100, metavar="COUNT", help="kills at random instants")
	top.add_argument("--rate", type=float, default=3.0, help="jobs a second")
	top.add_argument("--seed", type=int, default=1)
	return top


if __name__ == "__main__":
	sys.exit(main())
