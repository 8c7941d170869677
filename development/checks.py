"""bin/test: the development bench, then style, then every test on it. Stops the bench if it was not up before."""

from __future__ import annotations

import argparse
import subprocess
import sys

from development import state
from development.command_line import wanted_bench
from development.description import CHECKOUT, Bench
from development.errors import DevelopmentError
from development.lifecycle import down, up
from development.progress import Progress
from development.running import run_logged
from development.scheduled_events import frequent_events_stopped
from development.services import running_supervisord
from development.system_packages import ensure_test_packages

STYLE = (("ruff", "check", "."), ("ruff", "format", "--check", "."))


def main(argv: list[str] | None = None) -> int:
	options, pytest_options = parser().parse_known_args(argv)
	progress = Progress()
	try:
		bench = wanted_bench(options)
		was_running = running_supervisord(bench) is not None
		with state.exclusively(progress):
			bench = up(bench, progress)
			install_test_tools(bench, progress)
		with frequent_events_stopped(bench):
			failed = run_checks(bench, progress, pytest_options or ["fmx_restart"])
		if not was_running:
			with state.exclusively(progress):
				down(bench, progress)
	except DevelopmentError as error:
		print(f"\n{error}\n{error.hint}", file=sys.stderr)
		return 1
	return int(failed)


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(
		prog="bin/test",
		description="Style and tests on a real bench. Everything else on the line goes to pytest: bin/test -k fence",
	)
	top.add_argument("--name", help="which development bench; default: the current one")
	top.add_argument("--frappe", default="", metavar="PATH_OR_URL[@BRANCH]", help="a Frappe of your own")
	top.set_defaults(sites=1, workers=1)
	return top


def install_test_tools(bench: Bench, progress: Progress) -> None:
	"""Into the bench's own environment, so that tests meet the rq and redis that Frappe pins."""
	ensure_test_packages(progress, bench.log_path / "build.log")
	wanted = CHECKOUT / "development" / "test-requirements.txt"
	mark = bench.private_path / "test-requirements.txt"
	if mark.exists() and mark.read_text() == wanted.read_text():
		return
	progress.say("test tools: pytest, hypothesis, playwright, ruff")
	install = [bench.tools / "uv", "pip", "install", "--python", bench.python, "-r", wanted]
	run_logged(install, bench.log_path / "build.log", env=bench.environment)
	mark.write_text(wanted.read_text())


def run_checks(bench: Bench, progress: Progress, pytest_options: list[str]) -> bool:
	"""Style first: it takes a second. True when anything failed."""
	failed = False
	environment = {**bench.environment, "FMX_DEVELOPMENT_BENCH": bench.name, "PYTHONPATH": str(CHECKOUT)}
	for command in (*STYLE, ("pytest", "-q", "--durations=10", *pytest_options)):
		progress.say(" ".join(command))
		done = subprocess.run([str(bench.python), "-m", *command], cwd=CHECKOUT, env=environment)
		failed = failed or done.returncode != 0
	return failed
