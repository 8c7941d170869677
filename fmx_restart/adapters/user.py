"""Who types a command."""

from __future__ import annotations

import getpass
import os


def who_types() -> str:
	"""sudo's caller rather than root; else as the login says, else by the user database."""
	if caller := os.environ.get("SUDO_USER"):
		return caller
	try:
		return getpass.getuser()
	except (KeyError, OSError):  # Python 3.13 raises the latter
		return f"uid {os.getuid()}"
