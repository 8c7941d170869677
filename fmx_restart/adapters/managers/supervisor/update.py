"""supervisord's configuration: what its files say otherwise than what it runs by, and taking that over group by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol
from xmlrpc.client import Fault

from supervisor.xmlrpc import Faults

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.programs import kinds_of
from fmx_restart.adapters.managers.supervisor.configuration import config_file_of
from fmx_restart.adapters.managers.supervisor.connection import Address, asking
from fmx_restart.adapters.managers.supervisor.programs import full_name, is_one_program, program_of
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Change, GroupChange, NewConfiguration, Process, ProcessState

REPAIR = "Correct its configuration, then type the same command again; or leave --update-config out."
#: supervisord leaves these out of what it tells
LOGS = ("stdout_logfile", "stderr_logfile")


class Conversation(Protocol):
	"""With one supervisord: what is needed of SupervisorProcesses."""

	supervisor: Any  # its RPC
	address: Address
	is_here: bool
	host: str  # the name of its machine, where that is not this one

	def list(self) -> list[Process]: ...

	def multicall(self, calls: Iterable[Mapping]) -> list[object]: ...

	def forget_programs(self) -> None: ...

	def command(self, *words: str) -> str: ...

	def check_updates(self, groups: Collection[str]) -> None: ...


class SupervisorConfiguration:
	"""Of the supervisord that `processes` speaks with."""

	def __init__(self, processes: Conversation, bench: BenchFolder) -> None:
		self._processes, self._bench = processes, bench

	def compare(self) -> NewConfiguration:
		"""By its files, where they are on this machine and open to this user."""
		from fmx_restart.adapters.managers.supervisor.files import read_groups

		known = self._processes.list()  # it knows by then whether supervisord is on this machine
		if not self._processes.is_here:
			return NewConfiguration()
		server = self._processes.supervisor
		with asking("tell its configuration"):
			pid, infos = server.getPID(), server.getAllProcessInfo()
			former = {full_name(config): config for config in server.getAllConfigInfo()}
		main = config_file_of(pid, self._processes.address.source)
		groups = read_groups(main, pid) if main else None
		if groups is None:
			return NewConfiguration()
		if groups.fault:
			return NewConfiguration(faults=(groups.fault,))
		found = compared(groups.configs, infos, former, is_whole=not groups.unread)
		return self._changes(found, known, infos, groups.configs)

	def read(self) -> NewConfiguration:
		"""supervisorctl's reread. What it says of a file it refuses may show a password that stands there."""
		from fmx_restart.adapters.managers.supervisor.files import without_values

		known, server = self._processes.list(), self._processes.supervisor
		with asking("tell its configuration"):
			infos = server.getAllProcessInfo()
		try:
			with asking("read its configuration"):
				((added, changed, removed),) = server.reloadConfig()
				configs = server.getAllConfigInfo()
		except ProcessFault as fault:
			raise ProcessFault(without_values(str(fault)), hint=fault.hint or REPAIR) from None
		kinds = ((Change.ADDED, added), (Change.CHANGED, changed), (Change.REMOVED, removed))
		found = {name: change for change, names in kinds for name in names}
		return self._changes(found, known, infos, configs)

	def check(self, groups: Collection[str]) -> None:
		self._processes.check_updates(groups)

	def update(self, change: GroupChange) -> None:
		"""
		Both calls in one request, which supervisord carries out without doing anything else in between. By sudo they are two:
		whoever cleans up after us adds a group that was removed.
		"""
		calls = []
		if change.change is not Change.ADDED:
			calls.append((call("removeProcessGroup", change.group), Faults.BAD_NAME))
		if change.change is not Change.REMOVED:
			calls.append((call("addProcessGroup", change.group), Faults.ALREADY_ADDED))
		with asking(f"update {change.group}"):
			answers = self._processes.multicall([one for one, _ in calls])
			for answer, (_, fine) in zip(answers, calls, strict=True):
				if isinstance(answer, Mapping) and answer["faultCode"] != fine:
					raise Fault(answer["faultCode"], answer["faultString"])
		self._processes.forget_programs()

	def update_command(self, groups: Collection[str]) -> str:
		"""A group may be called as supervisorctl calls all of them; that name is never to be typed."""
		single = [group for group in groups if is_one_program(group)]
		return self._processes.command("update", *single) if single else ""

	def _changes(
		self,
		found: Mapping[str, Change],
		known: Iterable[Process],
		infos: Iterable[Mapping],
		configs: Iterable[Mapping],
	) -> NewConfiguration:
		"""`known`: this bench's programs. `infos`: of all that run. `configs`: what is to be from now on."""
		running, new = by_group(infos), by_group(configs)
		ours = {process.name: process for process in known}
		coming = {process.name: process for process in self._coming(configs)}
		changes = []
		for group, change in found.items():
			before = {full_name(info) for info in running[group]}
			after = {full_name(config) for config in new[group]}
			programs = coming if change is Change.ADDED else ours
			names = after if change is Change.ADDED else before
			changes.append(
				GroupChange(
					group,
					change,
					# of files that are closed to this user nobody knows what a group will be
					is_ours=before <= ours.keys()
					and after <= coming.keys()
					and bool(after or change is Change.REMOVED),
					programs=tuple(programs[name] for name in sorted(names) if name in programs),
					starts=tuple(full_name(config) for config in new[group] if config.get("autostart", True)),
				)
			)
		return NewConfiguration(tuple(sorted(changes, key=lambda change: change.group)))

	def _coming(self, configs: Iterable[Mapping]) -> Iterator[Process]:
		"""This bench's programs by what is told of them, none of which runs by that yet."""
		programs = [program_of({**config, "pid": 0}, config) for config in configs]
		for program, kind in kinds_of(programs, self._bench).items():
			host = "" if self._processes.is_here else self._processes.host
			yield Process(program.name, kind, ProcessState.STOPPED, group=program.group, host=host)


def compared(
	configs: Iterable[Mapping], infos: Iterable[Mapping], former: Mapping[str, Mapping], *, is_whole: bool
) -> dict[str, Change]:
	"""
	Groups that differ, as far as supervisord tells its own. `is_whole`: `configs` are of all files; else a group that is not
	among them may stand in another one.
	"""
	from fmx_restart.adapters.managers.supervisor.files import differing

	running, new = by_group(infos), by_group(configs)
	if not running.keys() & new.keys():
		return {}  # another supervisord's files
	logs = {full_name(info): info for info in infos}
	found = {group: Change.ADDED for group in new if group not in running}
	found |= {group: Change.REMOVED for group in running if group not in new and is_whole}
	for group in new.keys() & running.keys():
		names = {full_name(config) for config in new[group]}
		is_same = names == {full_name(info) for info in running[group]} and not any(
			differing(config, former.get(full_name(config), {})) or moves_log(config, logs[full_name(config)])
			for config in new[group]
		)
		if not is_same:
			found[group] = Change.CHANGED
	return found


def moves_log(config: Mapping, info: Mapping) -> bool:
	"""By what the program runs by: what supervisord tells of its configuration may have been read since."""
	paths = ((config.get(key) or "", info.get(key) or "") for key in LOGS)
	return any(new != old for new, old in paths if new.startswith("/") and old.startswith("/"))


def by_group(told: Iterable[Mapping]) -> defaultdict[str, list[Mapping]]:
	"""Programs by the name of their group."""
	groups = defaultdict(list)
	for one in told:
		groups[one["group"]].append(one)
	return groups


def call(method: str, *params: object) -> Mapping:
	"""One call as system.multicall takes it."""
	return {"methodName": f"supervisor.{method}", "params": list(params)}
