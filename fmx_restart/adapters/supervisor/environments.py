"""The supervisord that this bench's own processes name: supervisord puts its address into the environment of its children."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

import psutil

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.bench_processes import processes_of
from fmx_restart.adapters.process_stat import nearest
from fmx_restart.adapters.process_table import ProcessTable

VARIABLE = "SUPERVISOR_SERVER_URL"


def named_addresses(bench_path: str) -> dict[str, set[int]]:
	"""
	URL → the processes that it was given to. Only this bench's and our own user's are asked: what others have in their
	environment is no word of ours. A URL is nothing but a place to ask; who answers there must have started one of them.
	"""
	found: dict[str, set[int]] = {}
	for pid in processes_of(BenchFolder(bench_path), ProcessTable.take()):
		if url := given_to(pid):
			found.setdefault(url, set()).add(pid)
	return found


def given_to(pid: int) -> str:
	try:
		process = psutil.Process(pid)
		return process.environ().get(VARIABLE, "") if process.uids().effective == os.geteuid() else ""
	except (psutil.Error, OSError):  # gone meanwhile
		return ""


def is_started_by(pids: Iterable[int], programs: Collection[int]) -> bool:
	"""Whether one of these processes is, or descends from, one of those programs."""
	return any(nearest(pid, programs) is not None for pid in pids)
