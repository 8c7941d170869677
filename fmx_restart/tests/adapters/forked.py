"""
Python processes that are forked from one that has imported the product: a new interpreter takes half a second for that, and
a hundred of them are started by tests of other things. `python -m fmx_restart.tests.adapters.forked` is the one that forks.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

#: What the product's commands and the stories of tests import. Nothing of it starts a thread or opens anything.
PRELOADED = (
	"filelock",
	"fmx_restart.adapters.site_config",
	"fmx_restart.commands.restart",
	"fmx_restart.recover",
	"fmx_restart.wiring",
	"supervisor.rpcinterface",
)
#: What these import is wanted, not they themselves: they are run, each time anew
SCRIPTS = ("fmx_restart.__main__", "fmx_restart.tests.commands.viewed", "supervisor.supervisord")
AT_WORK = "."  # the answer to a fork is the child's pid


class Forked(subprocess.Popen):
	"""
	As subprocess.Popen of `[sys.executable, "-m" or "-c", …]`. To others its command is that of the process that forks:
	where a command line matters, and where the start of the interpreter does, a real Popen is wanted.
	"""

	def _execute_child(self, args, *others) -> None:
		_, preexec_fn, _, _, cwd, env, _, _, _, *pipes = others[:15]
		_, how, *words = args
		child_in, _, _, child_out, _, child_errors = pipes
		files = [
			number if (own := end) == -1 else own
			for number, end in enumerate((child_in, child_out, child_errors))
		]
		self._status, status = os.pipe()
		order = {
			"how": how,
			"words": [os.fspath(word) for word in words],
			"cwd": os.fspath(cwd or Path.cwd()),
			"env": dict(os.environ if env is None else env),
			"has_session": others[20],
			"before": preexec_fn and [preexec_fn.__module__, preexec_fn.__qualname__],
		}
		try:
			self.pid = Parent.of_this_process().fork(order, [*files, status])
		finally:
			os.close(status)
			self._close_pipe_fds(*pipes)
		self._child_created = True

	def _internal_poll(self, _deadstate=None, **_) -> int | None:
		if self.returncode is None:
			self._take_status(0)
		return self.returncode

	def _try_wait(self, wait_flags: int) -> tuple[int, int]:
		return (self.pid, self._end) if self._take_status(0 if wait_flags else None) else (0, 0)

	def _take_status(self, seconds: float | None) -> bool:
		if self.returncode is not None:
			return True
		with selectors.DefaultSelector() as selector:
			selector.register(self._status, selectors.EVENT_READ)
			if not selector.select(seconds):
				return False
		self._end = int(os.read(self._status, 20) or signal.SIGKILL)
		os.close(self._status)
		self.returncode = os.waitstatus_to_exitcode(self._end)
		return True


def run_forked(words: Sequence[str], **how) -> subprocess.CompletedProcess:
	"""As subprocess.run with capture_output and text."""
	timeout = how.pop("timeout", None)
	with Forked(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how) as process:
		try:
			output, errors = process.communicate(timeout=timeout)
		except BaseException:
			process.kill()
			raise
	return subprocess.CompletedProcess(words, process.returncode, output, errors)


class Parent:
	"""The process that forks, as the test's process knows it. It ends with the test's process."""

	_own: Parent | None = None

	def __init__(self) -> None:
		self._socket, theirs = socket.socketpair()
		with theirs:
			self._process = subprocess.Popen(
				[sys.executable, "-m", __name__, str(theirs.fileno())],
				env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
				pass_fds=[theirs.fileno()],
			)
		atexit.register(self.end)

	@classmethod
	def of_this_process(cls) -> Parent:
		if cls._own is None:
			cls._own = cls()
		return cls._own

	@classmethod
	def end_of_this_process(cls) -> None:
		"""Nothing where this process has none."""
		if cls._own is not None:
			cls._own.end()

	def fork(self, order: dict, files: Sequence[int]) -> int:
		"""The child's pid. `files`: its three streams, and a pipe that takes its exit status."""
		with os.fdopen(os.memfd_create("order"), "w+") as text:
			json.dump(order, text)
			text.flush()
			socket.send_fds(self._socket, [AT_WORK.encode()], [text.fileno(), *files])
			return int(self._socket.recv(20))

	def end(self) -> None:
		self._socket.close()
		self._process.wait()


