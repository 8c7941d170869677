"""
Which other operations of this bench are alive on this machine: whoever works on one holds its journal, also when it is
stopped, or when Redis or a clock made it lose its lock.
"""

from __future__ import annotations

from pathlib import Path

from fmx_restart.adapters.journal import is_worked_on
from fmx_restart.adapters.journal_reader import facts_of, is_closed
from fmx_restart.engine import events
from fmx_restart.engine.ports import HostProcess, OtherOperation
from fmx_restart.engine.remains import remains_of


class OthersAtWork:
	"""`folder`: of the bench's journals. `operation`: the one that asks, which is not another one."""

	def __init__(self, folder: Path, operation: str) -> None:
		self.folder, self.operation = folder, operation

	def at_work(self) -> OtherOperation | None:
		for journal in sorted(self.folder.glob("*.jsonl"), reverse=True):
			is_other = journal.stem != self.operation
			if is_other and is_worked_on(journal) and (process := process_in(journal)):
				return OtherOperation(journal.stem, process.pid)
		return None


def process_in(journal: Path) -> HostProcess | None:
	"""Who works on it; None where nothing was changed yet, or nothing is left to do."""
	facts = list(facts_of(journal))
	if is_closed(journal) or not remains_of(facts).has_changed_anything:
		return None
	process = None
	for _, fact in facts:
		if isinstance(fact, events.OperationStarted | events.WentIntoBackground):
			process = fact.process
		elif isinstance(fact, events.RecoveryStarted):
			process = fact.by
	return process
