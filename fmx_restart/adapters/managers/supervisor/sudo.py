"""
A supervisord whose socket is root's, through supervisorctl by sudo, where its rules allow that without a password. It answers
as supervisor's RPC does, as far as supervisorctl tells: which programs there are, their states and pids; what they are is in
its files. It can stop and start them, and let supervisord read its files and take over a group of which nothing runs; nothing else.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import psutil
from supervisor.options import split_namespec
from supervisor.states import ProcessStates, getProcessStateDescription
from supervisor.xmlrpc import Faults

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers import sudo
from fmx_restart.adapters.managers.names import SERVERS
from fmx_restart.adapters.managers.programs import kinds_of
from fmx_restart.adapters.managers.sudo import Output, begin, run
from fmx_restart.adapters.managers.supervisor.connection import SYSTEM_WIDE, Address, read_config
from fmx_restart.adapters.managers.supervisor.files import read_groups
from fmx_restart.adapters.managers.supervisor.programs import full_name, is_one_program, program_of
from fmx_restart.adapters.process_table import read_stat
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen

#: Where sudo looks by its own default; a supervisorctl in the bench's environment is one that the bench user can rewrite
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SUDOERS = "/etc/sudoers.d/bench-supervisor"
VERBS = {"startProcess": "start", "stopProcess": "stop"}
#: Of a group that is down: supervisorctl's own `update` would stop it, whatever runs by then
GROUP_VERBS = {"removeProcessGroup": "remove", "addProcessGroup": "add"}
STATES = {
	getProcessStateDescription(code): code
	for name, code in vars(ProcessStates).items()
	if name.isupper() and isinstance(code, int)
}
LINE = re.compile(r"^(?P<name>\S+)\s+(?P<state>[A-Z]+)\b\s*(?P<rest>.*)$")
PID = re.compile(r"^pid (\d+),")
REFUSED = re.compile(r"^\S+: ERROR \((?P<reason>.*)\)$", re.MULTILINE)
REASONS = {
	"no such process": Faults.BAD_NAME,
	"no such group": Faults.BAD_NAME,
	"no such file": Faults.NO_FILE,
	"file is not executable": Faults.NOT_EXECUTABLE,
	"already started": Faults.ALREADY_STARTED,
	"spawn error": Faults.SPAWN_ERROR,
	"abnormal termination": Faults.SPAWN_ERROR,
	"not running": Faults.NOT_RUNNING,
}
#: What supervisorctl says of a group → as supervisor's RPC says it
GROUP_FAULTS = {
	"process group already active": Faults.ALREADY_ADDED,
	"no such process/group": Faults.BAD_NAME,
	"process/group still running": Faults.STILL_RUNNING,
}
CHANGE = re.compile(r"^(?P<group>\S.*): (?P<what>available|changed|disappeared)$")
ERROR = re.compile(r"^ERROR: (?P<reason>.*)", re.MULTILINE | re.DOTALL)
NO_CHANGE = "No config updates to processes"
#: Seconds in which sudo refuses. supervisorctl waits until the program has stopped or started, and we do not
REFUSES_WITHIN = 0.5
#: Seconds until supervisord has an order, on a machine that is busy, or where sudo waits for a silent name server (ten)
REACHES_WITHIN = 15.0
FRESH = (
	0.3  # seconds for which an answer is used again, or as long as it took: each costs the start of a Python
)


NO_ANSWER = (0.0, [])


@frozen
class Supervisorctl:
	"""`config`: the file that names its supervisord. Without it supervisorctl would take one from the folder where it is run."""

	program: str
	config: str

	def order(self, *words: str) -> list[str]:
		"""As sudo compares it."""
		return [self.program, "-c", self.config, *words]

	def orders_for(self, names: Iterable[str]) -> list[list[str]]:
		"""All that a restart of these programs needs."""
		return [
			self.order("status"),
			*(self.order(verb, name) for name in names for verb in VERBS.values()),
		]

	def orders_to_update(self, groups: Iterable[str]) -> list[list[str]]:
		"""All that it needs to take over what changed of these groups."""
		return [
			self.order("reread"),
			*(self.order(verb, group) for group in groups for verb in GROUP_VERBS.values()),
		]

	def typed(self, *words: str) -> list[str]:
		"""What a person types."""
		return ["sudo", "supervisorctl", "-c", self.config, *words]

	def refusals(self, orders: Iterable[list[str]]) -> list[list[str]] | None:
		"""As sudo.refusals."""
		return sudo.refusals(orders)

	def is_roots(self) -> bool:
		"""Whether nobody but root can change what runs: a rule for anything else would make its user root."""
		return all(map(is_roots, (self.program, self.config)))

	def files_are_roots(self) -> bool:
		"""
		Whether nobody but root can change what supervisord would run when it reads its files and takes over what changed. A
		file that is closed to this user may be anybody's.
		"""
		groups = read_groups(Path(self.config), 0)
		is_known = groups is not None and bool(groups.files) and not groups.unread
		return is_known and self.is_roots() and all(map(is_roots, groups.files))

	def rule(self, user: str, names: Iterable[str]) -> str:
		"""
		The line of sudoers for these programs, with what an update of their groups needs where the files are root's alone. Empty
		where it would give more than that.
		"""
		names = sorted(names)
		groups = sorted({split_namespec(name)[0] for name in names})
		if not names or not self.is_roots() or not all(map(is_one_program, (*names, *groups))):
			return ""
		updates = self.orders_to_update(groups) if self.files_are_roots() else []
		return sudo.rule(user, [*self.orders_for(names), *updates])


def supervisorctl_for(address: Address) -> Supervisorctl | None:
	"""None where there is no sudo or no supervisorctl, or no file that names this address."""
	program = shutil.which("supervisorctl", path=PLACES)
	if address.socket_path is None or program is None or not sudo.is_there():
		return None
	for file in dict.fromkeys([address.source, *SYSTEM_WIDE]):
		found = read_config(Path(file), os.environ) if file.startswith("/") else ()
		if any(isinstance(it, Address) and it.url == address.url for it in found):
			return Supervisorctl(program, file)
	return None


def allowed(address: Address) -> Supervisorctl | None:
	"""That which sudo lets this user ask for the states of programs without a password; None where it does not."""
	control = supervisorctl_for(address)
	return control if control and control.refusals([control.order("status")]) == [] else None


def rule_for(address: Address, user: str, bench_path: str) -> str:
	"""
	The line of sudoers for this bench's programs, by supervisord's files. Empty where they do not tell, or where it would give
	more than that.
	"""
	control = supervisorctl_for(address)
	if control is None:
		return ""
	groups = read_groups(Path(control.config), 0)
	configs = groups.configs if groups else ()
	programs = [program_of({**config, "pid": 0}, config) for config in configs]
	return control.rule(user, (program.name for program in kinds_of(programs, BenchFolder(bench_path))))


def not_allowed(lacking: list[list[str]], line: str) -> ProcessFault:
	"""sudo allows some of the orders, or did a moment ago. `line`: of sudoers, that would allow all; empty where none is shown."""
	allow = f"Let its administrator allow it, by visudo -f {SUDOERS}:\n{line}"
	none = (
		"No rule is shown, as a name could mean more in it than it does here, or others than root can write to what it names:"
		" let this user use supervisord's socket."
	)
	return ProcessFault(refused(lacking), hint=allow if line else none)


def not_safe(lacking: list[list[str]], config: str, update: str) -> ProcessFault:
	"""A rule for it would let whoever writes supervisord's files run anything as root. `update`: what an administrator types."""
	return ProcessFault(
		refused(lacking),
		hint="Leave --update-config out. A rule for it is not shown: others than root can write to files that"
		f" {config} includes, and would be root by it. Copy these files instead of linking them, or let this user use"
		" supervisord's socket. To apply the change by hand without killing a job: bench safe-restart hold --drain, then as"
		f" administrator {update}, then bench safe-restart release.",
	)


