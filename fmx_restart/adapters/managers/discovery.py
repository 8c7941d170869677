"""
The process managers that run a bench, of whatever kind: which do, and what all of them have in common. No other room names a
kind, but for the checks of the doctor about one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fmx_restart.adapters.managers.kind import Found, Obstacle, Refusal, Search, wrong_environment
from fmx_restart.adapters.managers.kinds import all_kinds
from fmx_restart.adapters.managers.setting import named_managers
from fmx_restart.adapters.managers.unsupported import unsupported
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Process, Processes

#: What a person types who knows no manager of this bench yet.
SETUP = "bench setup supervisor"
#: The name of a process manager that is the only one, and that nobody gave a name
THIS_MACHINE = "this machine"


def find_managers(bench_path: str, config: Mapping) -> dict[str, Processes]:
	"""
	By name. `config`: common_site_config.json. Those that it names are among them, whether they answer or not. Raises
	WrongEnvironment where there is none, and where the setting cannot be used.
	"""
	return managers_in(search_all(bench_path, config))


def check_setting(config: Mapping) -> None:
	"""Raises WrongEnvironment for managers that are named in a way that cannot be used, also where none is needed."""
	named_managers(config)


def search_all(bench_path: str, config: Mapping) -> Search:
	"""Of every kind. Raises WrongEnvironment where there is none: the nearest miss, and what to do about it."""
	named = named_managers(config)
	searches = [
		kind.find(bench_path, config, [one for one in named if one.kind == kind.name]) for kind in all_kinds()
	]
	found = tuple(one for search in searches for one in search.found)
	refusals = [refusal for search in searches for refusal in search.refusals]
	if not found:
		raise wrong_environment([*refusals, *unsupported(bench_path, ProcessTable.take())])
	return Search(found, tuple(worth_telling(searches)))


def worth_telling(searches: Iterable[Search]) -> Iterable[Refusal]:
	"""Where another kind runs the bench, it is no news that there is nothing of this one."""
	for search in searches:
		yield from (it for it in search.refusals if search.found or it.obstacle > Obstacle.UNEQUIPPED)


def managers_in(search: Search) -> dict[str, Processes]:
	"""By name, which is that of this machine where there is only one, and nobody gave it a name."""
	if len(search.found) == 1 and not search.found[0].is_named:
		return {THIS_MACHINE: search.found[0].processes}
	return dict(zip(names_of(search.found), (one.processes for one in search.found), strict=True))


def names_of(found: Iterable[Found]) -> list[str]:
	"""One for each. Those that the setting gave stay; a number stands behind any other that is taken."""
	found = list(found)
	taken = {one.name for one in found if one.is_named}
	names = []
	for one in found:
		name, number = one.name, 2
		while name in taken and not one.is_named:
			name, number = f"{one.name}-{number}", number + 1
		taken.add(name)
		names.append(name)
	return names


@frozen
class KnownManager:
	"""A process manager of this bench, for people: where it answers, who named it, and what it runs."""

	name: str
	kind: str
	url: str  # as in Where
	source: str
	is_named: bool  # by the setting for several managers; else it was found
	host: str
	user: str
	programs: tuple[Process, ...] = ()  # of this bench
	fault: str = ""  # why it does not answer
	hint: str = ""  # what to type then


@frozen
class OtherPlace:
	"""Where a manager was looked for that does not serve, and why."""

	fault: str
	hint: str


def known_managers(
	bench_path: str, config: Mapping
) -> tuple[tuple[KnownManager, ...], tuple[OtherPlace, ...]]:
	"""Every manager, and the places that were tried besides. Raises WrongEnvironment as find_managers does."""
	search = search_all(bench_path, config)
	managers = tuple(known(one, name) for one, name in zip(search.found, managers_in(search), strict=True))
	return managers, tuple(OtherPlace(refusal.message, refusal.hint) for refusal in search.refusals)


def known(one: Found, name: str) -> KnownManager:
	"""One manager, asked now what it runs."""
	programs, fault, hint = (), "", ""
	try:
		programs = tuple(sorted(one.processes.list(), key=lambda process: process.name))
	except ProcessFault as error:
		fault, hint = str(error), error.hint
	where = one.processes.where
	return KnownManager(
		name=name,
		kind=one.kind,
		url=where.url,
		source=where.source,
		is_named=one.is_named,
		host=where.host,
		user=where.user,
		programs=programs,
		fault=fault,
		hint=hint,
	)


def sign_of_manager(bench_path: str, config: Mapping, table: ProcessTable) -> str:
	"""The first sign that a manager is meant to run this bench, in a few words; empty where there is none."""
	signs = (kind.sign(bench_path, config, table) for kind in all_kinds())
	return next(filter(None, signs), "")


def is_managed(table: ProcessTable, row: Row) -> bool:
	"""Whether a manager has started this process."""
	return any(kind.runs(table, row) for kind in all_kinds())
