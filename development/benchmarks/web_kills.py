"""
kill -9 of the operation, its guardian, the old and the new web master, at each decisive step of a restart of web whose old
workers linger: how many requests failed, and what was left. Needs a bench that is up, and its interpreter:
.development/benches/fmx-bench/env/bin/python -m development.benchmarks.web_kills
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from development.benchmarks.web_report import machine, table
from development.benchmarks.web_restarts import WEB_WORKERS
from development.description import CHECKOUT, current_bench
from development.web_load import web_load
from development.web_program import configuration_kept, set_up, web_options

sys.path.insert(0, str(CHECKOUT))
from fmx_restart.tests.bench.web_kills import POINTS, Outcome, WebKills

HEAD = ("killed", "requests", "failed", "web without an answer", "nothing left after", "exit code", "left")


def main() -> int:
	options = parser().parse_args()
	bench, web = current_bench(options.name), ("-w", str(WEB_WORKERS))
	outcomes = []
	with web_options(bench, *web), configuration_kept(bench):
		set_up(bench, is_lingering=True)
		with web_load(bench, is_slow=True) as load:
			kills = WebKills(bench, load)
			for kill in [point for point in POINTS if options.only in str(point)] * options.rounds:
				outcomes.append(kills.run(kill))
				print(outcomes[-1], file=sys.stderr, flush=True)
	if options.json:
		options.json.write_text(json.dumps(list(map(asdict, outcomes)), indent=1))
	print(f"{machine(bench, web)}\n\n{table(HEAD, map(cells, outcomes))}")
	return int(any(outcome.left or not outcome.is_hit for outcome in outcomes))


def cells(outcome: Outcome) -> list[str]:
	return [
		str(outcome.kill) + ("" if outcome.is_hit else " (had ended)"),
		f"{outcome.requests:,}",
		"; ".join(f"{what}: {times}" for what, times in outcome.failed.items()) or "0",
		f"{outcome.without_answer:.1f} s",
		f"{outcome.clean_after:.0f} s",
		str(outcome.exit_code),
		"; ".join(outcome.left) or "nothing",
	]


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(prog="development/benchmarks/web_kills.py", description=__doc__)
	top.add_argument("--name", help="which development bench; default: the current one")
	top.add_argument("--rounds", type=int, default=1, help="how often each process is killed at each step")
	top.add_argument(
		"--only", default="", metavar="TEXT", help="kill at those steps only whose name has this in it"
	)
	top.add_argument("--json", type=Path, help="write everything into this file")
	return top


if __name__ == "__main__":
	sys.exit(main())
