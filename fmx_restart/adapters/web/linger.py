"""The operation's side of a web that never stops: the order that old workers stay, and how far the new ones are."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fmx_restart.web.files import Files, Order, Record, read_order, read_record, records_in
from fmx_restart.web.passing import is_held


def active_at(sites_folder: str | Path, master: int) -> tuple[Files, Record] | None:
	"""Where the hooks are at work in this process (pid); None where they are not, or not yet."""
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

	def take_back(self) -> None:
		"""The master lives, and ends its workers with itself again."""
		with suppress(OSError):
			Path(self.files.order).unlink()
		self.let_go()

	def let_go(self) -> None:
		"""Once the master is gone: its workers have read it."""
		if self._descriptor >= 0:
			os.close(self._descriptor)
			self._descriptor = -1


def end_lingering(files: Files) -> None:
	"""Old workers are to leave now, whatever became of the new ones."""
	if order := read_order(files.order):
		new = Path(f"{files.order}.over")
		new.touch(0o600)
		new.write_bytes(as_json(replace(order, is_over=True)))
		with new.open("rb") as file:
			give_to_owner(file.fileno(), files.folder)
		new.rename(files.order)


def is_lingering(files: Files) -> bool:
	"""Whether old workers still serve."""
	return is_held(files.socket)


def successor(files: Files, master: int) -> Record | None:
	"""The record of the master that came after this one; None where it has not begun to listen."""
	record = read_record(files.record)
	return record if record and record.master != master and record.is_alive else None


def as_json(order: Order) -> bytes:
	return json.dumps(asdict(order)).encode()


def give_to_owner(descriptor: int, folder: str) -> None:
	"""Where root gives the order, the user of web must be able to read it."""
	owner = Path(folder).stat()
	if os.geteuid() == 0 and owner.st_uid != 0:
		os.fchown(descriptor, owner.st_uid, owner.st_gid)
