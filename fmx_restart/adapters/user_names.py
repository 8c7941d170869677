"""What users are called. Containers run with numbers that have no name."""

from __future__ import annotations

import getpass
import os
import pwd


def user_name(uid: int) -> str:
	try:
		return pwd.getpwuid(uid).pw_name
	except KeyError:
		return str(uid)


def who_types() -> str:
	"""sudo's caller rather than root; else as the login says, else by the user database."""
	if caller := os.environ.get("SUDO_USER"):
		return caller
	try:
		return getpass.getuser()
	except (KeyError, OSError):  # Python 3.13 raises the latter
		return f"uid {os.getuid()}"
