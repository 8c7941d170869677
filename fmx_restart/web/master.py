"""What gunicorn's master does for it: adopt the sockets of old workers, keep a record, leave workers behind when ordered."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fmx_restart.web.files import (
	Files,
	Order,
	Record,
	is_locked,
	key_of,
	older_key_of,
	read_order,
	read_record,
	resolve,
	start_time,
	write_record,
)
from fmx_restart.web.passing import ask_for_sockets
from fmx_restart.web.turns import Turns

WORKER_CLASSES = ("sync", "gthread")  # those that were tried
OLDEST = (20, 1)  # gunicorn's version
HOLDER_COMES = 5.0  # seconds: old workers notice the end of their master at once, on any but a frozen machine
WORKERS_NOTICE = 1.0  # seconds
LOOK = 0.05  # seconds


@dataclass(frozen=True)
class Pipes:
	"""Between one master and its workers. Nobody but the master holds the writing end of `life`."""

	life: tuple[int, int]  # end of file: the master is gone; a byte that nobody takes: it is about to go
	noticed: tuple[int, int]  # a byte from each worker that has seen that
	leave: tuple[int, int]  # a byte that nobody takes: old workers may go


class Master:
	"""One per master process; its workers inherit it."""

	def __init__(self) -> None:
		self.files: Files | None = None  # None: nothing of this is active
		self.refused: Files | None = None  # where it says why
		self.pipes: Pipes | None = None
		self.turns: Turns | None = None  # of new workers, while old ones serve
		self.record = -1  # descriptor
		self.note: dict | None = None  # of the old workers whose sockets were adopted
		self.adopted: Files | None = None  # of these old workers, who look for our record there
		self.pid = self.started = 0
		self.has_left_workers = False

	def adopt(self, server: object) -> None:
		"""Before gunicorn makes its listening sockets: take those of old workers, if there are any at these addresses."""
		if refusal(server):
			return
		for files in (files_of(server), older_files_of(server)):
			if handed := sockets_from(files, server):
				self._take(server, files, *handed)
				return

	def _take(self, server: object, files: Files, descriptors: list[int], note: dict) -> None:
		from gunicorn import sock

		wanted = [resolve(address) for address in server.cfg.address]
		if [resolve(name) for name in names_of(descriptors)] != wanted:
			for descriptor in descriptors:
				os.close(descriptor)
			return
		server.LISTENERS = sock.create_sockets(server.cfg, server.log, descriptors)
		self.note, self.adopted = note, files
		server.log.info("fmx_restart: took over the listening sockets of the workers that still serve")

	def serve(self, server: object) -> None:
		"""Once it listens, and before it has a worker."""
		self.pid, files, reason = os.getpid(), self.adopted or files_of(server), refusal(server)
		self.started = start_time(self.pid) or 0
		is_adopted = self.note is not None
		read = configuration_of(server)
		host = socket.gethostname()
		record = Record(self.pid, self.started, server.num_workers, is_adopted, reason, read, host=host)
		if reason:
			self.refused = files
			os.close(write_record(files, record))  # for those who ask why; its workers have no part in it
			return
		pipes = Pipes(os.pipe(), os.pipe(), os.pipe())
		if is_adopted:
			with suppress(OSError):  # all boot at once then
				self.turns = Turns()
		self.record, self.pipes, self.files = write_record(files, record), pipes, files
		stop = server.stop
		server.stop = lambda graceful=True: self.stop(server, stop, graceful)

	def stop(self, server: object, stop: Callable[[bool], None], graceful: bool) -> None:
		"""In gunicorn's place: ends all workers, but where an operation has ordered that they stay."""
		if graceful and self.is_ordered_to_leave() and self.has_its_address(server):
			self.has_left_workers = True
			self._announce(len(server.WORKERS))
			server.LISTENERS = []  # closed here with that, and not unlinked
			server.WORKERS.clear()
			server.log.info("fmx_restart: left the workers behind until new ones answer")
			return
		stop(graceful)

	def has_its_address(self, server: object) -> bool:
		"""A reload may have given it another one."""
		return self.files in (files_of(server), older_files_of(server))

	def is_ordered_to_leave(self) -> bool:
		"""Whoever gave the order still holds it: one that was begun and broken off counts for nothing."""
		return self.order() is not None and is_locked(self.files.order)

	def order(self) -> Order | None:
		"""What this master was told; an order for an earlier one counts for nothing, also where that had the same pid."""
		order = read_order(self.files.order)
		return order if order and (order.master, order.started) == (self.pid, self.started) else None

	def _announce(self, workers: int) -> None:
		"""They have a moment to leave our pipes: the process manager closes its end, and what they write would fail."""
		os.write(self.pipes.life[1], b"x")
		until = time.monotonic() + WORKERS_NOTICE
		while workers > 0 and (left := until - time.monotonic()) > 0:
			if select.select([self.pipes.noticed[0]], [], [], left)[0]:
				workers -= len(os.read(self.pipes.noticed[0], workers))

	def end_record(self) -> None:
		"""By whoever is the last of this master and its workers. One that is another master's by now stays."""
		files = self.files or self.refused
		if (record := read_record(files.record)) and record.master == self.pid:
			with suppress(OSError):
				Path(files.record).unlink()

	def exit(self) -> None:
		"""At the main process's end. The record stays where old workers serve on, as a new main process reads it."""
		if (self.files or self.refused) and not self.has_left_workers:
			self.end_record()


