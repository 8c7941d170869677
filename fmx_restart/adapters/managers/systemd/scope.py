"""A scope of its own for an operation, where systemd would end it together with the unit or the login that started it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from fmx_restart.adapters.managers.systemd.units import path_in, unit_of

OWN_CGROUP = Path("/proc/self/cgroup")
SCOPE_TIMEOUT = 2.0  # seconds for an answer of systemd, and for the move
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def way_out(operation: str, environ: Mapping[str, str] = os.environ, cgroup: Path = OWN_CGROUP) -> list[str]:
	"""
	Words before the command where systemd itself runs this worker or web server: the operation gets a scope of its own.
	supervisord's children share the cgroup of supervisord, which is not restarted.
	"""
	unit, is_users = unit_of(cgroup)
	if unit is None or "SUPERVISOR_ENABLED" in environ:
		return []
	systemd_run = shutil.which("systemd-run") or "/usr/bin/systemd-run"
	user = ["--user"] if is_users else []
	return [systemd_run, *user, "--scope", "--quiet", "--collect", f"--unit={name_of(operation)}", "--"]


def move_out(operation: str, environ: Mapping[str, str] = os.environ, cgroup: Path = OWN_CGROUP) -> str:
	"""
	Moves this process, and with it all that it starts from now on, into a scope where that is needed. Returns what the
	person should know where it is needed and cannot be had.
	"""
	unit, is_users = unit_of(cgroup)
	if unit is not None and "SUPERVISOR_ENABLED" not in environ:
		return "" if is_moved(operation, cgroup, first_users=is_users) else warning(f"{unit} stops.")
	if unit is None and (login := login_of(cgroup)) and ends_with_login():
		ends = f"{login} ends. loginctl enable-linger would prevent that."
		return "" if is_moved(operation, cgroup, first_users=os.getuid() != 0) else warning(ends)
	return ""


def warning(when: str) -> str:
	"""The sentence for an operation in somebody else's control group. `when`: what would kill it."""
	return (
		f"systemd gave the operation no scope of its own, so it will be killed when {when}"
		" If that happens, bench safe-restart recover cleans up."
	)


def login_of(file: Path) -> str | None:
	"""The scope of a login's session that a process' cgroup file names: session-5.scope."""
	name = path_in(file).name
	return name if name.startswith("session-") and name.endswith(".scope") else None


def ends_with_login() -> bool:
	"""logind's KillUserProcesses, for this user. False where logind does not answer."""
	names = "KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers"
	answer = output_of("loginctl", "show-user", *(f"--property={name}" for name in names))
	settings = dict(line.partition("=")[::2] for line in (answer or "").splitlines())
	user = os.environ.get("USER", "")
	only = settings.get("KillOnlyUsers", "").split()
	is_excluded = user in settings.get("KillExcludeUsers", "").split()
	return settings.get("KillUserProcesses") == "yes" and not is_excluded and (not only or user in only)


def is_moved(operation: str, cgroup: Path, *, first_users: bool) -> bool:
	"""The other systemd is asked where the first one refuses: an ordinary user may not ask that of the system's."""
	return any(is_moved_by(operation, cgroup, users=users) for users in (first_users, not first_users))


def is_moved_by(operation: str, cgroup: Path, *, users: bool) -> bool:
	"""
	Ask systemd, of the machine or of the user, for a scope of the operation's own, and wait until this process is in it.
	False where that fails.
	"""
	scope = f"{name_of(operation)}.scope"
	properties = ["2", "PIDs", "au", "1", str(os.getpid()), "CollectMode", "s", "inactive-or-failed"]
	words = ["call", *MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", scope, "fail", *properties, "0"]
	if output_of("busctl", *(["--user"] if users else []), *words) is None:
		return False
	until = time.monotonic() + SCOPE_TIMEOUT
	while scope not in cgroup.read_text():
		if time.monotonic() > until:
			return False
		time.sleep(0.01)
	return True


def output_of(program: str, *words: str) -> str | None:
	"""None where it fails, or does not answer in time."""
	path = shutil.which(program)
	environ = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", **os.environ}
	try:
		done = subprocess.run(
			[path or program, *words],
			capture_output=True,
			text=True,
			timeout=SCOPE_TIMEOUT,
			stdin=subprocess.DEVNULL,
			env=environ,
		)
	except (OSError, subprocess.TimeoutExpired):
		return None
	return done.stdout if done.returncode == 0 else None


def name_of(operation: str) -> str:
	"""The scope's name without its ending."""
	return f"fmx-restart-{operation}"
