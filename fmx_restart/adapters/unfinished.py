"""Operations of a bench that have no end and no process: which of them this machine may recover."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.adapters.journal_reader import first_fact_of, is_closed, remains_in
from fmx_restart.adapters.machine import this_machine
from fmx_restart.engine import events
from fmx_restart.engine.errors import OtherMachine
from fmx_restart.engine.holder import Holder
from fmx_restart.engine.machine import Machine, is_same_machine


@dataclass(frozen=True)
class Unfinished:
	journal: Path
	host: str  # where it ran; empty where its first line is not understood
	is_ours: bool  # this machine is that one

	@property
	def operation(self) -> str:
		return self.journal.stem

	def is_held(self, holder: Holder | None) -> bool:
		"""
		Whether it holds the bench, so that it lives: a file system that several machines share may not show the lock on its
		journal to all of them. Of one that is known to be of this machine that lock is proof enough.
		"""
		is_certain = self.is_ours and self.host
		return not is_certain and holder is not None and holder.operation == self.operation

	def refusal(self) -> OtherMachine:
		remains = remains_in(self.journal)
		left = "; ".join(remains.left()) or "nothing that stays"
		return OtherMachine(
			f"Operation {self.operation} ran on {self.host} and died there in {remains.phase.value}. It left: {left}."
			" Only that machine can see its programs. Nothing was changed here.",
			hint=f"On {self.host}, type: bench safe-restart --recover. If that machine is gone for good, type here:"
			" bench safe-restart --recover --take-over.",
		)

	def leaves_something(self) -> bool:
		remains = remains_in(self.journal)
		return bool(remains.left()) or remains.needs_new_workers or remains.not_understood > 0


def unfinished(folder: Path) -> list[Unfinished]:
	"""The oldest first. One that has not told anything whole has begun nothing."""
	journals = (path for path in sorted(folder.glob("*.jsonl")) if not is_closed(path))
	return [left for path in journals if (left := left_by(path)) and not is_worked_on(path)]


def left_by(journal: Path) -> Unfinished | None:
	"""None where nothing was begun. One whose first line is not understood is ours: recovery says what is wrong with it."""
	first = first_fact_of(journal)
	if first is None:
		return None
	at, fact = first
	if not isinstance(fact, events.OperationStarted) or not fact.host:
		return Unfinished(journal, "", is_ours=True)
	noted = fact.machine or Machine(fact.host)
	return Unfinished(journal, fact.host, is_same_machine(noted, at, this_machine()))
