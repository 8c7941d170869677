"""
What bin/test adds to pytest: a bench for each process of pytest-xdist, what the bench wrote while a test failed, and a
failure where a process outlives the tests.

Tests on a bench mostly wait for processes to boot, so several benches side by side keep two cores busy.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from development.description import TEST_BENCH, TEST_BENCHES, current_bench
from development.outliving import described, mark_what_is_started, outliving
from development.processes import end_all
from development.runner import OUTLIVED
from development.running import last_lines
from fmx_restart.tests.adapters.forked import Parent
from fmx_restart.tests.repetitions import COUNTS

SIZE = ("COLUMNS", "LINES")  # pytest-xdist sets them; tests with a terminal have one of another size
BENCH_TESTS = "/tests/bench/"
SHARED = ("fmx_restart.tests.bench.site_process", "fmx_restart.tests.bench.real_jobs")
REPEATED = "repetitions"
BEGAN: dict[type | None, float] = {}  # class of tests → seconds since the epoch
SLOWEST = 15  # files that are named at the end
QUOTED_LINES = 60  # of a journal, and of each program's log
#: Classes that take longest on a bench. They begin first, so that no bench works on one when all others have ended.
LONGEST = (
	"TestCrashesAtBorders",
	"TestCrashesAtOtherBorders",
	"TestPages",
	"TestRestartFromDesk",
	"TestAPatchThatRaises",
	"TestStrategies",
	"TestAPatchThatWorks",
	"TestHangs",
	"TestKilled",
	"TestWildJobs",
	"TestAPatchThatHangs",
	"TestDatabaseIsDown",
	"TestWithoutFrappe",
	"TestBrokenApp",
	"TestFull",
	"TestDone",
	"TestRestarted",
	"TestRestartedWithoutData",
	"TestTerminal",
	"TestNoWorkerFree",
	"TestNeverLaunched",
	"TestInterruptedTwice",
	"TestDetached",
	"TestKilledWorkers",
	"TestUnderLoad",
	"TestSignals",
	"TestTwoAtOnce",
	"TestTwoBenchesOnOneRedis",
	"TestSupervisordIsKilled",
	"TestPrograms",
	"TestDoctor",
	"TestInstallation",
	"TestMatrix",
)


#: What is told at the end of processes that outlived the tests, and were killed.
LEFT: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
	parser.addoption(
		"--outliving-patience",
		type=float,
		default=10.0,
		metavar="SECONDS",
		help="how long processes of tests may outlive them",
	)


def pytest_configure(config: pytest.Config) -> None:
	names = os.environ.get(TEST_BENCHES, "").split()
	worker = os.environ.get("PYTEST_XDIST_WORKER")
	if names and worker:
		os.environ[TEST_BENCH] = names[int(worker.removeprefix("gw")) % len(names)]
	for name in SIZE:
		os.environ.pop(name, None)
	if not worker:
		mark_what_is_started()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
	ranks = {name: rank for rank, name in enumerate(LONGEST)}
	items.sort(key=lambda item: ranks.get(item.cls.__name__ if item.cls else "", len(ranks)))


@pytest.hookimpl(trylast=True)  # the processes of pytest-xdist have ended
def pytest_sessionfinish(session: pytest.Session) -> None:
	"""A process of pytest-xdist tells the one that prints what it has repeated. That one sees what outlived the tests."""
	if hasattr(session.config, "workeroutput"):
		session.config.workeroutput[REPEATED] = dict(COUNTS)
		return
	end_helpers_of_this_process()
	names = os.environ.get(TEST_BENCHES) or os.environ.get(TEST_BENCH, "")
	benches = map(current_bench, names.split())
	left = outliving(benches, patience=session.config.getoption("--outliving-patience"))
	LEFT.extend(map(described, left))
	end_all(left)
	if left:
		session.exitstatus = OUTLIVED


def end_helpers_of_this_process() -> None:
	"""Without pytest-xdist this process has run the tests itself, and what serves many tests would end with it, later."""
	Parent.end_of_this_process()
	for name in SHARED:
		if module := sys.modules.get(name):
			module.close_shared()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error: object) -> None:
	COUNTS.update(getattr(node, "workeroutput", {}).get(REPEATED, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
	"""How often tests with chance were repeated, and which files take the time, in all processes."""
	if COUNTS:
		terminalreporter.section("repetitions")
		terminalreporter.write_line(", ".join(f"{count} {what}" for what, count in COUNTS.items() if count))
	if LEFT:
		terminalreporter.section("processes that outlived the tests, and were killed", red=True)
		terminalreporter.write_line("\n".join(LEFT))
	spent: Counter[str] = Counter()
	for reports in terminalreporter.stats.values():
		for report in reports:
			if isinstance(report, pytest.TestReport):
				spent[report.location[0]] += report.duration
	terminalreporter.section(f"slowest {SLOWEST} files")
	for file, seconds in spent.most_common(SLOWEST):
		terminalreporter.write_line(f"{seconds:7.1f} s  {file}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
	"""Tests of a class share an operation, and a part of a test that fails knows its own duration alone."""
	BEGAN.setdefault(item.cls, time.time())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
	"""A failure on a bench is understood from the operation's journal and the programs' logs."""
	report = yield
	if report.failed and BENCH_TESTS in str(item.path) and TEST_BENCH in os.environ:
		for title, text in written_since(BEGAN.get(item.cls, time.time() - call.duration)):
			report.sections.append((title, text))
	return report


def written_since(instant: float) -> Iterator[tuple[str, str]]:
	"""Title and last lines of the newest journal and of each log that changed. `instant`: seconds since the epoch."""
	bench = current_bench(os.environ[TEST_BENCH])
	yield "bench", bench.name
	journals = sorted((bench.path / "logs" / "fmx_restart").glob("*.jsonl"))
	for file in [*journals[-1:], *sorted((bench.path / "logs").glob("*.log"))]:
		if changed_since(file, instant):
			yield str(file), last_lines(file, QUOTED_LINES)


def changed_since(file: Path, instant: float) -> bool:
	return file.exists() and file.stat().st_size > 0 and file.stat().st_mtime >= instant
