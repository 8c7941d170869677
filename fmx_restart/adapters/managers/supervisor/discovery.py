"""Find the supervisord that runs this bench, or say what is in the way and what to do about it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from xmlrpc.client import Fault, ProtocolError

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import processes_of
from fmx_restart.adapters.managers.kind import Obstacle, Refusal, wrong_environment
from fmx_restart.adapters.managers.names import ADDRESS, MANAGERS
from fmx_restart.adapters.managers.supervisor.connection import (
	TIMEOUT,
	Address,
	Unusable,
	candidates,
	config_files,
	parse_url,
)
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.adapters.managers.supervisor.sudo import SUDOERS, rule_for
from fmx_restart.adapters.process_table import ProcessTable, nearest, user_name
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Process

VARIABLE = "SUPERVISOR_SERVER_URL"


def named_addresses(bench_path: str) -> dict[str, set[int]]:
	"""
	URL → the processes that it was given to. Only this bench's and our own user's are asked: what others have in their
	environment is no word of ours. A URL is nothing but a place to ask; who answers there must have started one of them.
	"""
	by_url: dict[str, set[int]] = {}
	for pid in processes_of(BenchFolder(bench_path), ProcessTable.take()):
		if url := given_to(pid):
			by_url.setdefault(url, set()).add(pid)
	return by_url


def given_to(pid: int) -> str:
	"""The supervisord address in the environment of a process; empty for one that is gone or another user's."""
	try:
		process = psutil.Process(pid)
		return process.environ().get(VARIABLE, "") if process.uids().effective == os.geteuid() else ""
	except (psutil.Error, OSError):  # gone meanwhile
		return ""


def is_started_by(pids: Iterable[int], programs: Collection[int]) -> bool:
	"""Whether one of these processes is, or descends from, one of those programs."""
	return any(nearest(pid, programs) is not None for pid in pids)


SETTING = ADDRESS
#: bench config set-common-config takes no URL: it reads the value as Python.
NAME_IT = f"bench set-config -g {SETTING} unix:///path/supervisor.sock"


def find_supervisor(
	bench_path: str,
	*,
	url: str | None = None,
	environ: Mapping[str, str] = os.environ,
	files: Iterable[str] | None = None,
	timeout: float = TIMEOUT,
) -> SupervisorProcesses:
	"""
	The first supervisord that answers and runs programs of this bench. `url` is asked first, then
	SUPERVISOR_SERVER_URL, then what the config files name, then what this bench's own processes were given. Raises
	WrongEnvironment.
	"""
	files = config_files(bench_path) if files is None else files
	refusals = []
	asked = candidates(url, environ, files)
	for candidate in asked:
		answer = ask(candidate, bench_path, timeout)
		if isinstance(answer, SupervisorProcesses):
			return answer
		refusals.append(answer)
	for answer in parents_of_processes(bench_path, asked, timeout):
		if isinstance(answer, SupervisorProcesses):
			return answer
		if answer.obstacle is Obstacle.LOCKED:  # what else an environment may say is no reason to tell
			refusals.append(answer)
	raise wrong_environment(refusals or [none_named(bench_path)])


def parents_of_processes(
	bench_path: str, asked: Collection[Address | Unusable], timeout: float
) -> Iterator[SupervisorProcesses | Refusal]:
	"""Those that this bench's processes name and nobody has asked yet. Who did not start one of them is not theirs."""
	known = {candidate.url for candidate in asked if isinstance(candidate, Address)}
	for url, pids in named_addresses(bench_path).items():
		candidate = parse_url(url, f"the environment of pid {min(pids)}")
		if isinstance(candidate, Address) and candidate.url in known:
			continue

		def is_theirs(programs: list[Process], pids: Collection[int] = pids) -> bool:
			return is_started_by(pids, {program.pid for program in programs if program.pid})

		yield ask(candidate, bench_path, timeout, is_theirs)


def ask(
	candidate: Address | Unusable,
	bench_path: str,
	timeout: float,
	is_right: Callable[[list[Process]], object] = bool,
) -> SupervisorProcesses | Refusal:
	"""`is_right`: whether the supervisord that runs these programs of the bench will do."""
	if isinstance(candidate, Unusable):
		return Refusal(Obstacle.ODD, candidate.message, candidate.hint)
	processes = SupervisorProcesses(candidate, bench_path, timeout=timeout)
	try:
		if is_right(processes.list()):
			return processes
	except ProcessFault as fault:
		return explain(fault.__cause__, candidate, bench_path)
	processes.close()
	return foreign(candidate, bench_path)


