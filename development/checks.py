"""bin/test: style and every test. Most of them on real benches, which are built where there are none."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from development import state
from development.command_line import wanted_bench
from development.copies import ORDINALS, copies_of, link_environment, up_copies
from development.description import CHECKOUT, ROOT, TEST_BENCH, TEST_BENCHES, Bench
from development.ending import end_children_on
from development.errors import DevelopmentError
from development.interpreter import interpreter
from development.lifecycle import build, down, start
from development.managers.kubernetes.build import can_be_built, ensure_programs
from development.owner import become_owner
from development.progress import Progress, write
from development.runner import CHOSEN, Runner
from development.running import run_logged
from development.scheduled_events import frequent_events_stopped
from development.services import running_supervisord, wait_until_ready
from development.system_packages import ensure_redis, ensure_test_packages
from development.tools import UV, uv_environment

STYLE = (("ruff", "check", "."), ("ruff", "format", "--check", "."))
WITHOUT_BENCH = ("--ignore=fmx_restart/tests/bench", "fmx_restart")
#: Left out by --fast: whole operations on real process managers, web servers and terminals take two thirds of the time.
SLOW = (
	"adapters/test_discovery.py",
	"adapters/test_docker.py",
	"adapters/test_honcho.py",
	"adapters/test_hosts.py",
	"adapters/test_kubernetes.py",
	"adapters/test_namespaces.py",
	"adapters/test_nfs.py",
	"adapters/test_nested.py",
	"adapters/test_processes.py",
	"adapters/test_realtime.py",
	"adapters/test_rolling_workers.py",
	"adapters/test_several_managers.py",
	"adapters/test_sudo.py",
	"adapters/test_systemd.py",
	"adapters/test_update_config.py",
	"adapters/test_users.py",
	"adapters/test_web.py",
	"adapters/test_web_programs.py",
	"adapters/test_web_ways.py",
	"commands/test_first_line.py",
	"commands/test_hold.py",
	"commands/test_remote_restart.py",
	"commands/test_viewer.py",
	"doctor/test_fixes.py",
	"doctor/test_machine.py",
	"doctor/test_orphans.py",
	"doctor/test_supervisor_lint.py",
	"doctor/test_web_linger.py",
	"doctor/test_workers.py",
	"web",
	"worker/test_leaving.py",
	"worker/test_pool.py",
	"worker/test_recycling.py",
	"worker/test_redis_away.py",
	"worker/test_reload.py",
	"worker/test_worker.py",
)
FAST_ONES = (*(f"--ignore=fmx_restart/tests/{path}" for path in SLOW), *WITHOUT_BENCH)
ON_BENCHES = ("fmx_restart/tests/bench",)
LONG = "FMX_LONG_TESTS"  # set for tests that are too slow for every run
WANTED = CHECKOUT / "development" / "test-requirements.txt"
FAST = ROOT / "fast"  # a Python environment without Frappe
#: As Frappe pins them; gunicorn 20 imports pkg_resources, which newer setuptools leave out.
FRAPPE_PINS = ("rq==1.15.1", "redis==4.5.5", "click==8.1.7", "croniter", "pytz", "PyMySQL==1.0.3")
FRAPPE_PINS += ("gunicorn==20.1.0", "setuptools<80")
#: Tests without a bench wait for Redis, supervisord and workers half of their time.
PROCESSES = 2 * (os.cpu_count() or 1)
#: Those of --fast wait less, and each process takes seconds to find its tests.
FAST_PROCESSES = 1 + (os.cpu_count() or 1)
MOST_BENCHES = 1 + len(ORDINALS)
BENCH_MEMORY = 1.5e9  # bytes: database, two Redis, web, workers and a browser
#: Beside the build, which more depends on.
ASIDE = ("nice", "-n", "5")
#: Each process gets tests that stand together: most tests of a class share a server, those of a file what they have imported.
TOGETHER = "--dist=worksteal"


def main(argv: list[str] | None = None) -> int:
	options, pytest_options = parser().parse_known_args(argv)
	progress = Progress()
	stop_handing_on_ignored_signals()
	end_children_on(signal.SIGTERM)
	if options.long:
		os.environ[LONG] = "1"
	become_owner()
	try:
		if options.fast:
			return run_fast(progress, pytest_options)
		return run_all(options, progress, pytest_options)
	except DevelopmentError as error:
		print(f"\n{error}\n{error.hint}", file=sys.stderr)
		return 1


def stop_handing_on_ignored_signals() -> None:
	"""A job of a shell script ignores Ctrl-C, nohup a hang-up, and so would each command to which a test sends one."""
	signal.signal(signal.SIGINT, signal.default_int_handler)
	if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
		signal.signal(signal.SIGHUP, lambda *_: None)  # ignored here still, and by default in what is started


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(
		prog="bin/test",
		description="Check style and run the tests. Everything else on the line goes to pytest: bin/test -k fence",
	)
	top.add_argument(
		"--fast",
		action="store_true",
		help="before each commit: run the tests that need no bench, without those of whole operations on a real supervisord, "
		"gunicorn or terminal, which bin/test runs",
	)
	top.add_argument("--long", action="store_true", help="run the tests too that are too slow for every run")
	top.add_argument(
		"--benches",
		type=int,
		default=benches_for_this_machine(),
		choices=range(1, MOST_BENCHES + 1),
		help="use this many benches side by side; default: two for each core, as far as memory reaches",
	)
	top.add_argument("--name", help="use this development bench; default: the current one")
	top.add_argument(
		"--frappe", default="", metavar="PATH_OR_URL[@BRANCH]", help="test with a Frappe of your own"
	)
	top.set_defaults(sites=1, workers=1)
	return top


def benches_for_this_machine() -> int:
	"""Tests on a bench wait half of their time for processes to boot, for leases and for people's patience."""
	memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
	return max(1, min(2 * (os.cpu_count() or 1), int(memory / 2 / BENCH_MEMORY), MOST_BENCHES))


