"""
How a nested machine comes to be. `enter` goes into its cgroup and into namespaces of its own; `begin` is the first process there,
mounts what the machine has, and becomes the command. Mounts of the outer machine stay as they are: `begin` refuses to do anything
as another process than the first one of other namespaces.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ENTER = "enter"
PR_SET_PDEATHSIG = 1
NAMESPACES = (
	"--mount",
	"--propagation",
	"private",
	"--uts",
	"--ipc",
	"--cgroup",
	"--pid",
	"--fork",
	"--kill-child",
)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
NAME = "nested"  # of its host
LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
OWN_FOLDERS = ("/tmp", "/run", "/var/tmp")


def enter(order: dict) -> None:
	die_with(order["parent"])
	(Path(order["cgroup"]) / "cgroup.procs").write_text(str(os.getpid()))
	begin = [sys.executable, "-m", "development.managers.inside", "begin", json.dumps(order)]
	network = ["--net"] if order["own_network"] else []
	os.execvp("unshare", ["unshare", *NAMESPACES, *network, *begin])


def die_with(parent: int) -> None:
	"""This process, and what it becomes, ends when its parent does; unshare ends the machine then."""
	ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
	if os.getppid() != parent:
		raise SystemExit("whoever has begun this machine has ended")


def begin(order: dict) -> None:
	if os.getpid() != 1 or str(Path("/proc/self/ns/mnt").readlink()) == order["namespace"]:
		raise SystemExit("this is no nested machine")
	root = Path(order["root"])
	layer = f"lowerdir=/,upperdir={order['layer']}/files,workdir={order['layer']}/work"
	mount("-t", "overlay", "-o", layer, "overlay", root)
	mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", root / "proc")
	mount("-o", "bind", root / "proc/sys", root / "proc/sys")
	if order["own_network"]:
		mount("-o", "bind", root / "proc/sys/net", root / "proc/sys/net")
		subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
	mount("-o", "remount,bind,ro", root / "proc/sys")  # sysctls are the outer machine's
	mount("-t", "sysfs", "-o", "ro", "sysfs", root / "sys")
	mount("-t", "cgroup2", "cgroup2", root / "sys/fs/cgroup")
	mount_devices(root / "dev")
	for folder in OWN_FOLDERS:
		mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}{folder}")
	for folder in order["shared"]:
		inner = Path(f"{root}{folder}")
		inner.mkdir(parents=True, exist_ok=True)
		mount("--rbind", folder, inner)
	change_root(root)
	Path(order["is_up"]).touch()
	become(order["command"])


def mount(*words: str | Path) -> None:
	subprocess.run(["mount", "-n", *map(str, words)], check=True)


def mount_devices(dev: Path) -> None:
	mount("-t", "tmpfs", "-o", "mode=755,nosuid", "tmpfs", dev)
	for name in DEVICES:
		(dev / name).touch()
		mount("--bind", f"/dev/{name}", dev / name)
	for name in ("pts", "shm", "mqueue"):
		(dev / name).mkdir()
	mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=0620,gid=5", "devpts", dev / "pts")
	mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", dev / "shm")
	mount("-t", "mqueue", "mqueue", dev / "mqueue")
	for name, target in LINKS.items():
		(dev / name).symlink_to(target)


def change_root(root: Path) -> None:
	old = root / "run/outer"
	old.mkdir()
	os.chdir(root)
	subprocess.run(["pivot_root", ".", "run/outer"], check=True)
	os.chdir("/")
	subprocess.run(["umount", "-n", "-l", "/run/outer"], check=True)
	Path("/run/outer").rmdir()
	subprocess.run(["hostname", NAME], check=True)
	with Path("/etc/hosts").open("a") as hosts:  # else sudo asks a name server, each time
		hosts.write(f"127.0.0.1 {NAME}\n")


def become(command: list[str]) -> None:
	"""Without a command it buries whoever has no parent any more."""
	if command:
		os.execvp(command[0], command)
	while True:
		with suppress(ChildProcessError):
			os.wait()
			continue
		signal.sigtimedwait([signal.SIGCHLD], 0.5)


if __name__ == "__main__":
	(enter if sys.argv[1] == ENTER else begin)(json.loads(sys.argv[2]))