def foreign(address: Address, bench_path: str) -> Refusal:
	"""supervisord answers and runs other benches only."""
	return Refusal(
		Obstacle.FOREIGN,
		f"supervisord at {address.url} runs no program of this bench, which is at {bench_path}",
		"Add the bench's programs to it (bench setup supervisor, then supervisorctl update, which also stops changed groups of"
		" other benches, and kills jobs that outlast their stopwaitsecs), or name the right one: "
		f"{NAME_IT}.",
	)


def explain(error: BaseException | None, address: Address, bench_path: str) -> Refusal:
	"""Told by the kind of error, never by its text."""
	if isinstance(error, PermissionError):
		return no_permission(address, bench_path)
	if isinstance(error, ProtocolError) and error.errcode == 401:
		return wrong_password(address)
	if isinstance(error, FileNotFoundError | ConnectionRefusedError | socket.gaierror):
		return not_running(error, address)
	if isinstance(error, OSError) and error.errno in UNREACHABLE:
		message = f"supervisord at {address.url} cannot be reached: {error.strerror}"
		return Refusal(Obstacle.ODD, message, "Look at the network, and whether that machine runs.")
	if isinstance(error, TimeoutError):
		takes = "takes connections but does not answer" if address.socket_path else "does not answer in time"
		message = f"supervisord at {address.url} {takes}"
		return Refusal(
			Obstacle.ODD, message, "Look at supervisord's own log, and at the load of the machine."
		)
	if isinstance(error, Fault):
		message = f"supervisord at {address.url} refuses to list its programs: {error.faultString}"
		return Refusal(Obstacle.ODD, message, "Wait until supervisorctl status answers, then try again.")
	message = f"what answers at {address.url} is not a supervisord ({type(error).__name__})"
	return Refusal(Obstacle.ODD, message, f"Correct the address in {address.source}.")


#: Another machine is down, or the way to it
UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})


def not_running(error: OSError, address: Address) -> Refusal:
	"""Nothing answers at the address; the reason tells a missing socket from a refused connection."""
	what = f"its socket {address.socket_path}" if address.socket_path else address.url
	why = "does not exist" if isinstance(error, FileNotFoundError) else "refuses connections"
	if isinstance(error, socket.gaierror):
		why = "has an unknown host name"
	return Refusal(
		Obstacle.ABSENT,
		f"supervisord is not running: {what} {why} (named by {address.source})",
		f"Start it, for example: sudo systemctl start supervisor. If it answers at another address: {NAME_IT}.",
	)


def no_permission(address: Address, bench_path: str) -> Refusal:
	"""The socket is there and closed to this user: the lines that open it now and for good, and the line for sudo."""
	path, user = str(address.socket_path), current_user()
	config = address.source if address.source.startswith("/") else "supervisord.conf"
	line = rule_for(address, user, bench_path)
	by_sudo = (
		f" Or, without the socket, let sudo allow just this, by visudo -f {SUDOERS}:\n{line}" if line else ""
	)
	return Refusal(
		Obstacle.LOCKED,
		f"user {user} may not use supervisord's socket {path} ({describe_file(path)})",
		f"Now: sudo chown {user} {path} && sudo chmod 0760 {path}. For good: the lines chmod=0760 and "
		f"chown={user}:{user} in [unix_http_server] of {config}; they take effect when supervisord itself starts.{by_sudo}",
	)


def wrong_password(address: Address) -> Refusal:
	"""supervisord wants another user or password. Neither is shown, only the user that was given."""
	given = (
		f"user {address.username} and the password" if address.username else "a request without a password"
	)
	hint = (
		"Write username and password, as in its [unix_http_server] or [inet_http_server], into [supervisorctl] of "
		"supervisord.conf."
	)
	if address.source.startswith(MANAGERS):
		hint = "Give its entry the user and the password of its [unix_http_server] or [inet_http_server]."
	return Refusal(
		Obstacle.LOCKED, f"supervisord at {address.url} refuses {given} (by {address.source})", hint
	)


def none_named(bench_path: str) -> Refusal:
	"""There is no address that could be tried."""
	return Refusal(
		Obstacle.ABSENT,
		f"no supervisord was found for the bench at {bench_path}: no config file names one",
		f"Start supervisord with the bench's programs, or name its address: {NAME_IT}.",
	)


def describe_file(path: str) -> str:
	"""Owner and mode, as far as this user may see them."""
	try:
		status = Path(path).stat()
	except PermissionError:
		return "a folder above it is closed"
	except FileNotFoundError:
		return "it went away"
	return f"owner {user_name(status.st_uid)}, mode {status.st_mode & 0o777:04o}"


def current_user() -> str:
	"""The name of the user that this process runs as."""
	return user_name(os.geteuid())
