"""
The process managers that can run a bench: which one does, and what all of them have in common. No other room names one,
but for the checks of the doctor about one of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from fmx_restart.adapters.managers.supervisor.configuration import is_supervisord, sign_of_supervisor
from fmx_restart.adapters.managers.supervisor.discovery import SETTING, find_supervisor
from fmx_restart.adapters.managers.systemd import is_main_process
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.engine.ports import Processes

#: What a person types who knows no manager of this bench yet.
SETUP = "bench setup supervisor"


def find_manager(bench_path: str, config: Mapping) -> Processes:
	"""`config`: common_site_config.json. Raises WrongEnvironment where none answers."""
	return find_supervisor(bench_path, url=config.get(SETTING))


def sign_of_manager(bench_path: str, config: Mapping, table: ProcessTable) -> str:
	"""The first sign that a manager is meant to run this bench, in a few words; empty where there is none."""
	return sign_of_supervisor(bench_path, config, table)


def is_managed(table: ProcessTable, row: Row) -> bool:
	"""By its parent, or as the main process of a unit."""
	parent = table.rows.get(row.parent)
	return (parent is not None and is_supervisord(parent)) or is_main_process(row.pid)
