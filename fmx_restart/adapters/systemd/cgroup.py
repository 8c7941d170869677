"""Which systemd unit a process belongs to, and whether systemd started it itself."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from fmx_restart.adapters.systemd.show import show

USER_MANAGER = "user@"  # units below it are asked from that user's own systemd


def is_main_process(pid: int, *, proc: Path = Path("/proc")) -> bool:
	"""
	Whether its unit began with it: a service's main process has PID 1 for its parent and is no orphan. Where a unit
	does not tell, the process counts as its own.
	"""
	unit, is_users = unit_of(proc / str(pid) / "cgroup")
	if unit is None:
		return False
	answers = show([unit], ["Id", "MainPID", "ControlPID"], user=is_users)
	if not answers:
		return True
	return str(pid) in {answers[0].get("MainPID"), answers[0].get("ControlPID")}


def unit_of(file: Path) -> tuple[str | None, bool]:
	"""The service that a process' cgroup file names, and whether it is a user's. (None, False) for none."""
	path = path_in(file)
	if path.name.endswith(".service"):
		return path.name, USER_MANAGER in str(path) and not path.name.startswith(USER_MANAGER)
	return None, False


def login_of(file: Path) -> str | None:
	"""The scope of a login's session that a process' cgroup file names: session-5.scope."""
	name = path_in(file).name
	return name if name.startswith("session-") and name.endswith(".scope") else None


def path_in(file: Path) -> PurePosixPath:
	"""The service or scope in a cgroup file; "/" where it names none."""
	try:
		lines = file.read_text(errors="replace").splitlines()
	except OSError:
		return PurePosixPath("/")
	# cgroup v2 has one line, "0::/path"; in v1 systemd's own hierarchy is called name=systemd
	found = (line.partition(":")[2].partition(":")[::2] for line in lines)
	paths = (PurePosixPath(path) for controller, path in found if controller in {"", "name=systemd"})
	return next((path for path in paths if path.suffix in {".service", ".scope"}), PurePosixPath("/"))
