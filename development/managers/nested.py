"""
A machine inside of this one: this one's files below a layer of its own, its own processes, cgroups, host name, /tmp, /run and
/dev. What happens in it ends with it, and it ends with whoever has begun it, also where that is killed. The network is this
machine's, unless it is given one of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from development.description import CHECKOUT
from development.errors import CommandFailed
from development.running import last_lines, wait_until

PATIENCE = 60.0  # seconds for it to start, or to be gone
CGROUPS = "fmx-nested-"  # then the pid of whoever has begun it, and the name of its folder
OWNER = "owner.pid"  # in its folder
IN_ITS_NAMESPACES = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd=/")


class NestedMachine:
	"""
	`folder`: its own, not below /tmp, /run or /dev. `shared`: folders whose files are this machine's own, not copies.
	`layer`: a folder that keeps what is written to all others; by default that is forgotten. `own_network`: at
	first with nothing but 127.0.0.1.
	"""

	def __init__(
		self,
		folder: Path,
		shared: Sequence[Path] = (),
		layer: Path | None = None,
		*,
		own_network: bool = False,
	) -> None:
		self.folder, self.log = folder, folder / "console.log"
		self.layer = layer or folder / "layer"
		self._own_network = own_network
		self.shared = [CHECKOUT, folder, *shared]
		self._cgroup = cgroup_root() / f"{CGROUPS}{os.getpid()}-{folder.name}"
		self._outer: subprocess.Popen | None = None
		self._pid = 0  # of its first process

	def up(self, *command: str) -> None:
		"""`command` is its first process; without one, a process that only waits. Returns when that runs."""
		for folder in (self.layer / "files", self.layer / "work", self.folder / "root"):
			folder.mkdir(parents=True, exist_ok=True)
		self._remove_leftovers()
		self._cgroup.mkdir()
		order = {
			"parent": os.getpid(),
			"cgroup": str(self._cgroup),
			"layer": str(self.layer),
			"own_network": self._own_network,
			"root": str(self.folder / "root"),
			"shared": [str(path) for path in self.shared],
			"namespace": str(Path("/proc/self/ns/mnt").readlink()),
			"is_up": str(self.folder / "is-up"),
			"command": command,
		}
		with self.log.open("w") as log:
			self._outer = subprocess.Popen(
				[sys.executable, "-m", "development.managers.inside", "enter", json.dumps(order)],
				cwd=CHECKOUT,
				stdin=subprocess.DEVNULL,
				stdout=log,
				stderr=log,
				start_new_session=True,
			)
		wait_until(self._is_up, "the nested machine is up", timeout=PATIENCE, poll=0.02, log=self.log)

	def _remove_leftovers(self) -> None:
		"""Of machines that were killed together with whoever had begun them; the folders of those beside this one."""
		for cgroup in cgroup_root().glob(f"{CGROUPS}*-*"):
			if not is_alive(cgroup.name.removeprefix(CGROUPS).partition("-")[0]):
				has_no_cgroup(cgroup)
		for owner in self.folder.parent.glob(f"*/{OWNER}"):
			if not is_alive(owner.read_text()):
				shutil.rmtree(owner.parent, ignore_errors=True)  # another one tidies up, too
		(self.folder / OWNER).write_text(str(os.getpid()))

	def _is_up(self) -> bool:
		if self._outer.poll() is not None:
			raise CommandFailed(f"the nested machine ended; its last lines:\n{last_lines(self.log)}")
		if not (self.folder / "is-up").exists():
			return False
		task = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
		self._pid = int(task.read_text().split()[0])
		return True

	def command(self, *words: str | Path) -> list[str]:
		"""That runs these words in it."""
		namespaces = [*IN_ITS_NAMESPACES, *(["--net"] if self._own_network else [])]
		return ["nsenter", "--target", str(self._pid), *namespaces, "--", *map(str, words)]

	def start(self, *words: str | Path, log: Path) -> subprocess.Popen:
		"""A process that ends with it at the latest."""
		with log.open("a") as output:
			return subprocess.Popen(
				self.command(*words), stdin=subprocess.DEVNULL, stdout=output, stderr=output
			)

	def run(
		self,
		*words: str | Path,
		env: Mapping[str, str] | None = None,
		text: bytes | None = None,
		check: bool = True,
	) -> str:
		"""What it wrote. `text`: its input. Raises CommandFailed, unless its exit code does not matter."""
		done = subprocess.run(
			self.command(*words),
			env={**os.environ, **(env or {})},
			input=text or b"",
			stdout=subprocess.PIPE,
			stderr=subprocess.STDOUT,
		)
		output = done.stdout.decode(errors="replace")
		if check and done.returncode:
			raise CommandFailed(f"{words[0]} ended with exit code {done.returncode}: {output[-6000:]}")
		return output

	def down(self) -> None:
		"""Its first process is killed, and the kernel kills all others with it."""
		pid, self._pid = self._pid, 0
		if pid:
			with suppress(ProcessLookupError):
				os.kill(pid, signal.SIGKILL)
		if self._outer:
			self._outer.wait(PATIENCE)
		wait_until(
			lambda: has_no_cgroup(self._cgroup),
			"the cgroups of the nested machine are gone",
			timeout=PATIENCE,
		)
		(self.folder / "is-up").unlink(missing_ok=True)
		if self.layer.is_relative_to(self.folder) and self.layer.exists():
			shutil.rmtree(self.layer)


def is_alive(pid: str) -> bool:
	"""Of whoever has begun a machine."""
	return Path(f"/proc/{pid}").exists()


def has_no_cgroup(cgroup: Path) -> bool:
	"""Removes it and all below it, as far as no process is left there."""
	for folder, _, _ in os.walk(cgroup, topdown=False):
		with suppress(OSError):
			Path(folder).rmdir()
	return not cgroup.exists()


def cgroup_root() -> Path:
	"""Of cgroup2; many machines have version 1 beside it."""
	root = Path("/sys/fs/cgroup")
	return root if (root / "cgroup.controllers").exists() else root / "unified"
