"""sites/gunicorn.conf.py, which gunicorn reads from the folder where it starts: our lines in it, put there and taken out."""

from __future__ import annotations

import ast
from enum import Enum
from pathlib import Path

from fmx_restart.adapters.control_sites import marked_sites
from fmx_restart.adapters.site_config import replace_text
from fmx_restart.adapters.web.linger import give_to_owner
from fmx_restart.adapters.web.ways import CONFIGURATION, MARK, SETUP, is_set_up
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


ABOUT = "Web requests fail while web restarts. To let old web workers serve until new ones answer, type: bench safe-restart setup"


def advice_at_installation(sites_folder: Path) -> str:
	"""What a person should know who has just installed the app on a site; empty where it is set up already."""
	return "" if is_set_up(sites_folder) else f"Nothing of the bench was changed. {ABOUT}"


def remove_where_unused(sites_folder: Path) -> str:
	"""Take our lines out once no site has the app any more. What was done, or is left to a person; empty for nothing."""
	file = sites_folder / CONFIGURATION
	try:
		if marked_sites(sites_folder) or not is_set_up(sites_folder):
			return ""
		planned = plan_removal(sites_folder)
		if planned.change is Change.BY_HAND:
			return f"{file} still has lines of fmx_restart, which do nothing without the app: {planned.reason}. Remove them by hand."
		carry_out(planned)
	except OSError as error:
		return (
			f"{file} still has lines of fmx_restart, which do nothing without the app: {error.strerror}. To remove them, type:"
			f" {SETUP} --remove"
		)
	return f"No site has fmx_restart any more, so its lines in {file} were removed."
