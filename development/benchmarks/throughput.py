"""
How many jobs start per second while a bench is restarted and one long job runs: `supervisorctl restart` beside
`safe-restart --wait-workers` and `--rolling`, on the same bench under the same load, drawn as a picture.
Try: python3 -m development.benchmarks.throughput --help
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from development import state
from development.benchmarks.line_chart import Series, line_chart
from development.benchmarks.restart import safe_restart, supervisorctl_restart
from development.command_line import wanted_bench
from development.description import CHECKOUT, Bench
from development.lifecycle import up
from development.progress import Progress
from development.workload import Mix, Workload, account_of, read_journal

PICTURE = CHECKOUT / "docs" / "pictures" / "throughput.svg"
RATE = 8.0  # jobs a second, all short
BEFORE, AFTER = 10.0, 15.0  # seconds of undisturbed load around the restart
WINDOW = 2.0  # seconds over which starts are counted
METHODS: dict[str, Callable[[Bench], None]] = {
	"supervisorctl restart": supervisorctl_restart,
	"safe-restart --wait-workers": safe_restart("--wait-workers"),
	"safe-restart --rolling": safe_restart("--rolling"),
}
LONG_JOB = """
import sys, frappe
site, journal, seconds = sys.argv[1:]
frappe.init(site=site); frappe.connect()
frappe.enqueue("fmx_workload.jobs.work", queue="long", token="the-long-one", journal=journal, seconds=float(seconds))
"""


@dataclass(frozen=True)
class Outcome:
	method: str
	seconds: float  # the command took
	undisturbed: float  # starts a second before the restart
	kept: float  # starts a second from its begin to its end, as a part of that
	lost: int
	run_twice: int
	points: list[tuple[float, float]]  # seconds since the command began, starts a second


def measure(bench: Bench, method: str, long_seconds: float) -> Outcome:
	journal = bench.log_path / "throughput.jsonl"
	journal.unlink(missing_ok=True)
	with Workload(bench, journal, Mix(rate=RATE, long_share=0)) as workload:
		put_long_job(bench, journal, long_seconds)
		time.sleep(BEFORE)
		began = time.time()
		METHODS[method](bench)
		ended = time.time()
		time.sleep(AFTER)
	account = workload.settle()
	starts = sorted(line["time"] for line in read_journal(journal) if line["event"] == "start")
	before = sum(began - BEFORE <= at < began for at in starts) / BEFORE
	during = sum(began <= at < ended for at in starts) / (ended - began)
	points = smooth([at - began for at in starts], -BEFORE, ended - began + AFTER)
	account = account_of(read_journal(journal))
	kept = during / before
	return Outcome(method, ended - began, before, kept, len(account.lost), len(account.run_twice), points)


def put_long_job(bench: Bench, journal: Path, seconds: float) -> None:
	command = [str(bench.python), "-c", LONG_JOB, bench.site, str(journal), str(seconds)]
	subprocess.run(command, cwd=bench.sites_path, env=bench.environment, check=True)


def smooth(starts: list[float], begin: float, end: float) -> list[tuple[float, float]]:
	points, at = [], begin + WINDOW
	while at <= end:
		points.append((at, sum(at - WINDOW <= start < at for start in starts) / WINDOW))
		at += 0.5
	return points


def table(outcomes: list[Outcome]) -> str:
	head = "| command | takes | jobs a second before | of that during the restart | lost | twice |"
	rows = [
		f"| `{o.method}` | {o.seconds:.0f} s | {o.undisturbed:.1f} | {o.kept:.0%} | {o.lost} | {o.run_twice} |"
		for o in outcomes
	]
	return "\n".join([head, "|" + " --- |" * 6, *rows])


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/throughput.py", description=__doc__)
	top.add_argument("--seconds", type=float, default=60.0, help="how long the long job takes (default 60)")
	top.add_argument(
		"--workers", type=int, default=4, help="workers per queue program of a new bench (default 4)"
	)
	top.add_argument("--name", default="fmx-race", help="which development bench; it is built when missing")
	top.add_argument("--json", type=Path, help="write everything into this file")
	top.set_defaults(frappe="", sites=1)
	options = top.parse_args(argv)
	progress = Progress(sys.stderr)
	with state.exclusively(progress):
		bench = up(wanted_bench(options), progress, desk=False)
		outcomes = []
		for method in METHODS:
			progress.say(method)
			outcomes.append(measure(bench, method, options.seconds))
	if options.json:
		options.json.write_text(json.dumps([vars(outcome) for outcome in outcomes]))
	PICTURE.write_text(
		line_chart(
			[Series(outcome.method, outcome.points) for outcome in outcomes],
			title=f"Jobs started per second around a restart, one job of {options.seconds:.0f} s running",
			x_label="seconds since the command was typed",
		)
	)
	print(table(outcomes))
	return 0


if __name__ == "__main__":
	sys.exit(main())
