"""Several process managers as one: each may stop answering by itself, and the others go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import field

from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import changed, frozen
from fmx_restart.engine.ports.configuration import Configuration, GroupChange, NewConfiguration
from fmx_restart.engine.ports.processes import LogTail, ManagerSettings, Process, Processes

BETWEEN = "/"  # a manager's name and its program's: host-2/worker-short


@frozen
class Survey:
	"""What all managers answered at one look, and which of them did not."""

	processes: list[Process] = field(default_factory=list)  # of the managers that answered
	away: Mapping[str, ProcessFault] = field(default_factory=dict)  # by name: those that did not


class ProcessManagers:
	"""
	`managers`: by name. Where there is only one, its programs keep their names; where there are more, the manager's name
	stands before the program's, as two machines may well call theirs alike.
	"""

	def __init__(self, managers: Mapping[str, Processes]) -> None:
		self._managers = dict(managers)
		self._is_alone = len(self._managers) == 1
		self._asked: list[str] = []

	@property
	def asked(self) -> tuple[str, ...]:
		"""Names of the managers that have not answered yet what they were asked; of several threads, too."""
		return tuple(dict.fromkeys(self._asked))

	def survey(self) -> Survey:
		"""What runs, as far as managers answer. Raises nothing."""
		processes, away = [], {}
		for name, manager in self._managers.items():
			try:
				with self._asking(name):
					processes += [self._named(name, process) for process in manager.list()]
			except ProcessFault as fault:
				away[name] = fault
		return Survey(processes, away)

	def list(self) -> list[Process]:
		"""Raises ProcessFault where one of them does not answer: then nobody knows everything."""
		survey = self.survey()
		for fault in survey.away.values():
			raise fault
		return survey.processes

	def order(
		self,
		*,
		stop: Collection[str] = (),
		start: Collection[str] = (),
		leave: Collection[str] = (),
		restart: Collection[str] = (),
	) -> dict[str, ProcessFault]:
		"""As Processes.order, each manager asked once. Raises ProcessFault for a program of an unknown manager."""
		stops, starts, faults = self._by_manager(stop), self._by_manager(start), {}
		further = {"leave": self._by_manager(leave), "restart": self._by_manager(restart)}
		for name in dict.fromkeys(
			[*stops, *starts, *(it for programs in further.values() for it in programs)]
		):
			more = {order: programs[name] for order, programs in further.items() if name in programs}
			refused = self._managers[name].order(stop=stops.get(name, ()), start=starts.get(name, ()), **more)
			faults |= {
				self._full(name, program): self._with_name(name, fault) for program, fault in refused.items()
			}
		return faults

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""As Processes.kill. Raises ProcessFault for a program of an unknown manager."""
		faults = {}
		for name, programs in self._by_manager(names).items():
			refused = self._managers[name].kill(programs)
			faults |= {self._full(name, it): self._with_name(name, fault) for it, fault in refused.items()}
		return faults

	def check_orders(self, names: Collection[str]) -> None:
		"""As Processes.check_orders. Raises ProcessFault."""
		for name, programs in self._by_manager(names).items():
			with self._asking(name):
				self._managers[name].check_orders(programs)

	def settings(self) -> ManagerSettings | None:
		"""Of all managers together; None where none has such settings. Raises ProcessFault."""
		answers = {name: it for name in self._managers if (it := self._settings_of(name))}
		if not answers:
			return None
		programs = tuple(
			changed(program, name=self._full(name, program.name))
			for name, settings in answers.items()
			for program in settings.programs
		)
		return ManagerSettings(programs, frozenset().union(*(it.pids for it in answers.values())))

	def _settings_of(self, name: str) -> ManagerSettings | None:
		with self._asking(name):
			return self._managers[name].settings()

	@contextmanager
	def _asking(self, name: str) -> Iterator[None]:
		"""A fault names the manager."""
		self._asked.append(name)
		try:
			yield
		except ProcessFault as fault:
			raise self._with_name(name, fault) from fault
		finally:
			self._asked.remove(name)

	@property
	def has_configuration(self) -> bool:
		"""Whether any manager has one that can be taken over."""
		return bool(self._configurations())

	def compare_configuration(self) -> NewConfiguration:
		"""As Configuration.compare, of all managers that have one. A manager that does not answer has nothing to say."""
		found = []
		for name, configuration in self._configurations().items():
			with suppress(ProcessFault):
				found.append(self._of_manager(name, configuration.compare()))
		return together(found)

	def read_configuration(self, managers: Collection[str] | None = None) -> NewConfiguration:
		"""As Configuration.read, of these managers, or of all, that have one. Raises ProcessFault."""
		found = []
		for name, configuration in self._configurations().items():
			if managers is not None and name not in managers:
				continue
			with self._asking(name):
				found.append(self._of_manager(name, configuration.read()))
		return together(found)

	def check_updates(self, groups: Mapping[str, Collection[str]]) -> None:
		"""As Configuration.check. `groups`: as their managers write them, by the manager's name. Raises ProcessFault."""
		for name, configuration in self._configurations().items():
			if name in groups:
				with self._asking(name):
					configuration.check(groups[name])

	def update_group(self, change: GroupChange) -> None:
		"""As Configuration.update. Raises ProcessFault."""
		name, configuration = change.manager, self._configurations().get(change.manager)
		if configuration is None:
			raise ProcessFault(f"no process manager runs {change.group}")
		with self._asking(name):
			configuration.update(changed(change, group=change.own_name))

	def update_command(self, changes: Collection[GroupChange]) -> str:
		"""One command for each manager that has some of these groups."""
		by_manager: dict[str, list[str]] = defaultdict(list)
		for change in changes:
			by_manager[change.manager].append(change.own_name)
		known = self._configurations()
		return "; ".join(
			known[name].update_command(groups) for name, groups in by_manager.items() if name in known
		)

	def _configurations(self) -> dict[str, Configuration]:
		"""Not every kind of manager has one."""
		found = ((name, getattr(manager, "configuration", None)) for name, manager in self._managers.items())
		return {name: configuration for name, configuration in found if configuration is not None}

	def _of_manager(self, name: str, new: NewConfiguration) -> NewConfiguration:
		changes = (
			changed(
				it,
				group=self._full(name, it.group),
				manager=name,
				programs=tuple(self._named(name, process) for process in it.programs),
				starts=tuple(self._full(name, program) for program in it.starts),
			)
			for it in new.changes
		)
		before = "" if self._is_alone else f"{name}: "
		return NewConfiguration(tuple(changes), tuple(f"{before}{fault}" for fault in new.faults))

	def mark_log(self, name: str) -> None:
		"""As Processes.mark_log. Raises ProcessFault."""
		manager, program = self._split(name)
		self._managers[manager].mark_log(program)

	def log_tail(self, name: str) -> str:
		"""As Processes.log_tail. Raises ProcessFault."""
		manager, program = self._split(name)
		return self._managers[manager].log_tail(program)

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		"""As Processes.log_tails. Raises ProcessFault."""
		manager, program = self._split(name)
		return self._managers[manager].log_tails(program, count)

	def log_files(self, name: str) -> tuple[str, str]:
		"""As Processes.log_files. Raises ProcessFault."""
		manager, program = self._split(name)
		return self._managers[manager].log_files(program)

	def start_command(self, names: Collection[str]) -> str:
		"""One command for each manager that runs some of them, joined by semicolons, as in a shell."""
		split = self._by_manager(names)
		return "; ".join(self._managers[name].start_command(programs) for name, programs in split.items())

	def status_command(self) -> str:
		"""One command for each manager."""
		return "; ".join(dict.fromkeys(manager.status_command() for manager in self._managers.values()))

	def setup_command(self) -> str:
		"""One command for each manager."""
		return "; ".join(dict.fromkeys(manager.setup_command() for manager in self._managers.values()))

	def _named(self, manager: str, process: Process) -> Process:
		if self._is_alone and process.manager == manager:
			return process
		return changed(process, name=self._full(manager, process.name), manager=manager)

	def _full(self, manager: str, program: str) -> str:
		return program if self._is_alone else f"{manager}{BETWEEN}{program}"

	def _with_name(self, manager: str, fault: ProcessFault) -> ProcessFault:
		return fault if self._is_alone else ProcessFault(f"{manager}: {fault}", hint=fault.hint)

	def _split(self, name: str) -> tuple[str, str]:
		"""Manager and program. Raises ProcessFault for a manager that is not known."""
		if self._is_alone:
			return next(iter(self._managers)), name
		manager, _, program = name.partition(BETWEEN)
		if manager not in self._managers:
			raise ProcessFault(f"no process manager runs {name}")
		return manager, program

	def _by_manager(self, names: Collection[str]) -> dict[str, list[str]]:
		by_manager: dict[str, list[str]] = defaultdict(list)
		for name in names:
			manager, program = self._split(name)
			by_manager[manager].append(program)
		return by_manager


def together(found: Iterable[NewConfiguration]) -> NewConfiguration:
	"""Of several managers."""
	found = list(found)
	return NewConfiguration(
		tuple(change for one in found for change in one.changes),
		tuple(fault for one in found for fault in one.faults),
	)
