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
except (Exception, SystemExit):  # web starts as always where the app is gone or broken
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
	if is_set_up(sites_folder):
		return PlannedChange(file, Change.NONE)
	if file.is_symlink():
		return PlannedChange(file, Change.BY_HAND, reason="it is a link to another file")
	if not file.exists():
		return PlannedChange(file, Change.CREATE, LINES)
	try:
		text = text_of(file)
		ast.parse(text)
	except (ValueError, SyntaxError):
		return PlannedChange(file, Change.BY_HAND, reason="it is not Python that can be read")
	end = "" if text.endswith("\n") else "\n"
	return PlannedChange(file, Change.APPEND, f"{text}{end}\n{LINES}" if text.strip() else LINES)


def plan_removal(sites_folder: Path) -> PlannedChange:
	"""What `setup web --remove` would do. Changes nothing. Raises OSError where the file cannot be read."""
	file = sites_folder / CONFIGURATION
	if not file.exists() or MARK.encode() not in file.read_bytes():
		return PlannedChange(file, Change.NONE)
	if file.is_symlink():
		return PlannedChange(file, Change.BY_HAND, reason="it is a link to another file")
	try:
		before, after = around_lines(text_of(file))
	except ValueError:
		return PlannedChange(file, Change.BY_HAND, reason="our lines in it were changed")
	own = f"{before}{after}"
	return PlannedChange(file, Change.CUT, own) if own.strip() else PlannedChange(file, Change.DELETE)


def around_lines(text: str) -> tuple[str, str]:
	"""What stands before our lines, and after them. Raises ValueError where they are not as we have written them."""
	if text.count(BEGIN) != 1 or text.count(END) != 1 or text.count(MARK) != 1:
		raise ValueError
	before, _, rest = text.partition(BEGIN)
	before = before.removesuffix("\n") if before.endswith("\n\n") else before
	return before, rest.partition(END)[2].removeprefix("\n")


def text_of(file: Path) -> str:
	"""With its line ends as they are. Raises OSError, and ValueError for what is not UTF-8."""
	return file.read_bytes().decode()


def carry_out(planned: PlannedChange) -> None:
	"""Raises OSError: the file is as it was then."""
	if planned.change is Change.DELETE:
		planned.file.unlink()
	elif planned.change is Change.CREATE:
		create(planned.file, planned.text)
	elif planned.change in (Change.APPEND, Change.CUT):
		replace_text(planned.file, planned.text)


def create(file: Path, text: str) -> None:
	"""For the user of the bench, also where root types the command. Raises OSError."""
	file.touch(0o644, exist_ok=False)
	try:
		with file.open("rb") as empty:
			give_to_owner(empty.fileno(), str(file.parent))
		replace_text(file, text)
	except OSError:
		file.unlink()
		raise


ABOUT = (
	"Web requests fail while web restarts. To let old web workers serve until new ones answer, and to have workers that lose no"
	" job however they are stopped, type: bench safe-restart setup"
)


def advice_at_installation(sites_folder: Path) -> str:
	"""What a person should know who has just installed the app on a site; empty where it is set up already."""
	return "" if is_set_up(sites_folder) else f"Nothing of the bench was changed. {ABOUT}"


def remove_where_unused(sites_folder: Path) -> str:
	"""Take our lines out once no site has the app any more. What was done, or is left to a person; empty for nothing."""
	file = f"sites/{CONFIGURATION}"
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