def run_fast(progress: Progress, pytest_options: Sequence[str]) -> int:
	"""Needs no Frappe and no bench: Redis, supervisord and the rest are started by the tests themselves."""
	environment = fast_environment(progress)
	python = FAST / "bin" / "python"
	chosen = pytest_options or FAST_ONES
	tests = (*CHOSEN, f"-n{FAST_PROCESSES}", TOGETHER, *chosen)
	return int(Runner(python, environment, progress).all(*STYLE, tests))


def fast_environment(progress: Progress) -> dict[str, str]:
	log = ROOT / "fast.log"
	ensure_redis(progress, log)
	mark = FAST / "installed"
	requirements = [CHECKOUT / "requirements.txt", WANTED]
	wanted = "\n".join([interpreter(), *FRAPPE_PINS, *(file.read_text() for file in requirements)])
	if not mark.exists() or mark.read_text() != wanted:
		progress.say("a Python environment without Frappe")
		run_logged([interpreter(), "-m", "venv", "--clear", FAST], log)
		files = [word for file in requirements for word in ("--requirement", file)]
		run_logged([FAST / "bin" / "python", "-m", "pip", "install", "--quiet", *FRAPPE_PINS, *files], log)
		mark.write_text(wanted)
	path = os.pathsep.join([str(FAST / "bin"), str(ROOT / "bin"), os.environ.get("PATH", os.defpath)])
	kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
	return {**kept, "PATH": path, "PYTHONPATH": str(CHECKOUT)}


def run_all(options: argparse.Namespace, progress: Progress, pytest_options: list[str]) -> int:
	"""What was not up before is stopped at the end."""
	bench = wanted_bench(options)
	with state.exclusively(progress):
		state.remember(bench)
		state.make_current(bench)
		build(bench, progress, bench.log_path / "build.log")
		install_test_tools(bench, progress)
	if not pytest_options:
		if options.long and can_be_built():
			ensure_programs(progress)  # now, as tests beside it would wait for the processors
		return run_both(bench, options.benches, progress)
	with ExitStack() as stack:
		benches = bring_up(bench, 1, stack, progress)
		return int(runner_on(benches[0], progress).all(*STYLE, (*CHOSEN, *pytest_options)))