def refused(lacking: list[list[str]]) -> str:
	"""The first of the orders that sudo does not allow."""
	return f"sudo does not allow without a password: {shlex.join(lacking[0])}"


def is_roots(path: str) -> bool:
	"""This file, each folder above it, and those of each link on the way: root's, and nobody else may write there."""
	with suppress(OSError, RecursionError):
		file = Path(path).absolute()
		return all(map(is_roots_entry, (*reversed(file.parents), file)))
	return False


def is_roots_entry(path: Path) -> bool:
	"""Of one step of a path, whose folder is root's. Raises OSError, and RecursionError for links that lead nowhere."""
	found = path.lstat()
	if stat.S_ISLNK(found.st_mode):
		return is_roots(str(path.parent / path.readlink()))
	return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


class SudoServer:
	"""In the place of a connection's ServerProxy."""

	is_near = True  # sudo runs on this machine

	def __init__(self, control: Supervisorctl, timeout: float) -> None:
		self._control, self._timeout = control, timeout
		self._configs: dict[str, Mapping] | None = None
		self._answer: tuple[float, list[dict]] = NO_ANSWER  # until when it is fresh, and the answer
		self._begun: list[subprocess.Popen] = []  # orders that supervisorctl still waits for
		self.supervisor = self.system = self

	def __call__(self, attribute: str) -> Any:
		"""As ServerProxy: what speaks with the server, and what hangs up."""
		return self if attribute == "transport" else self._reap

	def wait_for(self, seconds: float) -> None:
		"""For each answer from now on."""
		self._timeout = seconds

	def getAllProcessInfo(self) -> list[dict]:
		"""Raises OSError."""
		began = time.monotonic()
		if began > self._answer[0]:
			infos = self._ask()
			now = time.monotonic()
			self._answer = (now + max(FRESH, now - began), infos)
		return self._answer[1]

	def getProcessInfo(self, name: str) -> dict:
		"""Raises OSError and Fault."""
		for info in self.getAllProcessInfo():
			if full_name(info) == name:
				return info
		raise Fault(Faults.BAD_NAME, f"BAD_NAME: {name}")

	def getAllConfigInfo(self) -> list[Mapping]:
		"""By the files, as far as this user may read them."""
		groups = read_groups(Path(self._control.config), self.getPID())
		self._configs = {full_name(config): config for config in (groups.configs if groups else ())}
		return list(self._configs.values())

	def getPID(self) -> int:
		"""Of supervisord: the parent of what it runs. 0 where nothing runs."""
		for info in self.getAllProcessInfo():
			parent = (found := read_stat(info["pid"] or 0)) and found.parent
			if parent and is_supervisord(parent):
				return parent
		return 0

	def reloadConfig(self) -> list:
		"""As supervisor answers: what was added, changed and removed. Raises OSError and Fault."""
		output = run(["sudo", "-n", *self._control.order("reread")], self._timeout)
		if error := ERROR.search(output.text):
			raise Fault(Faults.CANT_REREAD, f"CANT_REREAD: {error['reason'].strip()}")
		found = [match for line in output.text.splitlines() if (match := CHANGE.match(line))]
		if not found and NO_CHANGE not in output.text:
			raise error_of(output)
		kinds = ("available", "changed", "disappeared")
		return [[[match["group"] for match in found if match["what"] == kind] for kind in kinds]]

	def multicall(self, calls: Iterable[Mapping]) -> list[object]:
		"""Orders are given side by side, those for groups one after the other. Raises OSError."""
		calls = [(call["methodName"].rpartition(".")[2], call["params"]) for call in calls]
		if any(method in GROUP_VERBS for method, _ in calls):
			return [self._order_group(method, *params) for method, params in calls]
		self._reap()
		self._answer = NO_ANSWER
		begun = [self._begin(method, *params) for method, params in calls]
		self._answer = NO_ANSWER
		until = time.monotonic() + REFUSES_WITHIN
		return [one(until) if callable(one) else one for one in begun]

	def __getattr__(self, name: str) -> Callable:
		"""Whatever else the RPC can do."""

		def refuse(*_: object) -> None:
			raise Fault(Faults.UNKNOWN_METHOD, f"UNKNOWN_METHOD: sudo is not asked to {name}")

		return refuse

	def _ask(self) -> list[dict]:
		output = run(["sudo", "-n", *self._control.order("status")], self._timeout)
		infos = [info for line in output.text.splitlines() if (info := info_of(line))]
		if not infos and output.code not in (0, 3):
			raise error_of(output)
		if self._configs is None:
			self._answer = (time.monotonic() + self._timeout, infos)  # for the pid of supervisord
			self.getAllConfigInfo()
		for info in infos:
			config = self._configs.get(full_name(info), {})
			for key in ("stdout_logfile", "stderr_logfile"):
				path = str(config.get(key, ""))
				info[key] = path if path.startswith("/") else ""
		return infos

	def _order_group(self, method: str, group: str) -> object:
		"""The answer, when supervisord has carried it out."""
		if not is_one_program(group) or method not in GROUP_VERBS:
			return {"faultCode": Faults.BAD_NAME, "faultString": f"BAD_NAME: {group} means several groups"}
		self._answer, self._configs = NO_ANSWER, None
		output = run(["sudo", "-n", *self._control.order(GROUP_VERBS[method], group)], self._timeout)
		if error := ERROR.search(output.text):
			reason = error["reason"].strip()
			code = next(
				(code for text, code in GROUP_FAULTS.items() if reason.startswith(text)), Faults.FAILED
			)
			return {"faultCode": code, "faultString": reason}
		if output.code:
			return {"faultCode": Faults.FAILED, "faultString": sudo.last_words(output)}
		return True

	def _begin(self, method: str, name: str, *_: object) -> object:
		"""The answer, or what waits for it."""
		try:
			info = self.getProcessInfo(name)
		except Fault as fault:
			return {"faultCode": fault.faultCode, "faultString": fault.faultString}
		if method == "getProcessInfo" or (method in VERBS and info["state"] == ProcessStates.STOPPING):
			return info
		if method not in VERBS:
			return {"faultCode": Faults.UNKNOWN_METHOD, "faultString": f"UNKNOWN_METHOD: {method}"}
		if not is_one_program(name):
			return {"faultCode": Faults.BAD_NAME, "faultString": f"BAD_NAME: {name} means several programs"}
		process = begin(["sudo", "-n", *self._control.order(VERBS[method], name)])
		self._begun.append(process)
		reaches = time.monotonic() + REACHES_WITHIN
		return lambda until: (
			answer_of(process, until) or self._wait_for(name, info["state"], process, reaches)
		)

	def _wait_for(self, name: str, former: int, process: subprocess.Popen, until: float) -> object:
		"""
		Until supervisord has the order: who looks before that takes a program that failed earlier for one that failed again, and
		a stop that comes late would stop the successor.
		"""
		while process.poll() is None and time.monotonic() < until:
			if self.getProcessInfo(name)["state"] != former:
				break
			time.sleep(FRESH)
		return True

	def _reap(self) -> None:
		for process in self._begun:
			if process.poll() is not None:
				process.communicate()
		self._begun = [process for process in self._begun if process.returncode is None]