def serve(control: socket.socket) -> dict | None:
	"""Forks for each order. Returns in each child, with the order, and in the parent at the end, with None."""
	woken, wake = os.pipe()
	os.set_blocking(wake, False)
	signal.set_wakeup_fd(wake)
	signal.signal(signal.SIGCHLD, lambda *_: None)
	statuses: dict[int, int] = {}  # pid → pipe for its exit status
	with selectors.DefaultSelector() as selector:
		selector.register(control, selectors.EVENT_READ)
		selector.register(woken, selectors.EVENT_READ)
		while True:
			ready = {key.fileobj for key, _ in selector.select()}
			if woken in ready:
				os.read(woken, 1000)
				bury(statuses)
			if control in ready:
				message, files, _, _ = socket.recv_fds(control, 1, 5)
				if not message:
					return None
				order, *streams, status = files
				if (pid := os.fork()) == 0:
					forget([control.detach(), woken, wake, status, *statuses.values()])
					return begin(order, streams)
				statuses[pid] = status
				forget([order, *streams])
				control.sendall(str(pid).encode())


def bury(statuses: dict[int, int]) -> None:
	"""Whoever waits for a child that has ended is told."""
	with suppress(ChildProcessError):
		while (ended := os.waitpid(-1, os.WNOHANG))[0]:
			pid, status = ended
			with suppress(BrokenPipeError):
				os.write(statuses[pid], str(status).encode())
			os.close(statuses.pop(pid))


def forget(files: Sequence[int]) -> None:
	for file in files:
		os.close(file)


def begin(text: int, streams: Sequence[int]) -> dict:
	"""In the child: what exec would have done."""
	signal.set_wakeup_fd(-1)
	signal.signal(signal.SIGCHLD, signal.SIG_DFL)
	with os.fdopen(text) as file:
		file.seek(0)
		order = json.load(file)
	if order["has_session"]:
		os.setsid()
	for number, stream in enumerate(streams):
		os.dup2(stream, number)
	forget([stream for stream in streams if stream > 2])
	os.chdir(order["cwd"])
	os.environ.clear()
	os.environ.update(order["env"])
	if order["before"]:
		module, name = order["before"]
		getattr(importlib.import_module(module), name)()
	is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
	sys.stdin, sys.stdout, sys.stderr = (reopened(number, is_unbuffered) for number in range(3))
	return order


def reopened(number: int, is_unbuffered: bool) -> io.TextIOWrapper:
	"""Standard streams that know whether they are a terminal now, as a new interpreter's do."""
	errors = "backslashreplace" if number == 2 else "strict"
	mode = "w" if number else "r"
	buffering = 1 if number == 2 or os.isatty(number) else -1
	stream = os.fdopen(number, mode, buffering, errors=errors, closefd=False)
	if number and is_unbuffered:
		stream.reconfigure(write_through=True)
	return stream


def run(order: dict) -> None:
	"""What follows the interpreter's name in a command line."""
	first, *words = order["words"]
	if order["how"] == "-m":
		sys.argv = [first, *words]
		runpy.run_module(first, run_name="__main__", alter_sys=True)
	else:
		sys.argv = ["-c", *words]
		exec(compile(first, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
	for name in (*PRELOADED, *SCRIPTS):
		importlib.import_module(name)
	for name in SCRIPTS:
		del sys.modules[name]
	gc.freeze()
	if order := serve(socket.socket(fileno=int(sys.argv[1]))):
		run(order)
