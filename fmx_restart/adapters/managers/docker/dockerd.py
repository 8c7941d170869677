"""One dockerd, asked through its socket with the client library of Docker, which is an extra of this app."""

from __future__ import annotations

import errno
import grp
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmx_restart.adapters.managers.docker.setting import UNIX
from fmx_restart.adapters.process_table import user_name
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment

if TYPE_CHECKING:
	from docker import APIClient

TIMEOUT = 5.0  # seconds; it answers in some milliseconds unless it or its machine hangs. The fence is renewed between two answers
#: Seconds that one gets which let us wait before: it must not delay what other managers run
HUNG = 2.0
PROJECT = "com.docker.compose.project"
MISSING = 404
FORBIDDEN = (401, 403)
PEER = struct.Struct("3i")  # pid, uid and gid of unix(7)


def refuse_without_client() -> None:
	"""Raises WrongEnvironment where the client library is not installed."""
	try:
		import docker  # noqa: F401
	except ImportError as error:
		raise WrongEnvironment(
			f"Docker's client for Python cannot be imported ({error}). Nothing was changed.",
			hint="Type in the bench's folder: env/bin/python -m pip install 'docker>=7.1'"
			" (the extra fmx_restart[docker]). In containers, build it into the image.",
		) from None


class Dockerd:
	"""For one thread. Whatever it refuses is a ProcessFault. `timeout`: seconds for an answer."""

	def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
		self.url, self.timeout = url, timeout
		self._client: APIClient | None = None
		self._has_hung = False

	@property
	def socket_path(self) -> str:
		"""Empty for one that is asked over the network."""
		return self.url.removeprefix(UNIX) if self.url.startswith(UNIX) else ""

	def another(self, timeout: float) -> Dockerd:
		"""The same, for another thread."""
		return Dockerd(self.url, timeout=timeout)

	def check_socket(self) -> None:
		"""Raises ProcessFault where nobody answers, or we may not ask: before the client library is imported, which takes its time."""
		if self.socket_path:
			self._connected().close()

	def is_here(self) -> bool:
		"""Whether it runs on this machine, in our pid namespace: then its paths and pids mean here what they mean to it."""
		if not self.socket_path:
			return False
		with closing(self._connected()) as connection:
			answer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
		return PEER.unpack(answer)[0] != 0

	def containers(self, project: str | None = None) -> list[Mapping[str, Any]]:
		"""In short, down or not: of this project; for the empty name those that no project has, for None all."""
		filters = {"label": [f"{PROJECT}={project}"]} if project else {}
		told = self._ask("list its containers", "containers", all=True, filters=filters)
		return [one for one in told if project != "" or not project_of(one)]

	def inspect(self, id: str) -> Mapping[str, Any] | None:
		"""None for a container that is not there (any more)."""
		return self._ask("describe a container", "inspect_container", id, absent=None)

	def start(self, id: str) -> None:
		"""Returns when it runs; at once where it does already."""
		self._ask("start a container", "start", id)

	def kill(self, id: str, signal: str) -> None:
		"""A signal to its first process. Its restart policy does not bring it back when it ends. One that is down is fine."""
		self._ask("stop a container", "kill", id, signal, fine=(409,))

	def log(self, id: str, lines: int) -> str:
		"""The last lines that it wrote, each with its time before it."""
		what = "show the log of a container"
		told = self._ask(what, "logs", id, stdout=True, stderr=True, timestamps=True, tail=lines)
		return told.decode(errors="replace")

	def processes(self, id: str) -> list[tuple[int, int, str]]:
		"""Pid, parent and command line, by ps on dockerd's machine; empty where the container has just ended."""
		what = "list the processes of a container"
		told = self._ask(what, "top", id, ps_args="-eww -o pid,ppid,args", fine=(409,), absent=None)
		rows = (told or {}).get("Processes") or []
		return [(int(pid), int(parent), words) for pid, parent, words in rows]

	def close(self) -> None:
		"""Hang up. The next question connects again."""
		client, self._client = self._client, None
		if client:
			client.close()

	def _ask(
		self, what: str, method: str, *words: object, fine: tuple[int, ...] = (), **options: object
	) -> Any:
		"""`absent` among the options: what to return where there is no such container."""
		has_absent, absent = "absent" in options, options.pop("absent", None)
		with self._asking(what, (*fine, *([MISSING] if has_absent else []))):
			return getattr(self._connect(), method)(*words, **options)
		return absent

	def _connect(self) -> APIClient:
		from docker import APIClient

		if self._client is None:
			self.check_socket()  # its own error is clearer than that of the library
			self._client = APIClient(base_url=self.url, version="auto", timeout=self._patience)
		return self._client

	def _connected(self) -> socket.socket:
		"""Raises ProcessFault."""
		connection = socket.socket(socket.AF_UNIX)
		connection.settimeout(self.timeout)
		try:
			connection.connect(self.socket_path)
		except OSError as error:
			connection.close()
			raise self.unreachable(error) from error
		return connection

	@property
	def _patience(self) -> float:
		return min(self.timeout, HUNG) if self._has_hung else self.timeout

	@contextmanager
	def _asking(self, what: str, fine: tuple[int, ...]) -> Iterator[None]:
		from docker.errors import APIError, DockerException
		from requests.exceptions import RequestException, Timeout

		try:
			yield
			if self._has_hung:
				self._has_hung = False
				self.close()  # the next connection waits as long as at first
		except APIError as error:
			if error.status_code not in fine:
				raise refused(what, error.status_code, str(error.explanation or error)) from error
		except (DockerException, RequestException, OSError) as error:
			patience = self._patience
			self._has_hung = any(isinstance(one, Timeout) for one in chain_of(error))
			self.close()
			if self._has_hung:
				raise ProcessFault(
					f"Docker at {self.url} did not answer within {patience:g} s", hint=LOOK
				) from error
			raise ProcessFault(
				f"Docker at {self.url} does not answer: {last_words(error)}", hint=LOOK
			) from error

	def unreachable(self, error: OSError) -> ProcessFault:
		"""With what to type."""
		if error.errno in (errno.EACCES, errno.EPERM):
			return ProcessFault(
				f"user {user_name(os.geteuid())} may not use Docker's socket {self.socket_path}",
				hint=permission_hint(self.socket_path),
			)
		return ProcessFault(f"Docker does not answer at {self.url}: {error.strerror or error}", hint=LOOK)