def run_both(bench: Bench, count: int, progress: Progress) -> int:
	"""
	Tests that need no bench run while the benches are made, and end before the tests on benches begin: with both at once two
	cores are so busy that workers, for which tests wait, come up too late. `count`: of benches.
	"""
	spent: dict[str, float] = {"before": progress.seconds}
	with ExitStack() as stack:
		with ThreadPoolExecutor(max_workers=1) as aside:
			quick = aside.submit(run_without_bench, bench, ROOT / "quick.log", spent)
			with timed(spent, "benches"):
				benches = bring_up(bench, count, stack, progress)
			failed = show(quick, ROOT / "quick.log", progress)
		with timed(spent, "on benches"):
			failed |= run_on(benches, progress)
	progress.say(
		f"of that: {spent['before']:.0f} s until everything was installed, {spent['without']:.0f} s for the tests without a"
		f" bench, beside them {spent['benches']:.0f} s until {count} benches were up, {spent['on benches']:.0f} s for the tests on"
		" them"
	)
	return int(failed)


@contextmanager
def timed(spent: dict[str, float], what: str) -> Iterator[None]:
	"""Note how many seconds it took."""
	began = time.monotonic()
	try:
		yield
	finally:
		spent[what] = time.monotonic() - began


def bring_up(bench: Bench, count: int, stack: ExitStack, progress: Progress) -> list[Bench]:
	with state.exclusively(progress):
		ours = [] if running_supervisord(bench) else [bench]
		stack.callback(stop, ours, progress)
		first = start(bench, progress)
		copies = copies_of(first, count - 1)
		ours += copies  # before they are up: whoever ends us in between leaves none of them running
		copies = up_copies(first, copies, progress)
		wait_until_ready(first)  # it boots while the copies are made
	for each in (first, *copies):
		stack.enter_context(frequent_events_stopped(each))
	return [first, *copies]


def stop(benches: Sequence[Bench], progress: Progress) -> None:
	"""All at once: a database takes seconds to end."""

	def stop_one(bench: Bench) -> None:
		down(state.read_bench(bench.name) or bench, progress)

	with state.exclusively(progress), ThreadPoolExecutor(max_workers=MOST_BENCHES) as together:
		list(together.map(stop_one, benches))


def install_test_tools(bench: Bench, progress: Progress) -> None:
	"""Into the bench's own environment, so that tests meet the rq and redis that Frappe pins."""
	log = bench.log_path / "build.log"
	ensure_test_packages(progress, log)
	mark = bench.private_path / "test-requirements.txt"
	if mark.exists() and mark.read_text() == WANTED.read_text():
		return
	progress.say("test tools: pytest, hypothesis, playwright, ruff")
	run_logged([UV, "pip", "install", "--python", bench.python, "-r", WANTED], log, env=uv_environment())
	mark.write_text(WANTED.read_text())


def run_without_bench(bench: Bench, log: Path, spent: dict[str, float]) -> bool:
	"""
	With a Python in another place than the bench's: the doctor of a bench tells its processes by that, and would name those
	of these tests.
	"""
	python = ROOT / "quick" / "bin" / "python"
	link_environment(bench.path / "env", ROOT / "quick", {f"{bench.path}/env/": f"{ROOT}/quick/"})
	environment = {**bench.environment, "PYTHONPATH": str(CHECKOUT)}
	with log.open("w") as output, timed(spent, "without"):
		runner = Runner(python, environment, Progress(output), output, ASIDE)
		failed, at_once = runner.all(*STYLE), (f"-n{PROCESSES}", TOGETHER)
		return runner.tests(WITHOUT_BENCH, at_once, ROOT / "pytest-without-bench") or failed


def show(quick: Future[bool], log: Path, progress: Progress) -> bool:
	"""What ran beside the build, in one piece. True when anything of it failed."""
	failed = quick.result()
	progress.say("style and tests without a bench, which ran meanwhile:")
	write(log.read_text())
	return failed


def run_on(benches: list[Bench], progress: Progress) -> bool:
	"""The tests on benches, side by side. True when any failed."""
	names = " ".join(bench.name for bench in benches)
	# in the order of the plugin, the longest first, not those with the most tests
	at_once = (f"-n{len(benches)}", "--dist=loadscope", "--no-loadscope-reorder")
	runner = runner_on(benches[0], progress, {TEST_BENCHES: names})
	return runner.tests(ON_BENCHES, at_once, ROOT / "pytest-on-benches")


def runner_on(bench: Bench, progress: Progress, more: Mapping[str, str] = MappingProxyType({})) -> Runner:
	"""`more`: environment variables."""
	environment = {**bench.environment, "PYTHONPATH": str(CHECKOUT), TEST_BENCH: bench.name, **more}
	return Runner(bench.python, environment, progress)
