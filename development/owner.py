"""
An ordinary user for the benches of this checkout, also where root types the commands.

Whoever owns `.development/` is the user: root becomes that user as soon as a command begins, so everything that a bench
builds, runs and writes is that user's. Of the checkout itself that user may change nothing but what Desk's build writes.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from development.description import CHECKOUT, OUR_APPS, ROOT
from development.errors import DevelopmentError

#: Of the session of whoever typed the command; the other user can write in none of these places.
LEFT_OUT = ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "SUDO_USER", "MAIL")


def is_another_users() -> bool:
	"""Whether the benches of this checkout are not those of whoever types the command."""
	return ROOT.exists() and ROOT.stat().st_uid != os.geteuid()


def become_owner() -> None:
	"""
	For root: from now on this process is the owner of `.development/`, for good. Does nothing for anybody else, nor where
	the machine does not know that owner, as in a container that a folder is mounted into.
	"""
	if os.geteuid() != 0 or not is_another_users():
		return
	try:
		user = pwd.getpwuid(ROOT.stat().st_uid)
	except KeyError:
		return
	os.initgroups(user.pw_name, user.pw_gid)
	os.setgid(user.pw_gid)
	os.setuid(user.pw_uid)
	os.environ.update(environment_of(user))
	for name in LEFT_OUT:
		os.environ.pop(name, None)
	leave_python_of_root()


def leave_python_of_root() -> None:
	"""One below /root, as of pyenv, can import nothing more by now: begin again with the first one that this user can run."""
	if os.access(sys.executable, os.X_OK):
		return
	python = shutil.which("python3")
	if python is None:
		raise SystemExit(f"{sys.executable} is closed to this user, who has no other python3 in the PATH")
	os.execv(python, [python, *sys.orig_argv[1:]])


def environment_of(user: pwd.struct_passwd) -> dict[str, str]:
	"""A service's user seldom has a home folder to write in."""
	return {"HOME": str(ROOT / "home"), "USER": user.pw_name, "LOGNAME": user.pw_name}


def is_of(name: str) -> bool:
	"""Whether the benches of this checkout are that user's already. Raises DevelopmentError."""
	return ROOT.exists() and ROOT.stat().st_uid == user_named(name).pw_uid


def give_to(name: str) -> None:
	"""Make all that is in `.development/` that user's, and what Desk's build writes. Raises DevelopmentError."""
	user = user_named(name)
	places = [ROOT, *built_by_desk()]
	(ROOT / "home").mkdir(parents=True, exist_ok=True)
	for place in places:
		place.mkdir(parents=True, exist_ok=True)
	# links are given themselves, not what they lead to
	subprocess.run(["chown", "-R", "-h", f"{user.pw_uid}:{user.pw_gid}", *map(str, places)], check=True)


def built_by_desk() -> list[Path]:
	"""Folders of bundles in the checkout itself."""
	public = (source / name / "public" for name, source in OUR_APPS.items())
	return [folder / "dist" for folder in public if folder.is_dir()]


def check_may_be_given(name: str) -> None:
	"""Raises DevelopmentError where that user cannot work here, or bench and supervisord would not know it."""
	user = user_named(name)
	if os.geteuid() not in (0, user.pw_uid):
		raise DevelopmentError(
			f"only root can build a bench for {user.pw_name}", hint="leave --user out, or type it as root"
		)
	if user.pw_uid and user.pw_name not in {group.gr_name for group in grp.getgrall()}:
		raise DevelopmentError(
			f"the machine has no group {user.pw_name}, and bench wants one of the user's name",
			hint="name another user",
		)
	if not can_read_checkout(user):
		raise DevelopmentError(
			f"{user.pw_name} cannot read {CHECKOUT}, or has no python3 in the PATH",
			hint="move the checkout to a place that everybody may read, or leave --user out",
		)


def can_read_checkout(user: pwd.struct_passwd) -> bool:
	"""Asked by that user: a folder far above may be closed, and by more than its mode."""
	question = "import sys; open(sys.argv[1]).close()"
	command = ["/usr/bin/env", "python3", "-c", question, str(CHECKOUT / "setup.py")]
	options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
	return subprocess.run(command, cwd="/", capture_output=True, **options).returncode == 0


def user_named(name: str) -> pwd.struct_passwd:
	"""By name or number. Raises DevelopmentError: supervisord and bench ask the machine who that is."""
	try:
		return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
	except KeyError:
		raise DevelopmentError(f"the machine has no user {name}", hint="name one of: getent passwd") from None
