"""A dockerd in a nested machine. Debian's package is installed once, into a layer of its own that is kept."""

from __future__ import annotations

import fcntl
import io
import signal
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from development.description import ROOT
from development.errors import CommandFailed
from development.managers.nested import NestedMachine
from development.running import last_lines, wait_until

LAYER = ROOT / "cache" / "docker-layer"
IMAGE = "nested/usr:1"
#: An image is these empty folders, and links into /usr, which is the machine's own
FOLDERS = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var")
TEXT = b"its programs are the machine's own\n"  # a kubelet takes no image without a byte
LINKS = ("bin", "lib", "lib64", "sbin")
NO_SERVICES = "#!/bin/sh\nexit 101\n"  # Debian's packages ask this before they start anything
#: Of dockerd: no rules and no bridge in the network, which is the outer machine's
OPTIONS = (
	"--iptables=false",
	"--ip6tables=false",
	"--ip-forward=false",
	"--bridge=none",
	"--storage-driver=vfs",
)


class Docker:
	def __init__(self, folder: Path, shared: Sequence[Path] = ()) -> None:
		self.shared = list(shared)
		self.machine = NestedMachine(folder, shared, layer=LAYER)
		self._daemon: Dockerd | None = None
		self._lock: TextIO | None = None  # one at a time has the layer

	def up(self) -> None:
		"""Returns when dockerd answers, and has the image."""
		self._lock = alone_with(LAYER)
		self.machine.up()
		if not (LAYER / "files/usr/sbin/dockerd").exists():
			install(self.machine, "docker.io")
		self._daemon = Dockerd(self.machine)
		self._daemon.up()

	def docker(self, *words: str, check: bool = True) -> str:
		"""What it says. Raises CommandFailed unless that does not matter."""
		return self.machine.run("docker", *words, check=check).strip()

	def start(self, name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
		"""A container whose first process the command is. It sees /usr and the shared folders."""
		folders = [f"{path}:{path}" for path in self.machine.shared]
		volumes = [word for folder in ("/usr:/usr:ro", *folders) for word in ("--volume", folder)]
		variables = [word for pair in env.items() for word in ("--env", "=".join(pair))]
		options = ["--name", name, "--network", "host", "--restart", "unless-stopped", "--workdir", str(cwd)]
		self.docker("run", "--detach", *options, *volumes, *variables, IMAGE, *command)

	def down(self) -> None:
		if self._daemon:
			self._daemon.go_on()
		self.machine.down()
		if self._daemon:
			self._daemon.wait()
		if self._lock:
			self._lock.close()


class Dockerd:
	"""In a machine that is up, and with which it ends."""

	def __init__(self, machine: NestedMachine, options: Sequence[str] = ()) -> None:
		self._machine, self._options = machine, options
		self._log = machine.folder / "dockerd.log"
		self._process: subprocess.Popen | None = None

	def up(self) -> None:
		"""Returns when it answers, and has the image."""
		data = self._machine.folder / "docker"
		places = [f"--data-root={data}", "--exec-root=/run/docker", "--pidfile=/run/docker.pid"]
		self._process = self._machine.start("dockerd", *OPTIONS, *self._options, *places, log=self._log)
		wait_until(self._answers, "dockerd answers", timeout=60, poll=0.1, log=self._log)
		self._machine.run("docker", "import", "-", IMAGE, text=image())

	def _answers(self) -> bool:
		if self._process.poll() is not None:
			raise CommandFailed(f"dockerd ended: {last_lines(self._log)}")
		return bool(self._machine.run("docker", "version", check=False).count("Server:"))

	def go_on(self) -> None:
		"""nsenter stops together with a dockerd that a test has stopped."""
		if self._process:
			self._process.send_signal(signal.SIGCONT)

	def wait(self) -> None:
		if self._process:
			self._process.wait()


def alone_with(layer: Path) -> TextIO:
	"""A layer for packages whose services stay down. It is another's again when the lock is closed."""
	layer.mkdir(parents=True, exist_ok=True)
	lock = (layer / "lock").open("w")
	fcntl.flock(lock, fcntl.LOCK_EX)
	policy = layer / "files/usr/sbin/policy-rc.d"
	policy.parent.mkdir(parents=True, exist_ok=True)
	policy.write_text(NO_SERVICES)
	policy.chmod(0o755)
	return lock


def install(machine: NestedMachine, *packages: str) -> None:
	"""Of Debian."""
	quiet = {"DEBIAN_FRONTEND": "noninteractive"}
	machine.run("apt-get", "update", env=quiet)
	machine.run("apt-get", "install", "-y", "--no-install-recommends", *packages, env=quiet)
	machine.run("apt-get", "clean")


def image() -> bytes:
	file = io.BytesIO()
	with tarfile.open(fileobj=file, mode="w") as tar:
		for name in FOLDERS:
			entry = tarfile.TarInfo(name)
			entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
			tar.addfile(entry)
		for name in LINKS:
			entry = tarfile.TarInfo(name)
			entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
			tar.addfile(entry)
		entry = tarfile.TarInfo("etc/nested")
		entry.size = len(TEXT)
		tar.addfile(entry, io.BytesIO(TEXT))
	return file.getvalue()