def refusal(server: object) -> str:
	"""Why its workers cannot linger, as people are told it; empty where they can."""
	import gunicorn

	settings = server.cfg
	reasons = {
		f"gunicorn {gunicorn.__version__} is older than 20.1": gunicorn.version_info < OLDEST,
		f"its worker class is {settings.worker_class_str}, not sync or gthread": settings.worker_class_str
		not in WORKER_CLASSES,
		"its listening sockets come from another program": "GUNICORN_FD" in os.environ
		or "LISTEN_FDS" in os.environ,
		"each of its processes has a listening socket of its own (--reuse-port)": settings.reuse_port,
		"it changes its user": settings.uid != os.geteuid(),
	}
	return next((reason for reason, holds in reasons.items() if holds), "")


def configuration_of(server: object) -> str:
	"""Empty where it is no file."""
	name = (server.cfg.config or "gunicorn.conf.py").removeprefix("file:")
	return "" if name.startswith("python:") else str(Path(name).absolute())


def files_of(server: object) -> Files:
	"""The files of this gunicorn: in the sites folder, where it runs, named after its address and machine."""
	return Files(str(Path.cwd()), key_of(server.cfg.address))


def older_files_of(server: object) -> Files:
	"""Of old workers that began with an older version of this app, and of all that came after them without a pause."""
	return Files(str(Path.cwd()), older_key_of(server.cfg.address))


def sockets_from(files: Files, server: object) -> tuple[list[int], dict] | None:
	"""What their holder hands out, and its note; waits for a holder while old workers must be there. None without one."""
	until = time.monotonic() + HOLDER_COMES
	while not (handed := ask_for_sockets(files.socket)) and time.monotonic() < until:
		if not is_waited_for(files, server):
			return None
		time.sleep(LOOK)
	return handed


def is_waited_for(files: Files, server: object) -> bool:
	"""Whether old workers still have one of its addresses, so that listening there would fail."""
	return Path(files.record).exists() and any(map(is_taken, server.cfg.address))


def is_taken(address: object) -> bool:
	"""Whether somebody listens at this address: a path, or host and port. Raises OSError for a host without an address."""
	is_path = isinstance(address, (str, bytes))
	if is_path:
		with socket.socket(socket.AF_UNIX) as attempt:
			return attempt.connect_ex(os.fsdecode(address)) == 0
	family, kind, protocol, _, target = socket.getaddrinfo(*address[:2], type=socket.SOCK_STREAM)[0]
	with socket.socket(family, kind, protocol) as attempt:
		attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		try:
			attempt.bind(target)
		except OSError as error:
			return error.errno == errno.EADDRINUSE
	return False


def names_of(descriptors: list[int]) -> list[object]:
	"""The addresses of listening sockets, as getsockname gives them. The descriptors stay open."""
	names = []
	for descriptor in descriptors:
		with socket.socket(fileno=os.dup(descriptor)) as listener:
			names.append(listener.getsockname())
	return names
