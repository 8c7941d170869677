"""
The demonstration: a bench under load is restarted in the middle of it. Every job is counted twice over, by the app's own
ledger and by a journal that the jobs themselves write outside the site's database, and every request of a user is counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from development import state
from development.command_line import wanted_bench
from development.description import Bench
from development.errors import DevelopmentError, NotReady
from development.lifecycle import up
from development.owner import become_owner
from development.progress import Progress
from development.running import wait_until
from development.services import process_info
from development.web_load import Request, WebLoad, web_load
from development.web_program import configuration_kept, restart_web, set_up
from development.workload import Account, Mix, Workload, read_journal

#: Jobs that must have started before we restart, and again afterwards: enough to see that the stream is steady.
STEADY = 20
#: Seconds after the restart in which requests are counted: old web workers leave in them.
AFTERWARDS = 5.0


@dataclass(frozen=True)
class Requests:
	"""How many, at gunicorn itself and through nginx."""

	before: int
	during: int
	after: int
	failed: int
	slowest: float  # seconds

	@classmethod
	def of(cls, load: WebLoad, begin: float, end: float) -> Requests:
		"""`begin`, `end`: of the restart, by time.monotonic()."""
		before, during, after = (
			[request for request in load.requests if first <= request.ended < last]
			for first, last in ((0.0, begin), (begin, end), (end, float("inf")))
		)
		return cls(
			len(before), len(during), len(after), sum(map(has_failed, load.requests)), slowest(load.requests)
		)


def has_failed(request: Request) -> bool:
	return not request.is_answered


def slowest(requests: list[Request]) -> float:
	return max((request.seconds for request in requests), default=0.0)


@dataclass(frozen=True)
class Outcome:
	"""What came of it. `report` is the app's own; `account` is what the jobs themselves wrote."""

	exit_code: int
	report: dict
	account: Account
	requests: Requests
	kept_pids: tuple[str, ...]

	@property
	def is_good(self) -> bool:
		account = self.account
		return not (
			self.exit_code
			or account.lost
			or account.run_twice
			or account.interrupted
			or self.kept_pids
			or self.requests.failed
		)


def main(argv: list[str] | None = None) -> int:
	options = parser().parse_args(argv)
	progress = Progress()
	try:
		become_owner()
		with state.exclusively(progress):
			bench = up(wanted_bench(options), progress)
			with configuration_kept(bench):
				progress.say("bench safe-restart setup web: web is set up to fail no request")
				set_up(bench, is_lingering=True)
				outcome = restart_under_load(bench, progress, rate=options.rate)
			restart_web(bench)
	except DevelopmentError as error:
		print(f"\n{error}\n{error.hint}", file=sys.stderr)
		return 1
	show(bench, outcome)
	if options.json:
		print(json.dumps({**asdict(outcome), "is_good": outcome.is_good}))
	return 0 if outcome.is_good else 1


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(prog="bin/demo", description="Restart a busy bench without losing a job.")
	top.add_argument("--name", help="which development bench; default: the current one")
	top.add_argument("--frappe", default="", metavar="PATH_OR_URL[@BRANCH]", help="a Frappe of your own")
	top.add_argument("--rate", type=float, default=6.0, help="jobs a second (default 6)")
	top.add_argument("--json", action="store_true", help="print the report as JSON on the last line")
	top.set_defaults(sites=1, workers=1)
	return top


def restart_under_load(bench: Bench, progress: Progress, *, rate: float) -> Outcome:
	journal = bench.log_path / "demo.jsonl"
	journal.unlink(missing_ok=True)
	before = pids(bench)
	progress.say(f"putting {rate:g} real jobs a second on the queues, some of them take seconds")
	with Workload(bench, journal, Mix(rate=rate, long_share=0.08)) as workload, web_load(bench) as load:
		wait_for_starts(journal, STEADY)
		wait_until(lambda: is_long_job_running(journal), "a long job runs", timeout=60)
		command = ["--site", bench.site, "safe-restart", "--wait-workers"]
		progress.say(f"bench {' '.join(command)}\n")
		begun = time.monotonic()
		done = bench.run_bench_command(*command, check=False, stdout=None)
		ended = time.monotonic()
		print()
		progress.say("letting the stream run on for a while")
		wait_for_starts(journal, started(journal) + STEADY)
		time.sleep(max(0.0, ended + AFTERWARDS - time.monotonic()))
	account = workload.settle()
	after = pids(bench)
	kept = tuple(name for name, pid in before.items() if after.get(name) == pid)
	requests = Requests.of(load, begun, ended)
	return Outcome(done.returncode, last_report(bench), account, requests, kept)


def pids(bench: Bench) -> dict[str, int]:
	"""Of the bench's own programs, as supervisor tells them; Redis and the database are not restarted."""
	groups = {f"{bench.name}-web", f"{bench.name}-workers"}
	return {
		f"{info['group']}:{info['name']}": info["pid"]
		for info in process_info(bench)
		if info["group"] in groups
	}


def started(journal: Path) -> int:
	return sum(line["event"] == "start" for line in read_journal(journal))


def wait_for_starts(journal: Path, count: int) -> None:
	wait_until(lambda: started(journal) >= count, f"{count} jobs have started", timeout=120)


def is_long_job_running(journal: Path) -> bool:
	lines = read_journal(journal)
	ended = {line["token"] for line in lines if line["event"] == "end"}
	running = [line for line in lines if line["event"] == "start" and line["token"] not in ended]
	newest = max((line["time"] for line in lines), default=0.0)
	return any(newest - line["time"] > 0.5 for line in running)


def last_report(bench: Bench) -> dict:
	"""From the journal of the newest operation: its last line."""
	journals = sorted((bench.path / "logs" / "fmx_restart").glob("*.jsonl"))
	if not journals:
		raise NotReady("the operation left no journal")
	ended = json.loads(journals[-1].read_text().splitlines()[-1])
	return ended.get("report", {})


def show(bench: Bench, outcome: Outcome) -> None:
	account, requests = outcome.account, outcome.requests
	verdict = "as it should be" if outcome.is_good else "NOT as it should be"
	print(f"""
What the jobs themselves wrote down, outside the database:
  {account.enqueued} enqueued, {account.started} started, {account.ended} ended
  {len(account.lost)} lost, {len(account.run_twice)} run twice, {len(account.interrupted)} interrupted
  longest time without a job starting: {account.longest_gap:.1f} s

What users of the site got, at gunicorn itself and through nginx:
  {requests.before} requests before the restart, {requests.during} during it, {requests.after} after it: {requests.failed} failed
  slowest answer: {requests.slowest:.2f} s

Processes that kept their old pid: {", ".join(outcome.kept_pids) or "none"}
All of it is {verdict}.

The bench is still running. So that no request failed, web was set up (bench safe-restart setup web); that was taken back now.
  look at it   {bench.desk_url}  user Administrator, password {bench.admin_password}
  type there   cd {bench.path}
               {bench.tools / "bench"} safe-restart setup web
               {bench.tools / "bench"} safe-restart --wait-workers
  run again    bin/demo
  stop it      development/bench down""")


if __name__ == "__main__":
	sys.exit(main())
