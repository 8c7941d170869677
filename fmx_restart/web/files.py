"""The three files by which old and new web processes and an operation find one another, in the folder where gunicorn runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

PREFIX = ".fmx_restart-web-"
RECORD = ".record"
ORDER = ".order"
FORMAT = (
	1  # of all three files: to be raised when older hooks could not follow a newer operation, or the reverse
)
MOST_REFUSAL = 200  # characters
SOCKET = ".socket"
#: Whatever stands in a file: a number may be infinite, and a text nested as deep as it likes
UNREADABLE = (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError)
MOST = 1_000_000  # bytes that are read of any of them
BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Files:
	"""
	Names for one set of addresses: several gunicorns may run in one folder, also on several machines that share it. Each
	machine has its own files there: pids and sockets mean nothing on another one.
	"""

	folder: str
	key: str

	@property
	def record(self) -> str:
		"""The path of what the main process and its workers write about themselves, one JSON object a line."""
		return self._named(RECORD)

	@property
	def order(self) -> str:
		return self._named(ORDER)

	@property
	def socket(self) -> str:
		"""The path of the unix socket at which old workers pass listening sockets on."""
		return self._named(SOCKET)

	def _named(self, ending: str) -> str:
		return str(Path(self.folder, f"{PREFIX}{self.key}{ending}"))


@dataclass(frozen=True)
class Record:
	"""Of a master that runs, or ran last: `started` tells it from a later process with its pid."""

	master: int
	started: int  # clock ticks since the machine's boot (proc(5), starttime)
	workers: int  # that it wants
	adopted: bool = False  # its listening sockets came from old workers
	refusal: str = ""  # why its workers cannot linger; empty where they can
	configuration: str = ""  # the file that it has read, and that the next master will read
	format: int = FORMAT
	host: str = ""  # the name of its machine; empty in records of older versions
	ready: frozenset[int] = frozenset()  # pids of its workers that can serve
	faults: tuple[str, ...] = ()  # why others of its workers cannot yet, the latest last

	@property
	def is_complete(self) -> bool:
		"""All that it wants are ready, and live."""
		return self.alive_workers >= self.workers

	@property
	def alive_workers(self) -> int:
		"""How many of the workers that said they answer are still processes."""
		return sum(start_time(pid) is not None for pid in self.ready)

	@property
	def is_alive(self) -> bool:
		"""The main process that wrote it runs: same pid and same start time."""
		return start_time(self.master) == self.started

	@property
	def is_active(self) -> bool:
		"""The hooks are at work, and read and write these files as we do."""
		return not self.refusal and self.format == FORMAT


@dataclass(frozen=True)
class Order:
	"""What an operation says to the master that it ends, and to the workers that stay."""

	master: int
	started: int
	sites: tuple[str, ...] = ()  # each new worker answers a request for each of them before old ones leave
	seconds: float = 0.0  # how long old workers stay at most
	is_over: bool = False  # they are to leave, whatever became of the new ones
	#: files for what they write to stdout and stderr, once the master's pipes are closed
	logs: tuple[str, str] = (
		"",
		"",
	)


def key_of(addresses: Iterable[object]) -> str:
	"""The same for all here who listen at the same addresses; names and relative paths are resolved first."""
	return f"{older_key_of(addresses)}-{place()}"


def older_key_of(addresses: Iterable[object]) -> str:
	"""As older versions name their files, which do not tell machines apart."""
	resolved = json.dumps([resolve(address) for address in addresses])
	return hashlib.sha256(resolved.encode()).hexdigest()[:12]


@cache
def place() -> str:
	"""Within what a pid means one process: this boot of this machine, and the pid namespace. Hashed, for names of files."""
	try:
		known = f"{BOOT.read_text().strip()}/{NAMESPACE.readlink()}"
	except OSError:
		known = socket.gethostname()
	return hashlib.sha256(known.encode()).hexdigest()[:8]


def is_here(key: str) -> bool:
	"""Of this machine, or of an older version's web, which may run here."""
	_, is_newer, where = key.partition("-")
	return not is_newer or where == place()


def resolve(address: object) -> object:
	"""As getsockname tells it. `address`: (host, port) or a path, as gunicorn and the socket module write them."""
	if isinstance(address, (str, bytes)):
		return str(Path(os.fsdecode(address)).absolute())
	host, port, *_ = address
	return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][:2])


