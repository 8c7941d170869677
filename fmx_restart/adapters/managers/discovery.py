"""
The process managers that can run a bench: which one does, and what all of them have in common. No other room names one,
but for the checks of the doctor about one of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from fmx_restart.adapters.managers.setting import SUPERVISOR, named_managers
from fmx_restart.adapters.managers.supervisor.configuration import is_supervisord, sign_of_supervisor
from fmx_restart.adapters.managers.supervisor.several import Found, Search, find_supervisors, refuse_none
from fmx_restart.adapters.managers.systemd import is_main_process
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
	search = find_supervisors(bench_path, config)
	refuse_none(search, bench_path)
	return managers_in(search)


def check_setting(config: Mapping) -> None:
	"""Raises WrongEnvironment for managers that are named in a way that cannot be used, also where none is needed."""
	named_managers(config)


def managers_in(search: Search) -> dict[str, Processes]:
	"""By name, which is that of this machine where there is only one, and nobody gave it a name."""
	if len(search.found) == 1 and not search.found[0].is_named:
		return {THIS_MACHINE: search.found[0].processes}
	return {one.name: one.processes for one in search.found}


@frozen
class KnownManager:
	"""A process manager of this bench, for people: where it answers, who named it, and what it runs."""

	name: str
	kind: str
	url: str  # without user and password
	source: str  # the setting, the file or the folder that named it
	is_named: bool  # by the setting for several managers; else it was found
	host: str  # the machine that it runs on, as it is known here; empty: this one
	user: str  # that it is asked as; empty for none
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
	search = find_supervisors(bench_path, config)
	refuse_none(search, bench_path)
	managers = tuple(known(one, name) for one, name in zip(search.found, managers_in(search), strict=True))
	return managers, tuple(OtherPlace(refusal.message, refusal.hint) for refusal in search.refusals)


def known(one: Found, name: str) -> KnownManager:
	"""One manager, asked now what it runs."""
	programs, fault, hint = (), "", ""
	try:
		programs = tuple(sorted(one.processes.list(), key=lambda process: process.name))
	except ProcessFault as error:
		fault, hint = str(error), error.hint
	address = one.processes.address
	return KnownManager(
		name=name,
		kind=SUPERVISOR,
		url=address.url,
		source=address.source,
		is_named=one.is_named,
		host="" if one.processes.is_here else one.processes.host,
		user=address.username or "",
		programs=programs,
		fault=fault,
		hint=hint,
	)


def sign_of_manager(bench_path: str, config: Mapping, table: ProcessTable) -> str:
	"""The first sign that a manager is meant to run this bench, in a few words; empty where there is none."""
	return sign_of_supervisor(bench_path, config, table)


def is_managed(table: ProcessTable, row: Row) -> bool:
	"""By its parent, or as the main process of a unit."""
	parent = table.rows.get(row.parent)
	return (parent is not None and is_supervisord(parent)) or is_main_process(row.pid)
