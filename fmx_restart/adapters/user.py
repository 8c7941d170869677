"""Who types a command, and whose files it writes."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path


def who_types() -> str:
	"""sudo's caller rather than root; else as the login says, else by the user database."""
	if caller := os.environ.get("SUDO_USER"):
		return caller
	try:
		return getpass.getuser()
	except (KeyError, OSError):  # Python 3.13 raises the latter
		return f"uid {os.getuid()}"


def become_owner_of(folder: Path) -> None:
	"""
	For root: be the owner of this folder from now on, for good, as bench itself does. What root writes into a bench (a
	journal, a log of Frappe's, a site's file) its own user could neither read nor change. Does nothing for anybody else.
	"""
	owner = folder.stat()
	if os.geteuid() != 0 or owner.st_uid == 0:
		return
	try:
		user = pwd.getpwuid(owner.st_uid)
	except KeyError:  # in a container, for instance, where only numbers are known
		os.setgroups([])
		os.setgid(owner.st_gid)
	else:
		os.initgroups(user.pw_name, user.pw_gid)
		os.setgid(user.pw_gid)
		os.environ["HOME"] = user.pw_dir
	os.setuid(owner.st_uid)
