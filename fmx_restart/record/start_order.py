"""
What was started, by whom and on which site, as a file beside the journal: `<operation>.request.json`, 0600. The launch
executes this file and nothing else: rows are in a site's database, and Redis may have other users. Nothing of Frappe here.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fmx_restart.adapters.journal import write_all
from fmx_restart.engine.operation_id import is_operation_id
from fmx_restart.record.start_request import InvalidRequest, StartRequest, is_site_name

FORMAT = 1
LARGEST = 4 * 1024 * 1024  # bytes
LONGEST_NAME = 140  # characters, as Frappe's names have
ORIGINS = ("desk", "api")


@dataclass(frozen=True)
class StartOrder:
	operation: str
	site: str  # that started it
	origin: str  # desk or api
	requested_by: str
	request: StartRequest

	def __post_init__(self) -> None:
		"""Raises InvalidRequest."""
		is_name = isinstance(self.requested_by, str) and 0 < len(self.requested_by) <= LONGEST_NAME
		if not is_operation_id(self.operation) or not is_site_name(self.site) or self.origin not in ORIGINS:
			raise InvalidRequest("Its operation, site or origin is not valid.")
		if not is_name or not self.requested_by.isprintable():
			raise InvalidRequest("The name of whoever started it is not valid.")

	@classmethod
	def from_json(cls, found: Any) -> StartOrder:
		if not isinstance(found, dict) or set(found) != {"format", *cls.__dataclass_fields__}:
			raise InvalidRequest("It does not have the fields that this version knows.")
		if found.pop("format") != FORMAT:
			raise InvalidRequest("Another version of fmx_restart wrote it.")
		return cls(**{**found, "request": StartRequest.from_json(found["request"])})

	def argv(self) -> list[str]:
		"""The words after `bench safe-restart`."""
		identity = [f"--operation={self.operation}", f"--origin={self.origin}"]
		return [*self.request.argv(), "--yes", *identity, f"--requested-by={self.requested_by}"]


def path_of(folder: Path, operation: str) -> Path:
	if not is_operation_id(operation):
		raise InvalidRequest(f"{operation!r} is not an operation id.")
	return folder / f"{operation}.request.json"


def write(folder: Path, order: StartOrder) -> None:
	"""Before the operation has a ticket, so no launch meets half a file. Raises OSError, also where there is one already."""
	folder.mkdir(mode=0o700, parents=True, exist_ok=True)
	text = json.dumps({"format": FORMAT, **asdict(order)}, indent=1) + "\n"
	path = path_of(folder, order.operation)
	file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
	try:
		write_all(file, text.encode())
		os.fsync(file)
	except OSError:
		path.unlink()
		raise
	finally:
		os.close(file)


def read(folder: Path, operation: str) -> StartOrder:
	"""Raises InvalidRequest, with a sentence, where there is no such file or it is not one that `write` wrote."""
	path = path_of(folder, operation)
	try:
		order = StartOrder.from_json(json.loads(text_in(path)))
	except FileNotFoundError as error:
		raise InvalidRequest(f"This host has no file {path.name} in {folder}.") from error
	except (OSError, ValueError, TypeError) as error:
		raise InvalidRequest(f"{path} cannot be used: {error}") from error
	if order.operation != operation:
		raise InvalidRequest(f"{path} belongs to operation {order.operation}.")
	return order


def text_in(path: Path) -> str:
	file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
	with os.fdopen(file, "rb") as opened:
		found = os.fstat(file)
		if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
			raise InvalidRequest("It must be a file of this user's that nobody else can read or write.")
		data = opened.read(LARGEST + 1)
	if len(data) > LARGEST:
		raise InvalidRequest("It is too large.")
	return data.decode()


def remove(folder: Path, operation: str) -> None:
	"""Of an operation that will not be launched."""
	with suppress(OSError):
		path_of(folder, operation).unlink()
