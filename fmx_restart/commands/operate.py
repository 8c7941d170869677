"""An operation in a process of its own, and what the person sees of it who typed the command."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_restart.adapters.journal_files import launch_log
from fmx_restart.commands.operation_process import (
	OperationProcess,
	Reporter,
	let_go_of_closed_streams,
	no_signals,
	note_signals,
	start,
)
from fmx_restart.commands.viewer import ProcessSource, Viewer, error_of
from fmx_restart.current_bench import journal_folder
from fmx_restart.engine import events
from fmx_restart.engine.emitter import Listener
from fmx_restart.engine.options import Options

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

ENDS_WITHIN = 5.0  # seconds between an operation's last fact and the end of its process
ASKED = "Asked the operation to stop. It undoes what it did, or finishes what it began. A second Ctrl-C leaves it running."
LEFT = "Operation {} was asked to stop and is still running. Watch it: bench safe-restart attach"


def operate(
	id: str,
	wanted: Options,
	site: str | None,
	listener: Listener,
	*,
	stop_requested: threading.Event,
	begins: Callable[[Operation], None] = lambda operation: None,
) -> None:
	"""`begins` is called with the operation once its journal is there, and before its first fact. Raises an OperationError when it does not end as Done."""
	# here, and all of it: this takes most of the time until the first fact, and whoever typed the command waits elsewhere
	from fmx_restart.desk.announce import announce
	from fmx_restart.recover import launch_guardian, recover_unfinished_operations
	from fmx_restart.wiring import new_operation

	try:
		recover_unfinished_operations(listener)
		operation = new_operation(id, wanted, [listener])
		begins(operation)
		launch_guardian(id)
		operation.stop_requested = stop_requested
		operation.run()
	finally:
		announce(id, site)


def operate_in_place(
	id: str, wanted: Options, site: str | None, listener: Listener, notes: Sequence[events.Event] = ()
) -> None:
	"""For a launcher that gave this process a session of its own, and no terminal. `notes`: what it tells in the journal."""

	def begins(operation: Operation) -> None:
		operation.launch_notes = notes

	operate(id, wanted, site, listener, stop_requested=note_signals(), begins=begins)


def operate_apart(
	id: str,
	wanted: Options,
	site: str | None,
	viewer: Callable[[], Viewer],
	after: Callable[[events.Event], None],
) -> None:
	"""
	In a process of its own, watched from here. `viewer` is made while that begins: what it imports takes as long as a
	preflight. Raises the operation's failure, or what `after` raises.
	"""

	def work(reporter: Reporter, stop_requested: threading.Event) -> None:
		from fmx_restart.adapters.managers.systemd.scope import move_out

		if warning := move_out(id):
			reporter.warning(warning)
		operate(id, wanted, site, reporter, stop_requested=stop_requested, begins=lambda _: reporter.begins())

	watch_apart(work, journal_folder() / f"{id}.jsonl", viewer, after)


def watch_apart(
	work: Callable[[Reporter, threading.Event], None],
	journal: Path,
	viewer: Callable[[], Viewer],
	after: Callable[[events.Event], None],
) -> None:
	"""`work` in a process of its own, and the facts in `journal` shown until it ends. Raises as operate_apart."""
	output = launch_log(journal.parent, journal.stem)
	with no_signals():
		process = start(work, output)
		source = ProcessSource(process, journal, output)
		interrupts = Interrupts(process, journal.stem, source.notices.append)
	try:
		failure = viewer().watch(source, after)
		wait_for_end(process)
		if failure:
			error = error_of(failure, output)
			error.is_in_report = True
			raise error
	finally:
		interrupts.restore()
		let_go_of_closed_streams()


def wait_for_end(process: OperationProcess) -> None:
	"""After its last fact it only tells others that the bench is free: whoever comes next should find that done."""
	until = time.monotonic() + ENDS_WITHIN
	while not process.has_ended() and time.monotonic() < until:
		time.sleep(0.01)


class Interrupts:
	"""
	Ctrl-C, and the TERM of a cancelled pipeline, ask the operation to stop: it undoes, or finishes what it began. A second
	Ctrl-C leaves at once. A hang-up ends this process alone, as it ends any.
	"""

	def __init__(self, process: OperationProcess, operation: str, tell: Callable[[str], object]) -> None:
		self.process, self.operation, self.tell = process, operation, tell
		self._interrupts = count(1)
		self._before = {number: signal.signal(number, self) for number in (signal.SIGINT, signal.SIGTERM)}

	def __call__(self, number: int, frame: object) -> None:
		if number == signal.SIGINT and next(self._interrupts) > 1:
			self.leave()
		self.process.ask_to_stop()
		self.tell(ASKED)

	def restore(self) -> None:
		"""Signals do again what they did before."""
		for number, handler in self._before.items():
			signal.signal(number, handler)

	def leave(self) -> None:
		"""Never returns. The main program may be waiting for a terminal that nobody reads: nothing here does."""
		text = f"\n{LEFT.format(self.operation)}\n"
		if select.select([], [2], [], 0)[1]:
			os.write(2, text.encode())
		os._exit(130)
