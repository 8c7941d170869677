"""
Everything the engine raises. Each says what happened, what was and was not changed, and what to type next.

OperationError                the base; caught at the edges and nowhere else
├── WrongEnvironment  exit 7  Redis, the process manager or a file is not there or not ours; nothing was changed
├── QueueUnreachable  exit 7  Redis does not answer (any more)
├── JournalFault      exit 7  the journal cannot be written: nothing is begun without it
├── JournalUnreadable exit 7  a journal holds what this version does not understand: nothing is recovered from it
├── OtherMachine      exit 7  an operation of another machine died: it is recovered there
├── BenchBusy         exit 75 another operation holds the bench; nothing was changed
├── DrainTimeout      exit 3  jobs are still running: it gave up, and says what was restarted all the same
├── MigrationFailed   exit 6  a site's migration failed; the bench is in service, the rest was not tried
├── SettingsFault     exit 7  maintenance mode or the scheduler's pause could not be put back
├── Interrupted       exit 130 someone asked us to stop while undoing was still possible
├── LockLost          exit 4  another operation took the bench while we could not renew our lock: nothing more is touched,
│                             and what was begun is left to the recovery
├── NginxFault        exit 4  the configuration of nginx does not pass its test, or it does not follow the order to reload
├── FenceFault        exit 4  the fence lapsed when nothing could be undone any more; everything was restarted
├── ProcessFault      exit 4  a process did not stop, did not come back, or is not the one we started
├── HoldLapsed        exit 4  a hold of the queue had ended before it was released: jobs may have run
├── JobsLost          exit 4  the ledger does not add up, even after putting jobs back
└── ProcessDied       exit 4  the operation's process died; another one cleaned up
"""

from __future__ import annotations


class OperationError(Exception):
	"""`hint`: what to type next; it may be empty."""

	exit_code = 1
	name = ""  # of the failure that became this error; empty for its own class
	is_in_report = False  # the last fact of the operation has it

	def __init__(self, message: str, *, hint: str = "") -> None:
		super().__init__(message)
		self.hint = hint


class WrongEnvironment(OperationError):
	exit_code = 7


class QueueUnreachable(WrongEnvironment):
	pass


class JournalFault(WrongEnvironment):
	pass


class JournalUnreadable(WrongEnvironment):
	pass


class OtherMachine(WrongEnvironment):
	pass


class BenchBusy(OperationError):
	exit_code = 75


class DrainTimeout(OperationError):
	exit_code = 3


class MigrationFailed(OperationError):
	exit_code = 6


class SettingsFault(OperationError):
	exit_code = 7


class Interrupted(OperationError):
	exit_code = 130


class LockLost(OperationError):
	exit_code = 4


class FenceFault(OperationError):
	exit_code = 4


class ProcessFault(OperationError):
	exit_code = 4


class NginxFault(OperationError):
	exit_code = 4


class HoldLapsed(OperationError):
	exit_code = 4


class JobsLost(OperationError):
	exit_code = 4


class ProcessDied(OperationError):
	"""Never raised by who died: the name of what became of a recovered operation."""

	exit_code = 4


def exit_code_of(failure: str) -> int:
	"""The exit code that goes with the name of a failure in a report; 1 for anything unexpected."""
	kinds = [OperationError]
	for kind in kinds:
		kinds += kind.__subclasses__()
	return next((kind.exit_code for kind in kinds if kind.__name__ == failure), 1)