def project_of(told: Mapping[str, Any]) -> str:
	"""Of a container in short; empty where it has none."""
	return (told.get("Labels") or {}).get(PROJECT, "")


LOOK = "See whether it runs: systemctl status docker."


def permission_hint(path: str) -> str:
	"""How its administrator lets us. Whoever may use the socket can become root of that machine, which is said, too."""
	user, risk = user_name(os.geteuid()), "Whoever may use it can become root of that machine."
	group = group_of(path)
	if group.isdigit():
		return f'In a container, give the service of compose.yaml the line group_add: ["{group}"]. {risk}'
	return f"Let its administrator type: sudo usermod -aG {group} {user}, then log in again. {risk}"


def group_of(path: str) -> str:
	"""The name of the file's group; its number where the system knows no name, as in a container."""
	try:
		number = Path(path).stat().st_gid
	except OSError:
		return "docker"
	try:
		return grp.getgrgid(number).gr_name
	except KeyError:
		return str(number)


def refused(what: str, code: int | None, why: str) -> ProcessFault:
	"""An answer that says no."""
	if code in FORBIDDEN:
		return ProcessFault(
			f"Docker does not let us {what}: {why}",
			hint="A proxy before its socket must allow to list, inspect, start and kill containers, and to read their logs.",
		)
	return ProcessFault(f"Docker would not {what}: {why}")


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
	"""It and what it came from: the library wraps an error several times."""
	seen: set[int] = set()
	waiting = [error]
	while waiting:
		one = waiting.pop()
		if isinstance(one, BaseException) and id(one) not in seen:
			seen.add(id(one))
			yield one
			waiting += [one.__cause__, one.__context__, *one.args]


def last_words(error: BaseException) -> str:
	"""Of the innermost error of the system, else of the error itself."""
	system = [one for one in chain_of(error) if isinstance(one, OSError) and one.strerror]
	return str(system[-1].strerror if system else error)
