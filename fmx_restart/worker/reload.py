"""
Reload in place: the process of a worker goes on with the code that is on the disk now, under the same pid (execve). It is asked
for through Redis (`requests.py`), and happens when the worker has no job. The new code is imported in a process of its own before; a worker
whose new code cannot be imported stays as it is, and says so in its record.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from fmx_restart.worker.horse import opened
from fmx_restart.worker.owners import born
from fmx_restart.worker.requests import ANSWERED as ANSWERED
from fmx_restart.worker.stop import SIGNALS, Stop
from fmx_restart.worker.switch import is_wanted

#: Fields of the record of a worker, a pool or the scheduler: how often its process was reloaded, the number of the newest request
#: that it has followed or refused (or that was older than its process), and why it refused: the type of an error, or one of the
#: two below. A worker of a pool has the first two from the pool's process, as its code is that one's
RELOADS, REFUSED = "fmx_reloads", "fmx_reload_refused"  # and ANSWERED
TRYING = "fmx_reload_trying"  # of a pool or the scheduler: the number of the request for which it is trying the new code
IN_A_POOL, SWITCHED_OFF = "WorkerPool", "SwitchedOff"
VARIABLE = "FMX_RESTART_RELOADED"  # of the environment: from the old code to the new code of the same process
APP = "fmx_restart"
WITHIN = 60.0  # seconds that the new code may take to be imported

#: The arguments: seconds, modules. It writes OK, or the type of the error and the module. What an app prints goes elsewhere.
OK = "OK"
PROBE = f"""
import importlib, os, signal, sys
signal.alarm(int(sys.argv[1]))
answer = os.dup(1)
os.dup2(2, 1)
said = "{OK}"
for module in sys.argv[2:]:
	try:
		importlib.import_module(module)
	except BaseException as error:
		said = f"{{type(error).__name__}} {{module}}"
		break
os.write(answer, said.encode())
os._exit(0)
"""


class Reloaded(NamedTuple):
	"""What a process has been through before."""

	times: int = 0
	number: int = 0  # of the request that it followed
	recycled: int = 0  # how often it started anew by itself
	reason: str = ""  # why last
	name: str = ""  # of the worker or pool that it was
	children: tuple = ()  # of a pool: what it needs to know of its workers (pool.py)
	due: float = 0.0  # of the scheduler: when the next tick is, by the monotonic clock


def reloaded() -> Reloaded:
	"""Of this process. Its children do not inherit it."""
	return _reloaded(os.getpid())


@cache
def _reloaded(pid: int) -> Reloaded:
	try:
		of_pid, *values = json.loads(os.environ.pop(VARIABLE, ""))
		return Reloaded(*values) if of_pid == pid else Reloaded()
	except (ValueError, TypeError):
		return Reloaded()


def answered_at_birth(connection: Redis) -> int:
	"""
	The newest request that this worker need not follow. One that came when its process had already started may be about code
	that it has not loaded.
	"""
	if reloaded().times:
		return reloaded().number
	seconds, micros = connection.time()
	return seconds * 1000 + micros // 1000 - int(age() * 1000)


def age() -> float:
	"""Seconds since this process started; 0 where that cannot be told."""
	ticks = born(os.getpid())
	if not ticks:
		return 0.0
	return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK"))


class Program:
	"""How this process was started. To be made before anything has changed its environment or its folder."""

	def __init__(self) -> None:
		reloaded()
		self.environment, self.folder = dict(os.environ), Path.cwd()

	def fault(self, modules: Sequence[str], stop: Stop, seconds: float = WITHIN) -> tuple[str, str]:
		"""
		Why its code cannot be run anew, and in which module, if that is known; two empty texts if it can, or if the worker is
		told to leave meanwhile. `modules`: those besides the hooks of the apps.
		"""
		if parent_process():
			return IN_A_POOL, ""  # its parent would start the next one with the old code
		apps = read_apps(self.folder)
		if not is_wanted(self.folder, self.environment) or (apps and APP not in apps):
			return SWITCHED_OFF, ""
		try:
			return self._probe([*modules, *(f"{app}.hooks" for app in apps)], stop, seconds)
		except OSError as error:
			return type(error).__name__, ""

	def _probe(self, modules: Sequence[str], stop: Stop, seconds: float) -> tuple[str, str]:
		command = [sys.executable, "-c", PROBE, str(int(seconds) + 1), *modules]
		until = time.monotonic() + seconds
		with subprocess.Popen(
			command,
			cwd=self.folder,
			env=self.environment,
			stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE,
			stderr=subprocess.DEVNULL,
			bufsize=0,
		) as probe:
			try:
				with opened(probe.pid) as files:
					while probe.poll() is None and stop.asked_at is None:
						if time.monotonic() > until:
							return TimeoutError.__name__, ""
						stop.wait(min(0.5, until - time.monotonic()) if files else 0.05, files)
			finally:
				probe.kill()
			os.set_blocking(probe.stdout.fileno(), False)  # what an app started may hold the other end
			return ("", "") if stop.asked_at is not None else fault_in(probe.stdout.read(1000) or b"")

	def run_anew(self, past: Reloaded, stop: Stop) -> None:
		"""
		What the new code is told is `past`. Returns only if this process is told to leave; raises OSError. Signals are held
		back.
		"""
		for name in SIGNALS:
			signal.signal(name, signal.SIG_DFL)  # another thread may get one: then this process ends here
		if stop.asked_at is not None or signal.sigpending() & set(SIGNALS):
			return
		mark = json.dumps([os.getpid(), *past])
		os.chdir(self.folder)
		sys.stdout.flush()
		sys.stderr.flush()
		os.execve(sys.executable, sys.orig_argv, {**self.environment, VARIABLE: mark})


def read_apps(sites: Path) -> list[str]:
	"""Empty where there is no list: a worker of RQ alone."""
	try:
		return (sites / "apps.txt").read_text().split()
	except OSError:
		return []


def fault_in(answer: bytes) -> tuple[str, str]:
	"""Without an answer its process ended before: an app may end it, or the kernel."""
	if answer == OK.encode():
		return "", ""
	kind, _, module = answer.decode(errors="replace").partition(" ")
	return (kind[:100], module[:200]) if kind.isidentifier() else (ChildProcessError.__name__, "")
