"""
Whether the code on the disk can be loaded, tried out in a child of ours: it is a fork, so Frappe, which this process has
imported a moment ago, need not be imported once more, and the whole takes milliseconds instead of a second.
"""

from __future__ import annotations

import _imp
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fmx_restart.engine.ports import CodeFault

#: What a process that is started anew imports before an app's own code, and what holds us up: these stay as loaded
KEPT = {"frappe", "fmx_restart"}
WEB = "frappe.app"  # what gunicorn loads; some seconds of one processor
LOWEST = 19  # niceness: beside busy processes it gets hardly any processor
LINES = 12  # of a traceback
LONGEST = 60  # seconds that the child may live, whatever an app does when it is imported
PART_DONE = b"{}\n"
IMPORTS_END = 2.0  # seconds that another thread gets for an import before we fork
ONLY_ONCE = "may only be initialized once per interpreter process"  # of PyO3: half imported when we forked


class CodeOnDisk:
	"""`apps` reads the names of the bench's apps, Frappe first; it is asked at every check."""

	def __init__(self, apps: Callable[[], Iterable[str]], web: str = WEB) -> None:
		self._apps, self._web = apps, web
		self._pid: int | None = None
		self._pipe = -1
		self._answer = b""

	def start_check(self, *, is_awaited: bool = False) -> None:
		self.end_check()
		apps = list(self._apps())
		self._answer = b""
		self._pipe, writer = os.pipe()
		try:
			self._pid = fork()
			if self._pid == 0:
				try_imports(apps, self._web, writer, niceness=0 if is_awaited else LOWEST)
		finally:
			os.close(writer)
		os.set_blocking(self._pipe, False)

	def faults(self) -> list[CodeFault] | None:
		self._read()
		if PART_DONE not in self._answer:
			return None
		return [fault for line in self._answer.splitlines() if (fault := fault_in(line))]

	def is_checked(self) -> bool:
		self._read()
		return self._pid is None

	def end_check(self) -> None:
		if self._pid is None:
			return
		with suppress(
			ProcessLookupError, ChildProcessError
		):  # it has ended, or is the child of who forked us since
			os.kill(self._pid, signal.SIGKILL)
			os.waitpid(self._pid, 0)
		os.close(self._pipe)
		self._pid = None

	def _read(self) -> None:
		"""What it has told since; at its end it is laid to rest."""
		while self._pid is not None:
			try:
				piece = os.read(self._pipe, 65536)
			except BlockingIOError:
				return
			self._answer += piece
			if not piece:
				self.end_check()


def fault_in(line: bytes) -> CodeFault | None:
	"""None for the end of a part, for half a line, and for what an app wrote into our pipe when it was imported."""
	try:
		return CodeFault(**json.loads(line))
	except (ValueError, TypeError, RecursionError):
		return None


def fork() -> int:
	"""The child's pid, and 0 in the child, as os.fork."""
	with warnings.catch_warnings(), between_imports():
		# Python 3.12 and later warn where threads run; the child imports, tells and ends, and is killed if it hangs
		warnings.simplefilter("ignore", DeprecationWarning)
		return os.fork()


@contextmanager
def between_imports() -> Iterator[None]:
	"""
	No other thread is in the middle of an import, nor can begin one; unless one takes longer than we wait. The child could
	not go on with what is half imported, and an extension that says that it may be initialised only once in a process
	(PyO3's, as cryptography) cannot be imported anew there.
	"""
	until = time.monotonic() + IMPORTS_END
	_imp.acquire_lock()
	try:
		while any(map(is_of_another_thread, module_locks().values())) and time.monotonic() < until:
			_imp.release_lock()
			time.sleep(0.002)
			_imp.acquire_lock()
		yield
	finally:
		_imp.release_lock()


def module_locks() -> dict[str, Any]:
	"""By the names of modules that are being imported. Python has no public way to them."""
	locks = importlib._bootstrap._module_locks
	return {name: reference() for name, reference in list(locks.items())}


def try_imports(apps: Iterable[str], web: str, writer: int, *, niceness: int) -> None:
	"""In the child; never returns. `niceness`: of the second part, on top of ours."""
	try:
		be_alone(writer)
		forget(set(apps) - KEPT)
		for app in apps:
			tell_fault(writer, app, f"{app}.hooks")
		os.write(writer, PART_DONE)
		os.nice(niceness)
		tell_fault(writer, web)
	finally:
		os._exit(0)


def be_alone(*kept: int) -> None:
	"""In a child: prints nothing, uses no file or connection of the parent, takes no signal of its, and ends in time."""
	gc.disable()
	forget_imports_of_other_threads()
	signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the parent decides
	for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
		signal.signal(number, signal.SIG_DFL)
	signal.alarm(LONGEST)
	silent = os.open(os.devnull, os.O_RDWR)
	for file in os.listdir("/proc/self/fd"):  # noqa: PTH208
		if int(file) not in (*kept, silent):
			with suppress(OSError):  # the one that read this folder
				os.dup2(silent, int(file))
	sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def forget_imports_of_other_threads() -> None:
	"""
	In a child. A thread that was importing when we were forked is not here to let its module's lock go, and whoever imports
	that module would wait for ever. What is half imported is imported anew.
	"""
	for name, lock in module_locks().items():
		owner = getattr(lock, "owner", None)
		if owner == threading.get_ident():
			continue
		importlib._bootstrap._module_locks.pop(name, None)
		if owner is not None:
			sys.modules.pop(name, None)


def is_of_another_thread(lock: Any) -> bool:
	"""Whether another thread holds this lock of a module."""
	return getattr(lock, "owner", None) not in (None, threading.get_ident())


def forget(packages: set[str]) -> None:
	"""What this process imported of them may be older than what is on the disk."""
	for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
		del sys.modules[name]
	importlib.invalidate_caches()


def tell_fault(writer: int, *modules: str) -> None:
	"""The first of them that cannot be imported; a package comes before what is in it."""
	for module in modules:
		try:
			importlib.import_module(module)
		except BaseException as error:  # noqa: BLE001  an app may end its process, too
			if ONLY_ONCE in str(error):
				os._exit(0)  # it is because of us, and nothing is known of the code
			fault = {"module": module, "error": one_line(error), "traceback": last_lines(error)}
			os.write(writer, json.dumps(fault).encode() + b"\n")
			return


def one_line(error: BaseException) -> str:
	"""The error with its place, as "NameError: name 'x' is not defined (File …, line 3)"."""
	*where, what = traceback.format_exception_only(type(error), error)
	place = where[0].strip() if where else ""
	return f"{what.strip()} ({place})" if place else what.strip()


def last_lines(error: BaseException) -> str:
	"""The end of the traceback, as many lines as a report shows."""
	lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
	return "\n".join(lines[-LINES:])