def info_of(line: str) -> dict | None:
	"""One line of supervisorctl's status, as an entry of getAllProcessInfo; None for any other line."""
	match = LINE.match(line)
	if match is None or match["state"] not in STATES:
		return None
	group, name = split_namespec(match["name"])
	state, rest = STATES[match["state"]], match["rest"]
	pid = int(found[1]) if (found := PID.match(rest)) else 0
	failed = state in (ProcessStates.FATAL, ProcessStates.BACKOFF)
	return {
		"group": group,
		"name": name,
		"state": state,
		"statename": match["state"],
		"pid": pid,
		"start": started(pid),
		"exitstatus": 0,  # nobody tells
		"spawnerr": rest if failed else "",
	}


def started(pid: int) -> int:
	"""Seconds since the epoch; 0 where there is no such process."""
	with suppress(psutil.Error):
		return int(psutil.Process(pid).create_time()) if pid else 0
	return 0


def is_supervisord(pid: int) -> bool:
	"""By its name, or by its words where python runs it. Anybody may see them."""
	with suppress(psutil.Error, OSError):
		words = psutil.Process(pid).cmdline()[:3]
		return any(server in Path(word).name for word in words for server in SERVERS)
	return False


def answer_of(process: subprocess.Popen, until: float) -> object:
	"""True where it was followed by then, False where it was not refused by then: supervisorctl waits, and goes on."""
	try:
		text, _ = process.communicate(timeout=max(0.0, until - time.monotonic()))
	except subprocess.TimeoutExpired:
		return False
	if match := REFUSED.search(text):
		code = REASONS.get(match["reason"], Faults.FAILED)
		return {"faultCode": code, "faultString": match["reason"]}
	if process.returncode:
		return {
			"faultCode": Faults.FAILED,
			"faultString": sudo.last_words(Output(process.returncode, "", text)),
		}
	return True


def error_of(output: Output) -> OSError:
	"""Why nothing is known of any program: supervisorctl writes that on standard output."""
	text = output.text.strip() or sudo.last_words(output)
	if "no such file" in text:
		return FileNotFoundError(text)
	return ConnectionRefusedError(text) if "refused connection" in text else OSError(text)