def start_time(pid: int) -> int | None:
	"""Clock ticks since boot; None where no such process runs. A zombie does not."""
	try:
		fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
	except OSError:
		return None
	return None if fields[0] in (b"Z", b"X") else int(fields[19])


#: its first line; workers write the others
HEAD = (
	"configuration",
	"master",
	"started",
	"workers",
	"adopted",
	"refusal",
	"format",
	"host",
)


def write_record(files: Files, record: Record) -> int:
	"""Takes the place of an earlier master's. Returns a descriptor to which workers add their lines."""
	head = {name: getattr(record, name) for name in HEAD}
	new = Path(f"{files.record}.{record.master}")
	new.unlink(missing_ok=True)
	descriptor = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
	os.write(descriptor, json.dumps(head).encode() + b"\n")
	new.rename(files.record)
	return descriptor


def add_to_record(descriptor: int, **line: object) -> None:
	"""In one write, so that lines of several workers do not mix."""
	os.write(descriptor, json.dumps(line).encode() + b"\n")


def read_record(path: str) -> Record | None:
	"""None where there is none that can be read. A line of a worker that cannot be read, of a full disk, counts for nothing."""
	try:
		first, *lines = read_own(path).splitlines()
		head = json.loads(first)
		record = Record(
			int(head["master"]),
			int(head["started"]),
			int(head["workers"]),
			bool(head["adopted"]),
			str(head.get("refusal", ""))[:MOST_REFUSAL],
			str(head.get("configuration", "")),
			int(head.get("format", 0)),
			str(head.get("host", "")),
		)
	except UNREADABLE:
		return None
	ready = frozenset(pid for pid in values_of("ready", lines) if type(pid) is int)
	return replace(record, ready=ready, faults=tuple(dict.fromkeys(map(str, values_of("fault", lines)))))


def values_of(key: str, lines: Iterable[bytes]) -> Iterator[object]:
	"""What `key` holds in each line that can be read; the others, as a half-written last one, are skipped."""
	for line in lines:
		with suppress(*UNREADABLE):
			yield json.loads(line)[key]


def files_in(folder: str, ending: str) -> Iterator[Files]:
	"""Of every set of addresses of this machine that has a file with this ending there."""
	return (files for files in all_files_in(folder, ending) if is_here(files.key))


def all_files_in(folder: str, ending: str) -> Iterator[Files]:
	"""Also of other machines that share the folder, and of earlier boots of this one."""
	for path in sorted(Path(folder).glob(f"{PREFIX}*{ending}")):
		yield Files(folder, path.name[len(PREFIX) : -len(ending)])


def records_in(folder: str) -> Iterator[tuple[Files, Record]]:
	"""All that can be read."""
	for files in files_in(folder, RECORD):
		if record := read_record(files.record):
			yield files, record


def takes_part(pid: int) -> bool:
	"""Whether this process is a master or a worker of ours, also one that lingers: all of them have a record open."""
	for link in Path(f"/proc/{pid}/fd").iterdir():
		with suppress(OSError):
			if PREFIX in str(link.readlink()):
				return True
	return False


def read_order(path: str) -> Order | None:
	"""None where there is none that can be read."""
	try:
		told = json.loads(read_own(path))
		out, error = map(str, told["logs"])
		sites = tuple(map(str, told["sites"]))
		seconds, is_over = float(told["seconds"]), bool(told["is_over"])
		return Order(int(told["master"]), int(told["started"]), sites, seconds, is_over, (out, error))
	except UNREADABLE:
		return None


def is_locked(path: str) -> bool:
	"""Whether whoever wrote it still holds it: a process that died holds nothing."""
	try:
		descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
	except OSError:
		return False
	try:
		fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
	except BlockingIOError:
		return True
	finally:
		os.close(descriptor)
	return False


def read_own(path: str) -> bytes:
	"""Of a file that this user or root has written. Raises OSError, PermissionError for anybody else's."""
	descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
	with os.fdopen(descriptor, "rb") as file:
		owners = (os.geteuid(), 0, Path(path).parent.stat().st_uid)
		if os.fstat(descriptor).st_uid not in owners:
			raise PermissionError(f"{path} belongs to somebody else")
		return file.read(MOST)
