"""
What users notice while a bench is restarted: `supervisorctl restart` beside `safe-restart` without and with lingering web
workers, in one run on the same bench, at gunicorn itself and through nginx, with 8 jobs a second.
Try: python3 -m development.benchmarks.web_restarts --help
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

from development import state
from development.benchmarks import web_report
from development.benchmarks.restart import METHODS, timed
from development.command_line import wanted_bench
from development.description import Bench
from development.lifecycle import up
from development.progress import Progress
from development.web_load import (
	NGINX,
	LiveConnection,
	WebLoad,
	faults,
	outage,
	web_load,
)
from development.web_program import configuration_kept, set_up, web_options
from development.workload import Account, Mix, Workload, read_journal

BEFORE, AFTER = 3.0, 3.0  # seconds of load around each restart
JOBS = Mix(rate=8, long_share=0)
#: Seconds for the jobs that wait at the end: beside users, a busy machine leaves little to the workers
SETTLES = 900.0
WEB_WORKERS = 5  # bench's own default on two cores
SUPERVISORCTL, WAIT_WORKERS, ROLLING = (
	"supervisorctl restart",
	"safe-restart --wait-workers",
	"safe-restart --rolling",
)
STRATEGIES = tuple(name for name in METHODS if name != SUPERVISORCTL)
PLAIN = ", not set up"
#: What is timed side by side, and whether old web workers linger then
TIMED = (
	(SUPERVISORCTL, False),
	(WAIT_WORKERS, False),
	(ROLLING, False),
	(WAIT_WORKERS, True),
	(ROLLING, True),
)
BIN = 0.25  # seconds: of the picture
AROUND = (-2.0, 6.0)  # seconds around the moment when the command is typed


@dataclass(frozen=True)
class Restart:
	"""One. Times in seconds."""

	name: str
	wall: float  # until the command returned
	works_again: float  # until web answered and every worker had registered
	requests: int
	failed: dict[str, int]  # "kind, at, result" → how often
	bad_gateways: int
	outage: float
	slowest_before: float  # GET, while nothing was restarted
	slowest: float  # GET, from the command on
	gap: float  # between two starts of jobs
	answered: list[int]  # pages per BIN of AROUND


@dataclass
class Series:
	"""Restarts under one load, and what was counted over all of it."""

	name: str
	restarts: list[Restart] = field(default_factory=list)
	requests: int = 0
	failed: dict[str, int] = field(default_factory=dict)
	bad_gateways: int = 0
	kinds: dict[str, int] = field(default_factory=dict)
	lost: int = 0
	run_twice: int = 0
	interrupted: int = 0
	reconnections: int = 0
	longest_absence: float = 0.0

	@property
	def slowest_before(self) -> float:
		return max(restart.slowest_before for restart in self.restarts)

	@property
	def slowest(self) -> float:
		return max(restart.slowest for restart in self.restarts)


def measure(
	bench: Bench, name: str, methods: list[str], *, is_slow: bool, progress: Progress
) -> list[Series]:
	"""These restarts one after the other, under one load; one Series for each method that occurs."""
	journal = bench.log_path / "web-restarts.jsonl"
	journal.unlink(missing_ok=True)
	restarts: list[Restart] = []
	with (
		Workload(bench, journal, JOBS) as workload,
		LiveConnection(bench) as live,
		web_load(bench, is_slow=is_slow) as load,
	):
		for number, method in enumerate(methods, 1):
			progress.say(f"{method}{name}: restart {number} of {len(methods)}")
			restarts.append(one_restart(bench, load, journal, method, name))
	account = workload.settle(timeout=SETTLES)
	if len(set(methods)) == 1:
		return [of_load(restarts, load, account, live)]
	names = dict.fromkeys(restart.name for restart in restarts)
	return [of_restarts([restart for restart in restarts if restart.name == name]) for name in names]


def of_restarts(restarts: list[Restart]) -> Series:
	"""Of one command, in turns with others: what was noted in their own times."""
	failed: Counter[str] = Counter()
	for restart in restarts:
		failed.update(restart.failed)
	series = Series(restarts[0].name, restarts, failed=dict(failed))
	series.requests = sum(restart.requests for restart in restarts)
	series.bad_gateways = sum(restart.bad_gateways for restart in restarts)
	return series


def of_load(restarts: list[Restart], load: WebLoad, account: Account, live: LiveConnection) -> Series:
	"""Of one command alone: all of the load, from its first request to its last."""
	return Series(
		restarts[0].name,
		restarts,
		requests=len(load.requests),
		failed=named(faults(load.requests)),
		bad_gateways=bad_gateways(load.requests),
		kinds=dict(Counter(f"{request.kind}, {request.at}" for request in load.requests)),
		lost=len(account.lost),
		run_twice=len(account.run_twice),
		interrupted=len(account.interrupted),
		reconnections=live.reconnections,
		longest_absence=live.longest_absence,
	)


def one_restart(bench: Bench, load: WebLoad, journal: Path, method: str, name: str) -> Restart:
	began_before = time.monotonic()
	time.sleep(BEFORE)
	typed, typed_at = time.monotonic(), time.time()
	wall, works_again = timed(bench, METHODS[method])
	time.sleep(max(AFTER, AROUND[1] - (time.monotonic() - typed)))
	ended = time.monotonic()
	seen = load.between(typed, ended)
	pages = [request for request in load.requests if request.kind == "GET"]
	return Restart(
		name=method + name,
		wall=wall,
		works_again=works_again,
		requests=len(seen),
		failed=named(faults(seen)),
		bad_gateways=bad_gateways(seen),
		outage=outage(seen),
		slowest_before=max(it.seconds for it in pages if began_before <= it.began and it.ended < typed),
		slowest=max(it.seconds for it in pages if typed <= it.ended < ended),
		gap=longest_gap(journal, typed_at, typed_at + max(wall, works_again)),
		answered=[
			sum(begin <= it.ended - typed < begin + BIN for it in pages if it.is_answered) for begin in bins()
		],
	)


def bins() -> list[float]:
	first, last = AROUND
	return [first + number * BIN for number in range(int((last - first) / BIN))]


def named(counted: dict[tuple[str, str, str], int]) -> dict[str, int]:
	return {", ".join(what): times for what, times in sorted(counted.items())}


def bad_gateways(requests: list) -> int:
	return sum(request.at == NGINX and request.result == "502" for request in requests)


def longest_gap(journal: Path, begin: float, end: float) -> float:
	"""Seconds between two job starts that follow each other, the earlier of them before `end`."""
	starts = sorted(line["time"] for line in read_journal(journal) if line["event"] == "start")
	return max(
		(later - earlier for earlier, later in pairwise(starts) if later > begin and earlier < end),
		default=0.0,
	)


@dataclass
class Results:
	"""`counted`: failed requests, with slow ones in the load; `timed`: without, as they would only show how long those take."""

	counted: list[Series] = field(default_factory=list)
	timed: list[Series] = field(default_factory=list)

	@property
	def are_bad(self) -> bool:
		return any(series.failed for series in self.counted if not series.name.endswith(PLAIN))

	def write(self, file: Path | None) -> None:
		"""After each series: a long run may be ended at any time."""
		if file is None:
			return
		found = {"counted": list(map(asdict, self.counted)), "timed": list(map(asdict, self.timed))}
		file.write_text(json.dumps(found, indent=1))


def run(bench: Bench, options: argparse.Namespace, progress: Progress, results: Results) -> None:
	with web_options(bench, *options.web), configuration_kept(bench):
		for is_lingering in (False, True):
			set_up(bench, is_lingering=is_lingering)
			name = "" if is_lingering else PLAIN
			methods = [method for method, lingers in TIMED if lingers == is_lingering] * options.rounds
			if methods:
				results.timed += measure(bench, name, methods, is_slow=False, progress=progress)
				results.write(options.json)
			todo = options.only if is_lingering else (SUPERVISORCTL, WAIT_WORKERS)
			restarts = options.restarts if is_lingering else min(options.restarts, options.plain)
			for method in todo if restarts else ():
				results.counted += measure(bench, name, [method] * restarts, is_slow=True, progress=progress)
				results.write(options.json)


def main(argv: list[str] | None = None) -> int:
	options = parser().parse_args(argv)
	progress, results = Progress(sys.stderr), Results()
	with state.exclusively(progress):
		bench = up(wanted_bench(options), progress, desk=False)
		try:
			run(bench, options, progress, results)
		except KeyboardInterrupt:
			progress.say("broken off: what was measured until now follows")
	if options.picture and results.timed:
		web_report.draw(results.timed)
	print(web_report.report(bench, options.web, results.counted, results.timed))
	return int(results.are_bad)


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(prog="development/benchmarks/web_restarts.py", description=__doc__)
	top.add_argument(
		"--restarts", type=int, default=20, help="of each strategy, set up to linger (default 20)"
	)
	top.add_argument("--plain", type=int, default=3, help="of each command without that (default 3)")
	top.add_argument("--rounds", type=int, default=5, help="how often times are measured (default 5)")
	top.add_argument(
		"--web",
		type=shlex.split,
		default=["-w", str(WEB_WORKERS)],
		help='gunicorn\'s options: --web="-w 2 --threads 4" (default -w 5)',
	)
	top.add_argument("--only", nargs="+", choices=STRATEGIES, default=STRATEGIES, help="count these alone")
	top.add_argument("--name", help="which development bench")
	top.add_argument("--json", type=Path, help="write everything that was measured into this file")
	top.add_argument("--picture", action="store_true", help="draw docs/pictures/requests.svg")
	top.set_defaults(frappe="", sites=1, workers=1)
	return top


if __name__ == "__main__":
	sys.exit(main())
