"""gunicorn of a bench: other options for a while, and set up to linger or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from development.description import Bench
from development.running import wait_until
from development.services import answers_ping
from development.supervisor_client import supervisor

PATIENCE = 60.0  # seconds


@contextmanager
def web_options(bench: Bench, *options: str) -> Iterator[None]:
	"""gunicorn with these instead of its number of workers, and as before afterwards."""
	file = bench.path / "config" / "supervisor.conf"
	before = file.read_text()
	try:
		file.write_text(re.sub(r" -w \d+ ", f" {' '.join(options)} ", before))
		read_again(bench)
		yield
	finally:
		file.write_text(before)
		read_again(bench)


def read_again(bench: Bench) -> None:
	group, rpc = f"{bench.name}-web", supervisor(bench.supervisor_socket)
	rpc.reloadConfig()
	rpc.stopProcessGroup(group)
	rpc.removeProcessGroup(group)
	rpc.addProcessGroup(group)
	wait_for_web(bench)


@contextmanager
def configuration_kept(bench: Bench) -> Iterator[None]:
	"""gunicorn's, with our lines or without."""
	file = bench.sites_path / "gunicorn.conf.py"
	before = file.read_bytes() if file.exists() else None
	try:
		yield
	finally:
		file.unlink(missing_ok=True)
		if before is not None:
			file.write_bytes(before)


def set_up(bench: Bench, *, is_lingering: bool) -> None:
	"""And active: the processes that run have read it."""
	options = ("--yes",) if is_lingering else ("--remove", "--yes")
	bench.run_bench_command("safe-restart", "setup", "web", *options)
	restart_web(bench)


def restart_web(bench: Bench) -> None:
	bench.supervisorctl("restart", f"{bench.name}-web:", check=True)
	wait_for_web(bench)


def wait_for_web(bench: Bench) -> None:
	wait_until(lambda: answers_ping(bench), "web answers", timeout=PATIENCE)
