"""
The race that loses jobs (rq #2236): workers are stopped while jobs arrive within milliseconds. Plain TERM, as
supervisorctl sends it, beside what safe-restart does, in turns, on the same workers of a real bench.
Try: python3 -m development.benchmarks.race --help
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from development import state
from development.command_line import wanted_bench
from development.description import CHECKOUT, Bench
from development.errors import CommandFailed
from development.lifecycle import up
from development.progress import Progress
from development.workload import account_of, read_journal

ROUNDS = Path(__file__).with_name("race_rounds.py")


@dataclass(frozen=True)
class Result:
	method: str
	stops: int  # workers that were told to stop
	jobs: int
	lost: int
	run_twice: int
	stuck: int  # workers that took no notice of their TERM
	put_back: int  # jobs lost by a worker, found by the ledger


def race(bench: Bench, rounds: int) -> list[Result]:
	journals = {method: bench.log_path / f"race-{method}.jsonl" for method in ("plain", "safe")}
	for journal in journals.values():
		journal.unlink(missing_ok=True)
	options = {"site": bench.site, "rounds": rounds, "journals": {m: str(j) for m, j in journals.items()}}
	done = subprocess.run(
		[str(bench.python), str(ROUNDS), json.dumps(options)],
		cwd=bench.sites_path,
		env={**bench.environment, "PYTHONPATH": str(CHECKOUT)},
		stdout=subprocess.PIPE,
		text=True,
	)
	if done.returncode:
		raise CommandFailed(f"race_rounds.py ended with exit code {done.returncode}")
	counts = json.loads(done.stdout.splitlines()[-1])
	return [result(method, journals[method], counts[method]) for method in ("plain", "safe")]


def result(method: str, journal: Path, counts: dict) -> Result:
	account = account_of(read_journal(journal))
	name = {"plain": "TERM (supervisorctl)", "safe": "safe-restart"}[method]
	stuck, put_back = (counts["trouble"], 0) if method == "plain" else (0, counts["trouble"])
	lost, twice = len(account.lost), len(account.run_twice)
	return Result(name, counts["stops"], account.enqueued, lost, twice, stuck, put_back)


def table(results: list[Result]) -> str:
	head = (
		"| workers are stopped by | worker stops | jobs | lost | run twice | workers stuck | jobs put back |"
	)
	rows = [
		f"| {r.method} | {r.stops} | {r.jobs} | {r.lost} | {r.run_twice} | {r.stuck} | {r.put_back} |"
		for r in results
	]
	return "\n".join([head, "|" + " --- |" * 7, *rows])


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/race.py", description=__doc__)
	top.add_argument(
		"--rounds", type=int, default=25, help="restarts of all workers by each method (default 25)"
	)
	top.add_argument(
		"--workers", type=int, default=4, help="workers per queue program of a new bench (default 4)"
	)
	top.add_argument("--name", default="fmx-race", help="which development bench; it is built when missing")
	top.set_defaults(frappe="", sites=1)
	options = top.parse_args(argv)
	progress = Progress(sys.stderr)
	with state.exclusively(progress):
		bench = up(wanted_bench(options), progress, desk=False)
		results = race(bench, options.rounds)
	print(table(results))
	ours = results[-1]
	return int(bool(ours.lost or ours.run_twice))


if __name__ == "__main__":
	sys.exit(main())
