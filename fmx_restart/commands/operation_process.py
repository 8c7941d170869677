"""
The operation's own process: a child in a session of its own, which never writes to a terminal. Whoever typed the command
is its viewer. What the viewer shows or does not show, and how it ends, cannot delay the operation.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmx_restart.adapters.code import fork
from fmx_restart.adapters.own_session import leave_terminal, replace_streams
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.file_faults import hint_of, is_file_fault, what_failed
from fmx_restart.engine.report import Failure

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Messages:
	"""
	What the viewer cannot read in the journal, line by line: facts before it begins, or after it was lost, and why there is
	none. An anonymous file in memory: the writer never waits, and nothing is dropped when the viewer does not read.
	"""

	def __init__(self) -> None:
		self._file = os.memfd_create("fmx_restart")
		self._position, self._rest = 0, b""

	def put(self, line: str) -> None:
		"""Write one line. Raises BrokenPipeError where the reader is gone."""
		os.write(self._file, line.encode() + b"\n")

	def take(self) -> list[str]:
		"""Whole lines, each once."""
		while part := os.pread(self._file, 1 << 16, self._position):
			self._position += len(part)
			self._rest += part
		*lines, self._rest = self._rest.split(b"\n")
		return [line.decode() for line in lines]


class Reporter:
	"""
	The operation's side of the messages. A listener for facts: it passes on those that the viewer cannot read in the
	journal, because that has not begun yet or is lost.
	"""

	def __init__(self, messages: Messages) -> None:
		self._messages = messages
		self._has_journal = self._has_begun = False
		self._last: events.Event | None = None

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.JournalLost) and self._has_journal:
			self._has_journal = False
			if self._last is not None:  # the one that the journal could not take
				self._put(json_line(self._last))
		if not self._has_journal:
			self._put(json_line(event))
		self._last = event

	def begins(self) -> None:
		"""From now on the journal has the facts."""
		self._has_journal = self._has_begun = True
		self._put(json.dumps({"begins": True}))

	def warning(self, text: str) -> None:
		"""Tell the terminal what does not stop the operation."""
		self._put(json.dumps({"warning": text}))

	def failure(self, error: BaseException) -> None:
		"""Tell the terminal why nothing began, or why it ended, with what to type."""
		hint = error.hint if isinstance(error, OperationError) else ""
		failure = Failure(type(error).__name__, str(error), hint)
		self._put(json.dumps({"failure": vars(failure)}))

	def file_fault(self, error: BaseException) -> WrongEnvironment | None:
		"""What an error means with which nothing began, where a file could not be read."""
		if self._has_begun or not is_file_fault(error):
			return None
		return WrongEnvironment(f"{what_failed(error)} Nothing was restarted.", hint=hint_of(error))

	def _put(self, line: str) -> None:
		self._messages.put(line)


class OperationProcess:
	"""The child, as its viewer sees it."""

	def __init__(self, pid: int, messages: Messages) -> None:
		self.pid, self.messages = pid, messages
		self.exit_code: int | None = None  # negative: the number of the signal that ended it

	def has_ended(self) -> bool:
		"""Looks once, and does not wait."""
		if self.exit_code is None:
			pid, status = os.waitpid(self.pid, os.WNOHANG)
			if pid:
				self.exit_code = os.waitstatus_to_exitcode(status)
		return self.exit_code is not None

	def ask_to_stop(self) -> None:
		"""Our child keeps its pid until we have seen its end: nobody else can be meant."""
		if self.exit_code is None:
			with suppress(ProcessLookupError):
				os.kill(self.pid, signal.SIGINT)


def start(work: Callable[[Reporter, threading.Event], None], output: Path) -> OperationProcess:
	"""
	Run `work` in a process of its own; the event is set when someone wants it to stop. What the process prints, which is
	nothing unless it breaks, goes to `output`. Raises WrongEnvironment; nothing was changed then.
	"""
	flush_streams()
	with no_signals():
		try:
			fill_streams()
			messages = Messages()
			pid = fork()
		except OSError as error:
			raise WrongEnvironment(
				f"The operation's process cannot be started: {error}. Nothing was changed.",
				hint="Check the free memory and the process limits: free -m; ulimit -u.",
			) from error
		if pid == 0:
			run(work, Reporter(messages), output)
	return OperationProcess(pid, messages)


@contextmanager
def no_signals() -> Iterator[None]:
	"""
	Around the start: a hang-up before the child has its own session must not end the child, and a Ctrl-C before the viewer
	has its handlers must not end the viewer without a word to the child.
	"""
	before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
	try:
		yield
	finally:
		signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(work: Callable[[Reporter, threading.Event], None], reporter: Reporter, output: Path) -> None:
	"""In the child; never returns. Its exit code is that of the operation."""
	code = 1
	try:
		os.setsid()
		stop_requested = note_signals()
		keep_output(output)
		code = exit_code_of(lambda: work(reporter, stop_requested), reporter)
		drop_if_empty(output)
	finally:
		os._exit(code)


def note_signals() -> threading.Event:
	"""A request to stop, from the viewer or from whoever knows the pid. A hang-up concerns the viewer alone."""
	requested = threading.Event()
	for number in (signal.SIGINT, signal.SIGTERM):
		signal.signal(number, lambda *_: requested.set())
	signal.signal(signal.SIGHUP, signal.SIG_IGN)
	signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
	return requested


def keep_output(output: Path) -> None:
	"""A file that cannot be made is no reason not to begin; the journal decides about that."""
	try:
		output.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
		leave_terminal(str(output))
	except OSError:
		nowhere = os.open(os.devnull, os.O_RDWR)
		replace_streams(nowhere, nowhere)


def exit_code_of(work: Callable[[], None], reporter: Reporter) -> int:
	"""Work, and report an error instead of raising it. 0, the error's exit code, or 1 for one that nobody expected."""
	try:
		work()
	except OperationError as error:
		reporter.failure(error)
		return error.exit_code
	except BaseException as error:  # noqa: BLE001 - nobody above us would show it
		if (fault := reporter.file_fault(error)) is not None:
			reporter.failure(fault)
			return fault.exit_code
		traceback.print_exc()
		reporter.failure(error)
		return 1
	return 0


def drop_if_empty(output: Path) -> None:
	"""Delete the operation's output file unless something was written to it."""
	flush_streams()
	with suppress(OSError):
		if not output.stat().st_size:
			output.unlink()


def fill_streams() -> None:
	"""Where one was closed before we began, the next file that is opened would take its number, and get what is printed."""
	while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
		os.set_inheritable(number, True)
	os.close(number)


def flush_streams() -> list[int]:
	"""Standard output and error. Returns the descriptors of those that cannot be written any more."""
	broken = []
	for number, stream in ((1, sys.stdout), (2, sys.stderr)):
		try:
			if stream is not None:  # it was closed before Python began
				stream.flush()
		except (OSError, ValueError):
			broken.append(number)
	return broken


def let_go_of_closed_streams() -> None:
	"""Python itself would stumble at its end over a pipe that was closed, and change the exit code."""
	for number in flush_streams():
		nowhere = os.open(os.devnull, os.O_WRONLY)
		os.dup2(nowhere, number)
		os.close(nowhere)
