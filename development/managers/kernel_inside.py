"""
The first process of a machine with a kernel of its own (kernels.py): it mounts what a machine has, then runs what it is told
over the network. Files of the outer machine are read only; /etc, /tmp, /run and /var are its own, and in memory.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

PORT = 7000
OWN = ("/tmp", "/run", "/var", "/dev/shm")
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
FINIT_MODULE = 313  # its number on x86-64
SIZE = 4  # bytes before each part of the output; 0 says that it has ended, and one byte follows


def begin(order: dict) -> None:
	"""Never returns: the kernel ends with its first process."""
	if os.getpid() != 1:
		raise SystemExit("this is no machine of its own")
	mount_own_folders()
	own_settings(order["name"])
	join_network(order["address"])
	for module in order["modules"]:
		insert(module)
	if os.fork() == 0:
		answer()
	while True:
		with suppress(ChildProcessError):
			os.wait()


def mount_own_folders() -> None:
	"""What the kernel shows, and what programs write."""
	run("mount", "-n", "-t", "proc", "proc", "/proc")
	run("mount", "-n", "-t", "sysfs", "sysfs", "/sys")
	for folder in OWN:
		Path(folder).mkdir(exist_ok=True)  # below /dev, which is the kernel's
		run("mount", "-n", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", folder)
	Path("/var/lib/nfs/v4recovery").mkdir(parents=True)


def own_settings(name: str) -> None:
	"""A copy of /etc, with an id and a name of its own."""
	Path("/run/etc").mkdir()
	run("cp", "-a", "/etc/.", "/run/etc/")
	run("mount", "-n", "--bind", "/run/etc", "/etc")
	Path("/etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")
	Path("/etc/exports").touch()
	Path("/proc/sys/kernel/hostname").write_text(name)


def join_network(address: str) -> None:
	"""With the one cable that it has."""
	run("ip", "link", "set", "lo", "up")
	run("ip", "link", "set", "vec0", "up")
	run("ip", "addr", "add", f"{address}/24", "dev", "vec0")


def run(*words: str) -> None:
	"""Raises CalledProcessError."""
	subprocess.run(words, check=True)


def insert(module: str) -> None:
	"""A module of the kernel, after those that it needs. Raises OSError."""
	with Path(module).open("rb") as file:
		if ctypes.CDLL(None, use_errno=True).syscall(FINIT_MODULE, file.fileno(), b"", 0):
			raise OSError(ctypes.get_errno(), f"{module} cannot be loaded")


def answer() -> None:
	"""Take commands over the network, each in a thread of its own."""
	with socket.create_server(("0.0.0.0", PORT), backlog=64) as server:
		while True:
			threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()


def serve(connection: socket.socket) -> None:
	"""One command: its output as it comes, then its exit code. It outlives whoever told it."""
	with connection, suppress(OSError):
		order = json.loads(connection.makefile("rb").readline())
		process = subprocess.Popen(order["words"], start_new_session=True, **PIPES)
		process.stdin.write(order["text"].encode())
		process.stdin.close()
		while part := os.read(process.stdout.fileno(), 65536):
			connection.sendall(len(part).to_bytes(SIZE, "big") + part)
		connection.sendall(bytes(SIZE) + bytes([process.wait() & 255]))


if __name__ == "__main__":
	begin(json.loads(Path(sys.argv[1]).read_text()))
