"""The operation's side of a web that never stops: the order that old workers stay, and how far the new ones are."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fmx_restart.adapters.machine import up_since
from fmx_restart.adapters.web.kept_sockets import KeptSockets, close_all, copy_sockets
from fmx_restart.adapters.web.ways import (
	ENDED,
	FIRST,
	HELD,
	LINGERS,
	NEXT,
	REMOVED,
	free_for,
	held_if_possible,
	is_still_set_up,
	too_little_memory,
	way_without_hooks,
)
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import HostProcess, NewWorkers, WebMethod, WebWay
from fmx_restart.web.files import (
	ORDER,
	RECORD,
	SOCKET,
	Files,
	Order,
	Record,
	all_files_in,
	files_in,
	is_here,
	is_locked,
	key_of,
	read_order,
	read_record,
	records_in,
	start_time,
)
from fmx_restart.web.master import names_of
from fmx_restart.web.passing import ask_for_sockets, is_held


class Hooks:
	"""Of gunicorn, in the web programs of one bench."""

	def __init__(self, sites_folder: Path) -> None:
		self._folder = sites_folder
		self._orders: list[GivenOrder] = []  # they count while this process lives
		self._kept: list[KeptSockets] = []
		#: whose sockets old workers will hand to us when their master has ended
		self._awaited: list[Files] = []

	def way(self, family: Sequence[HostProcess]) -> WebWay:
		if active := self._active_in(family):
			if not is_still_set_up(self._folder, active[1]):
				return REMOVED
			return too_little_memory(family, free_for(family[0])) or LINGERS
		known = record_of(self._folder, family[0].pid) if family else None
		return way_without_hooks(self._folder, family, known[1] if known else None)

	def way_alone(self, family: Sequence[HostProcess]) -> WebWay:
		"""Its old workers cannot hand connections on either: only sockets that are copied from it keep requests waiting."""
		way = self.way(family)
		return held_if_possible(ENDED, family) if way.is_lingering else way

	def order(
		self, family: Sequence[HostProcess], *, sites: tuple[str, ...], seconds: float, logs: tuple[str, str]
	) -> None:
		"""Raises ProcessFault."""
		active = self._active_in(family)
		if active is None:
			raise ProcessFault("it has ended meanwhile")
		files, record = active
		order = Order(record.master, record.started, sites, seconds, logs=logs)
		try:
			self._orders.append(GivenOrder.give(files, order))
		except OSError as error:
			raise ProcessFault(f"the order to its workers cannot be written: {error.strerror}") from error

	def new_workers(self, family: Sequence[HostProcess]) -> NewWorkers | None:
		active = self._active_in(family)
		if active is None or not active[1].adopted:
			return None
		_, record = active
		return NewWorkers(record.alive_workers, record.workers, record.faults)

	def _active_in(self, family: Sequence[HostProcess]) -> tuple[Files, Record] | None:
		return active_at(self._folder, family[0].pid) if family else None

	def is_lingering(self) -> bool:
		"""Old workers of an earlier main process still serve."""
		return any(map(is_lingering, self._handed_on()))

	def may_be_taken_over(self) -> bool:
		held = set(filter(is_lingering, self._handed_on()))
		records = [record for files, record in records_in(str(self._folder)) if files in held]
		return all(is_still_set_up(self._folder, record) for record in records)

	def end_lingering(self) -> None:
		for files in self._handed_on():
			end_lingering(files)

	def _handed_on(self) -> list[Files]:
		"""By old workers, and not by us."""
		ours = [kept.files for kept in self._kept]
		return [files for files in files_in(str(self._folder), SOCKET) if files not in ours]

	def way_to_hold(self, family: Sequence[HostProcess]) -> WebWay:
		way = self.way(family)
		if way.is_holding:
			return way
		if way.is_lingering:
			return HELD
		return replace(way, method=WebMethod.PLAIN, remedy=FIRST if way.remedy == NEXT else way.remedy)

	def hold(
		self, family: Sequence[HostProcess], *, sites: tuple[str, ...], seconds: float, logs: tuple[str, str]
	) -> None:
		"""As Web.hold_requests. The sockets themselves where the system allows it, else by old workers that hand them on."""
		if not family:
			raise ProcessFault("it has ended meanwhile")
		try:
			sockets = copy_sockets(family[0])
		except ProcessFault:
			active = self._active_in(family)
			if active is None:
				raise
			self.order(family, sites=sites, seconds=seconds, logs=logs)
			self._awaited.append(active[0])
			return
		known = record_of(self._folder, family[0].pid)
		self._keep(known[0] if known else Files(str(self._folder), key_of(names_of(sockets))), sockets)

	def _keep(self, files: Files, sockets: list[int]) -> None:
		"""Raises ProcessFault."""
		try:
			self._kept.append(KeptSockets(files, sockets))
		except OSError as error:
			close_all(sockets)
			raise ProcessFault(f"its connections cannot be kept: {error.strerror}") from error

	def holds(self) -> bool:
		"""As Web.are_requests_held. A full disk is no reason to stop halfway: old workers serve until the next question."""
		for files in list(self._awaited):
			if handed := ask_for_sockets(files.socket):
				with suppress(ProcessFault, OSError):
					self._keep(files, handed[0])
					self._awaited.remove(files)
					end_lingering(files)
		return not self._awaited

	@property
	def is_holding(self) -> bool:
		"""Whether requests wait, or are about to."""
		return bool(self._kept or self._awaited)

	def let_go(self) -> None:
		"""As Web.let_requests_go."""
		kept, self._kept, self._awaited = self._kept, [], []
		for sockets in kept:
			sockets.let_go()

	def others(self) -> list[int]:
		"""As Web.old_web."""
		return sorted({pid for kept in self._kept for pid in kept.others()})

	def withdraw_orders(self) -> None:
		for files in files_in(str(self._folder), ORDER):
			if is_unfollowed(files):
				Path(files.order).unlink(missing_ok=True)


def active_at(sites_folder: str | Path, master: int) -> tuple[Files, Record] | None:
	"""Where the hooks are at work in this process (pid); None where they are not, or not yet."""
	known = record_of(sites_folder, master)
	return known if known and known[1].is_active else None


def record_of(sites_folder: str | Path, master: int) -> tuple[Files, Record] | None:
	"""What the hooks in this process (pid) have written, also where they do nothing."""
	for files, record in records_in(str(sites_folder)):
		if record.master == master and record.is_alive:
			return files, record
	return None


@dataclass
class GivenOrder:
	"""It counts for as long as whoever gave it lives, or until the master that it names is gone."""

	files: Files
	order: Order
	_descriptor: int

	@classmethod
	def give(cls, files: Files, order: Order) -> GivenOrder:
		"""Raises BlockingIOError where another operation holds one, OSError where it cannot be written."""
		if is_for_gone_master(files):
			# whoever gave it may live on, or be stopped: that must not cost this master's requests
			Path(files.order).unlink(missing_ok=True)
		descriptor = os.open(files.order, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
		try:
			fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
			os.ftruncate(descriptor, 0)
			os.pwrite(descriptor, as_json(order), 0)
			give_to_owner(descriptor, files.folder)
		except OSError:
			os.close(descriptor)
			raise
		return cls(files, order, descriptor)

	def let_go(self) -> None:
		"""Once the master is gone: its workers have read it."""
		if self._descriptor >= 0:
			os.close(self._descriptor)
			self._descriptor = -1


def end_lingering(files: Files) -> None:
	"""Old workers are to leave now, whatever became of the new ones; also where their master was killed, and nobody ordered."""
	order, record = read_order(files.order), read_record(files.record)
	if order is None and record and not record.is_alive:
		order = Order(record.master, record.started)
	if order:
		new = Path(f"{files.order}.over")
		new.touch(0o600)
		new.write_bytes(as_json(replace(order, is_over=True)))
		with new.open("rb") as file:
			give_to_owner(file.fileno(), files.folder)
		new.rename(files.order)


def is_lingering(files: Files) -> bool:
	"""Whether old workers still serve."""
	return is_held(files.socket)


def is_for_gone_master(files: Files) -> bool:
	"""Its workers have read it: it was written before their master ended."""
	order = read_order(files.order)
	return order is not None and start_time(order.master) != order.started


def is_unfollowed(files: Files) -> bool:
	"""Nobody holds the order any more, and the master that it names runs on."""
	order, record = read_order(files.order), read_record(files.record)
	if order is None or is_locked(files.order):
		return False
	return record is not None and record.master == order.master and record.is_alive


@frozen
class LeftBehind:
	"""Files of a main process that is gone with all of its workers: nothing reads them any more."""

	files: Files

	@property
	def paths(self) -> list[Path]:
		"""Those of its files that exist."""
		paths = [Path(path) for path in (self.files.socket, self.files.order, self.files.record)]
		return [path for path in paths if path.exists()]

	def remove(self) -> bool:
		"""False where somebody uses them by now. Raises OSError."""
		if not is_left_behind(self.files):
			return False
		for path in self.paths:
			path.unlink(missing_ok=True)
		return True


def left_behind(sites_folder: str | Path) -> list[LeftBehind]:
	"""By their names."""
	folder = str(sites_folder)
	known = {files for ending in (RECORD, ORDER, SOCKET) for files in all_files_in(folder, ending)}
	return [
		LeftBehind(files) for files in sorted(known, key=lambda files: files.key) if is_left_behind(files)
	]


def is_left_behind(files: Files) -> bool:
	"""No process uses the files: neither the main process nor an old worker, and nobody writes an order."""
	if not is_here(files.key):
		return is_of_earlier_boot(files) and not is_locked(files.order)
	record = read_record(files.record)
	is_used = record is not None and (record.is_alive or record.alive_workers > 0)
	return not is_used and not is_locked(files.order) and not is_held(files.socket)


def is_of_earlier_boot(files: Files) -> bool:
	"""Of this machine or container, before it was started. What another one in this folder uses cannot be seen from here."""
	record = read_record(files.record)
	if record is None or record.host != socket.gethostname():
		return False
	try:
		return Path(files.record).stat().st_mtime < up_since()
	except OSError:  # deleted meanwhile
		return False


def as_json(order: Order) -> bytes:
	"""The order as web's hooks read it."""
	return json.dumps(asdict(order)).encode()


def give_to_owner(descriptor: int, folder: str) -> None:
	"""Where root has written it, the user of the folder must be able to read it."""
	owner = Path(folder).stat()
	if os.geteuid() == 0 and owner.st_uid != 0:
		os.fchown(descriptor, owner.st_uid, owner.st_gid)
