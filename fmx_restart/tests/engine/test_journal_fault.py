"""A journal that cannot be written: nothing is begun without it, what was begun is finished."""

from __future__ import annotations

import errno
import os
import unittest

from fmx_restart.engine import events
from fmx_restart.engine.emitter import Emitter
from fmx_restart.engine.errors import JournalFault
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import UNDOABLE, Phase
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import InMemoryBench


class Disk:
	"""A journal that is full from one fact on."""

	def __init__(
		self, full_from: events.Event | None = None, full_at: int | None = None, *, error: int = errno.ENOSPC
	) -> None:
		self.full_from, self.full_at, self.written, self.error = full_from, full_at, [], error

	def __call__(self, event: events.Event) -> None:
		if event == self.full_from or len(self.written) == self.full_at:
			raise OSError(self.error, os.strerror(self.error))
		self.written.append(event)


class TestJournalFault(unittest.TestCase):
	def run_with(self, disk: Disk) -> Operation:
		self.bench, self.heard = InMemoryBench({"short": ("short",)}), []
		operation = operation_for(
			self.bench.port(), Options(), Emitter(disk, [self.heard.append]), "operation-1"
		)
		self.pids = {process.name: process.pid for process in self.bench.processes.list()}
		try:
			operation.run()
		except JournalFault as fault:
			self.assertEqual(fault.exit_code, 7)
		return operation

	def test_before_the_first_process_is_touched_it_stops_and_leaves_everything_as_it_was(self):
		for phase in [*UNDOABLE - {Phase.PREFLIGHT, Phase.BACKUP}, Phase.RESTART]:
			with self.subTest(phase):
				report = self.run_with(Disk(events.PhaseEntered(phase))).report
				self.assertEqual((report.outcome, report.failure.type), (Phase.ABORTED, "JournalFault"))
				self.assertEqual(self.bench.processes.orders, [])
				self.assertIsNone(self.bench.port("other").fence.holder())
				self.assertIsNone(self.bench.port("other").lock.holder())

	def test_where_a_file_server_fails_that_is_what_to_look_at(self):
		for error, told in (
			(errno.EIO, "file server"),
			(errno.ESTALE, "file server"),
			(errno.EDQUOT, "free space"),
		):
			failure = self.run_with(Disk(events.PhaseEntered(Phase.DRAIN), error=error)).report.failure
			self.assertIn(os.strerror(error), failure.message)
			self.assertIn(told, failure.hint)

	def test_at_the_first_fact_nothing_has_happened_at_all(self):
		report = self.run_with(Disk(full_at=0)).report
		self.assertEqual((report.outcome, self.bench.processes.orders), (Phase.ABORTED, []))

	def test_once_processes_are_being_restarted_that_is_finished_and_told(self):
		for phase in (Phase.LIFT, Phase.VERIFY, Phase.AUDIT):
			with self.subTest(phase):
				report = self.run_with(Disk(events.PhaseEntered(phase))).report
				self.assertEqual(report.outcome, Phase.DONE)
				self.assertEqual(len([e for e in self.heard if isinstance(e, events.JournalLost)]), 1)
				for process in self.bench.processes.list():
					self.assertNotEqual(process.pid, self.pids[process.name])
