"""An entry of fmx_restart_managers that names a systemd: the machine's, or the user's own."""

from __future__ import annotations

from fmx_restart.adapters.managers.entries import Entry, Odd, shown
from fmx_restart.adapters.managers.names import SYSTEMD
from fmx_restart.engine.frozen import frozen

KEYS = ("scope",)
SCOPES = ("system", "user")


@frozen
class SystemdEntry:
	name: str
	scope: str  # one of SCOPES
	source: str
	kind: str = SYSTEMD
	password_file: str = ""
	has_password: bool = False

	@property
	def place(self) -> str:
		"""There is one of each scope."""
		return self.scope


def read_systemd(entry: Entry) -> SystemdEntry:
	"""Raises Odd."""
	scope = entry.get("scope") or SCOPES[0]
	if scope not in SCOPES:
		raise Odd(f"has a scope that is neither system nor user: {shown(scope)}")
	return SystemdEntry(entry.name(default_name(is_users=scope == "user")), scope, entry.source)


def default_name(*, is_users: bool) -> str:
	"""systemd, or systemd-user."""
	return f"{SYSTEMD}-user" if is_users else SYSTEMD
