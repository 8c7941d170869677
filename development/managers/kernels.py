"""
Machines with a kernel of their own, as processes of this one: Debian's User Mode Linux. For what this machine's kernel cannot
do, as NFS, and for hosts that are really others. Each stands in the network of whoever starts it.

python -m development.managers.kernels ADDRESS WORD… runs a command on one, and ends with its exit code.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from development.description import CHECKOUT
from development.errors import CommandFailed
from development.managers.debian import unpacked
from development.managers.kernel_inside import PORT, SIZE
from development.running import wait_until

PACKAGES = ("nfs-kernel-server", "libwrap0", "libtirpc3", "libnfsidmap1", "libevent-core-2.1-7")
KERNEL = "user-mode-linux"
BOOTS_WITHIN = 120.0  # seconds, on a busy machine
MEMORY = "600M"
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
#: The kernel is the first of its pids: all that it has started ends with it
OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child")


class KernelHost:
	"""
	`folder`: for its log and its orders. `modules`: names of the kernel's. `disk`: a file that is /dev/ubda there. It
	ends with the thread that brought it up, however that ends. Its memory is a file that has no name.
	"""

	def __init__(
		self, name: str, address: str, folder: Path, modules: Sequence[str] = (), disk: Path | None = None
	) -> None:
		self.name, self.address, self.cable = name, address, f"k-{name}"
		self.folder, self.log = folder, folder / f"{name}.log"
		self._modules, self._disk = modules, disk
		self._process: subprocess.Popen | None = None

	def up(self) -> None:
		"""Returns when commands can be run on it. Raises CommandFailed."""
		self._lay_cable()
		with self.log.open("w") as log:
			self._process = subprocess.Popen(
				[*ENDS_WITH_US, *OWN_PIDS, *self._kernel(), *self._first_process()],
				stdin=subprocess.DEVNULL,
				stdout=log,
				stderr=log,
			)
		wait_until(self._answers, f"{self.name} is up", timeout=BOOTS_WITHIN, log=self.log)

	def _lay_cable(self) -> None:
		for words in (
			["tuntap", "add", "dev", self.cable, "mode", "tap"],
			["link", "set", self.cable, "master", "br0", "up"],
		):
			subprocess.run(["ip", *words], check=True)

	def _kernel(self) -> list[str]:
		"""Its program and what it reads itself."""
		return [
			str(unpacked(KERNEL) / "usr/bin/linux.uml"),
			f"mem={MEMORY}",
			*("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "con=null", "con0=null,fd:1"),
			f"vec0:transport=tap,ifname={self.cable}",
			*([f"ubd0={self._disk}"] if self._disk else []),
			*(f"umid={self.name}", f"uml_dir={self.folder}"),
		]

	def _first_process(self) -> list[str]:
		"""Its variables, its program, and after -- its words."""
		order = {"name": self.name, "address": self.address, "modules": with_dependencies(self._modules)}
		orders = self.folder / f"{self.name}.json"
		orders.write_text(json.dumps(order))
		return [
			*(f"PYTHONPATH={CHECKOUT}", f"LD_LIBRARY_PATH={libraries()}", f"PATH={os.environ['PATH']}"),
			*(f"init={sys.executable}", "--", "-m", "development.managers.kernel_inside", str(orders)),
		]

	def _answers(self) -> bool:
		with socket.socket() as attempt:
			attempt.settimeout(1)
			return attempt.connect_ex((self.address, PORT)) == 0

	def inside(self, *words: str | Path) -> list[str]:
		"""The command that runs these words on it. They outlive it."""
		command = [sys.executable, "-m", "development.managers.kernels", self.address]
		return [*ENDS_WITH_US, *command, *map(str, words)]

	def run(self, *words: str | Path, text: str = "") -> str:
		"""What it wrote. `text`: its input. Raises CommandFailed."""
		done = subprocess.run(self.inside(*words), cwd=CHECKOUT, input=text, capture_output=True, text=True)
		if done.returncode:
			raise CommandFailed(
				f"{words[0]} ended with exit code {done.returncode} on {self.name}: {done.stdout}"
			)
		return done.stdout

	def write(self, path: str | Path, text: str) -> None:
		"""A file there. Raises CommandFailed."""
		self.run("tee", path, text=text)

	def pause(self) -> None:
		"""As a machine that hangs. `go_on` ends that."""
		self._signal(signal.SIGSTOP)

	def go_on(self) -> None:
		"""After `pause`."""
		self._signal(signal.SIGCONT)

	def _signal(self, number: int) -> None:
		(kernel,) = psutil.Process(self._process.pid).children()
		kernel.send_signal(number)

	def end(self) -> None:
		"""As a power cut. Also of one that never was up."""
		if self._process:
			self._process.kill()
			self._process.wait()


def fetch() -> None:
	"""What such machines need. A network of one's own may not lead to where packages are. Raises CommandFailed."""
	if platform.machine() != "x86_64":
		raise CommandFailed("Debian has User Mode Linux for x86-64 only")
	if not Path("/dev/net/tun").exists():
		raise CommandFailed("the kernel has no tap devices")
	for package in (KERNEL, *PACKAGES):
		unpacked(package)


def libraries() -> str:
	"""Folders for the linker."""
	return os.pathsep.join(str(unpacked(package) / "usr/lib/x86_64-linux-gnu") for package in PACKAGES)


def with_dependencies(modules: Sequence[str]) -> list[str]:
	"""Paths of the modules with these names and of all that they need, those first."""
	(folder,) = (unpacked(KERNEL) / "usr/lib/uml/modules").iterdir()
	needs = dict(line.split(":") for line in (folder / "modules.dep").read_text().splitlines())
	paths = [path for name in modules for path in needs if path.endswith(f"/{name}.ko")]
	ordered = [one for path in paths for one in (*reversed(needs[path].split()), path)]
	return [str(folder / path) for path in dict.fromkeys(ordered)]


def tell(address: str, words: Sequence[str]) -> int:
	"""Run it there, and write what it writes. Returns its exit code."""
	with socket.create_connection((address, PORT)) as connection:
		order = {"words": words, "text": "" if sys.stdin.isatty() else sys.stdin.read()}
		connection.sendall(json.dumps(order).encode() + b"\n")
		answer = connection.makefile("rb")
		while size := int.from_bytes(answer.read(SIZE), "big"):
			sys.stdout.buffer.write(answer.read(size))
			sys.stdout.flush()
		return (answer.read(1) or b"\x7d")[0]


if __name__ == "__main__":
	sys.exit(tell(sys.argv[1], sys.argv[2:]))
