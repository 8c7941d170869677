"""What a process manager's configuration says otherwise than what the manager runs by: groups that were added, changed or removed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field
from enum import Enum
from typing import Protocol

from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports.processes import Process


class Change(str, Enum):
	"""What the configuration does with a group of programs."""

	ADDED = "added"
	CHANGED = "changed"
	REMOVED = "removed"


@frozen
class GroupChange:
	"""A group whose programs are configured otherwise than they run. It is updated as a whole."""

	group: str  # as in Process; where there are several managers, behind the manager's name
	change: Change
	is_ours: bool  # its programs are this bench's, all of them; nobody may touch any other
	manager: str = ""  # as in Process
	#: of this bench: those that are there now, or will be where it is added
	programs: tuple[Process, ...] = ()
	starts: tuple[str, ...] = ()  # names of those that its manager starts by itself when it is updated

	def has(self, process: Process) -> bool:
		"""Whether that is a program of this group."""
		return (process.manager, process.group) == (self.manager, self.own_name)

	@property
	def own_name(self) -> str:
		"""As its manager writes it."""
		return self.group.removeprefix(f"{self.manager}/") if self.manager else self.group


@frozen
class NewConfiguration:
	"""Of all managers, or of one."""

	changes: tuple[GroupChange, ...] = ()
	faults: tuple[str, ...] = ()  # why a manager would refuse what its files say now


@frozen
class ConfigurationPlan:
	"""What changed, and what a restart does with it. `left`: why a group is not updated, by its name."""

	changes: tuple[GroupChange, ...] = ()
	faults: tuple[str, ...] = ()  # as in NewConfiguration
	left: dict[str, str] = field(default_factory=dict)
	is_applied: bool = False  # someone asked for it
	command: str = ""  # what a person types for those in `left`
	is_possible: bool = False  # some manager has a configuration that a restart could update

	@property
	def updated(self) -> tuple[GroupChange, ...]:
		"""Those that are updated, or would be if someone asked for it."""
		return tuple(change for change in self.changes if change.group not in self.left)

	@property
	def is_empty(self) -> bool:
		"""There is nothing to say."""
		return not self.changes and not self.faults


class Configuration(Protocol):
	"""The configuration of one process manager, which keeps running by what it has read."""

	def compare(self) -> NewConfiguration:
		"""
		What its files say otherwise, as far as that can be known without the manager; less than all where they cannot be
		read. Changes nothing. Raises ProcessFault.
		"""

	def read(self) -> NewConfiguration:
		"""
		The same by the manager's own word: it reads its files, and remembers what they say. What it runs stays as it is. Raises
		ProcessFault, also where it refuses them: then it remembers what it knew.
		"""

	def check(self, groups: Collection[str]) -> None:
		"""Raises ProcessFault where this user may not make the manager read its files and take over these groups. Changes nothing."""

	def update(self, change: GroupChange) -> None:
		"""
		Takes over what `read` has seen for one group of which nothing runs: in one step, so that whoever dies meanwhile
		leaves no group that is removed and not added. May be repeated. Raises ProcessFault.
		"""

	def update_command(self, groups: Collection[str]) -> str:
		"""What a person types to do so for these groups. Asks nobody."""
