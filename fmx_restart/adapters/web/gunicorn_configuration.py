"""sites/gunicorn.conf.py, which gunicorn reads from the folder where it starts: our lines in it, put there and taken out."""

from __future__ import annotations

import ast
from enum import Enum
from pathlib import Path

from fmx_restart.adapters.site_config import replace_text
from fmx_restart.adapters.web.linger import give_to_owner
from fmx_restart.adapters.web.ways import CONFIGURATION, MARK
from fmx_restart.engine.frozen import frozen

BEGIN = "# fmx_restart: old web workers serve until new ones answer. Remove with: bench safe-restart setup web --remove"
END = "# fmx_restart: end"
LINES = f"""{BEGIN}
try:
	from {MARK} import install

	install(globals())
except Exception:  # web starts as always where the app is gone or broken
	pass
{END}
"""


class Change(str, Enum):
	"""What has to be done to the file."""

	NONE = "none"
	CREATE = "create"
	APPEND = "append"
	CUT = "cut"
	DELETE = "delete"
	BY_HAND = "by hand"  # it is not ours to change


@frozen
class PlannedChange:
	"""`text`: the whole file afterwards."""

	file: Path
	change: Change
	text: str = ""
	reason: str = ""  # why it has to be done by hand


def plan_installation(sites_folder: Path) -> PlannedChange:
	"""What `setup web` would do. Changes nothing. Raises OSError where the file cannot be read."""
	file = sites_folder / CONFIGURATION
	if file.is_symlink():
		return PlannedChange(file, Change.BY_HAND, reason="it is a link to another file")
	if not file.exists():
		return PlannedChange(file, Change.CREATE, LINES)
	try:
		text = file.read_text()
		ast.parse(text)
	except (ValueError, SyntaxError):
		return PlannedChange(file, Change.BY_HAND, reason="it is not Python that can be read")
	if MARK in text:
		return PlannedChange(file, Change.NONE, text)
	return PlannedChange(file, Change.APPEND, f"{text.rstrip()}\n\n{LINES}" if text.strip() else LINES)


def plan_removal(sites_folder: Path) -> PlannedChange:
	"""What `setup web --remove` would do. Changes nothing. Raises OSError where the file cannot be read."""
	file = sites_folder / CONFIGURATION
	text = file.read_text() if file.exists() else ""
	if MARK not in text:
		return PlannedChange(file, Change.NONE, text)
	if file.is_symlink() or text.count(BEGIN) != 1 or text.count(END) != 1:
		return PlannedChange(file, Change.BY_HAND, reason="our lines in it were changed")
	before, _, rest = text.partition(BEGIN)
	own = f"{before.rstrip()}\n{rest.partition(END)[2].lstrip()}".strip()
	return PlannedChange(file, Change.CUT, f"{own}\n") if own else PlannedChange(file, Change.DELETE)


def carry_out(planned: PlannedChange) -> None:
	"""Raises OSError."""
	if planned.change is Change.DELETE:
		planned.file.unlink()
	elif planned.change in (Change.CREATE, Change.APPEND, Change.CUT):
		if planned.change is Change.CREATE:
			create_empty(planned.file)
		replace_text(planned.file, planned.text)


def create_empty(file: Path) -> None:
	"""For the user of the bench, also where root types the command. Raises OSError."""
	file.touch(0o644, exist_ok=False)
	with file.open("rb") as empty:
		give_to_owner(empty.fileno(), str(file.parent))
