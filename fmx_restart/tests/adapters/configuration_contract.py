"""What the configuration of every process manager must do, whoever it is."""

from __future__ import annotations

from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Change, GroupChange, NewConfiguration, Processes, ProcessState
from fmx_restart.tests.adapters.waiting import eventually


class ConfigurationContract:
	"""
	The setUp of each implementation gives `processes`, whose groups `web`, `workers` (of two programs) and `old` run. `write`
	makes it so by its files that `workers` has its first program alone, `old` is gone and `new` is there.
	"""

	processes: Processes
	WEB, KEPT, GONE, OLD, NEW = "web:gunicorn", "workers:short", "workers:long", "old:default", "new:short"

	def write(self) -> None:
		raise NotImplementedError

	def write_broken(self) -> None:
		raise NotImplementedError

	@property
	def configuration(self):
		return self.processes.configuration

	def states(self) -> dict[str, ProcessState]:
		return {process.name: process.state for process in self.processes.list()}

	def changes(self, new: NewConfiguration) -> dict[str, Change]:
		return {change.group: change.change for change in new.changes}

	def change_of(self, group: str) -> GroupChange:
		return next(change for change in self.configuration.read().changes if change.group == group)

	def stop(self, *names: str) -> None:
		self.assertEqual(self.processes.order(stop=names), {})
		eventually(
			lambda: all(self.states()[name] is ProcessState.STOPPED for name in names), "they are down"
		)

	def test_where_the_files_say_the_same_there_is_nothing_to_tell(self):
		self.assertEqual(self.configuration.compare(), NewConfiguration())
		self.assertEqual(self.configuration.read(), NewConfiguration())

	def test_groups_that_differ_are_told_without_and_with_the_manager(self):
		self.write()
		expected = {"workers": Change.CHANGED, "old": Change.REMOVED, "new": Change.ADDED}
		for look in (self.configuration.compare, self.configuration.compare, self.configuration.read):
			found = look()
			self.assertEqual((self.changes(found), found.faults), (expected, ()), look)
			self.assertTrue(all(change.is_ours for change in found.changes))
			programs = {it.group: sorted(one.name for one in it.programs) for it in found.changes}
			self.assertEqual(programs["new"], [self.NEW])
			self.assertEqual(programs["workers"], sorted([self.KEPT, self.GONE]))
			starts = {it.group: it.starts for it in found.changes}
			self.assertEqual(starts, {"workers": (self.KEPT,), "new": (self.NEW,), "old": ()})
		self.assertEqual(set(self.states()), {self.WEB, self.KEPT, self.GONE, self.OLD})

	def test_each_group_is_taken_over_once_it_is_down_and_starts_by_itself(self):
		self.write()
		for group, names in (("workers", [self.KEPT, self.GONE]), ("old", [self.OLD]), ("new", [])):
			change = self.change_of(group)
			if names:
				self.stop(*names)
			self.configuration.update(change)
		expected = dict.fromkeys((self.WEB, self.KEPT, self.NEW), ProcessState.RUNNING)
		eventually(lambda: self.states() == expected, "all run by the new configuration")
		self.assertEqual(self.configuration.compare(), NewConfiguration())

	def test_a_group_of_which_something_runs_stays_as_it_is(self):
		self.write()
		before = self.processes.list()
		with self.assertRaises(ProcessFault):
			self.configuration.update(self.change_of("workers"))
		self.assertEqual(self.processes.list(), before)

	def test_what_the_manager_would_refuse_is_told_and_changes_nothing(self):
		before = self.processes.list()
		self.write_broken()
		self.assertEqual(len(self.configuration.compare().faults), 1)
		with self.assertRaises(ProcessFault) as caught:
			self.configuration.read()
		self.assertTrue(caught.exception.hint)
		self.assertEqual(self.processes.list(), before)

	def test_a_person_is_told_what_to_type(self):
		self.assertTrue(self.configuration.update_command(["workers", "old"]).endswith("update workers old"))
