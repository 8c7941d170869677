"""Operations of this bench whose process died: find them, and put right what they left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from contextlib import closing

from fmx_restart.adapters.guardian_process import start_guardian
from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.journal_reader import is_closed, remains_to_recover, unfinished
from fmx_restart.engine import events
from fmx_restart.engine.emitting import Emitter, Listener
from fmx_restart.engine.errors import OperationError, QueueUnreachable
from fmx_restart.engine.recovery import Recovery
from fmx_restart.engine.report import Report
from fmx_restart.this_bench import journals_here, this_bench

TRIES_FOR = 600.0  # seconds that the guardian tries, e.g. while Redis is away; then others take over
AGAIN_AFTER = 5.0  # seconds


def unfinished_here() -> list[str]:
	"""Ids of operations that have no end and that nobody works on, the oldest first."""
	return [path.stem for path in unfinished(journals_here())]


def recover(operation: str, listeners: Iterable[Listener] = ()) -> Report | None:
	"""
	Put right what this operation left; waits while its process, or anybody else, works on it. None when there is nothing
	to do. Raises an OperationError when it must be tried again, or when a process did not come back.
	"""
	journal = journals_here() / f"{operation}.jsonl"
	if not journal.exists():
		return None
	with closing(Journal(journal.parent, operation)) as held:
		if is_closed(journal):
			return None
		remains = remains_to_recover(journal)
		emit = Emitter(held, listeners)
		try:
			recovery = Recovery(this_bench(operation, recovers=True), remains, emit)
			return run(recovery)
		except OperationError as error:
			if not is_closed(held.path):
				emit(events.RecoveryFailed(str(error)))
			raise


def run(recovery: Recovery) -> Report:
	try:
		return recovery.run()
	except QueueUnreachable:
		recovery.start_what_is_down()
		raise


def recover_patiently(operation: str) -> None:
	"""For the guardian: again and again, until it is done or others must see to it."""
	until = time.monotonic() + TRIES_FOR
	while True:
		try:
			recover(operation)
			return
		except OperationError:
			if is_closed(journals_here() / f"{operation}.jsonl") or time.monotonic() > until:
				return
		time.sleep(AGAIN_AFTER)


def launch_guardian(operation: str) -> subprocess.Popen:
	"""
	A small process that waits until nobody works on the operation any more, and then recovers what is left. Started for one
	that lives it is a guardian, for one that died it is the recovery. Raises WrongEnvironment; nothing was changed then.
	"""
	folder = journals_here()
	return start_guardian(operation, folder / f"{operation}.jsonl", folder / "guardian.log")
