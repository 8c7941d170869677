"""
A Kubernetes of one node in a nested machine: etcd, the API server with RBAC, the controllers, the scheduler, and a kubelet over
dockerd. Debian's packages are installed once, into a layer of their own that is kept; the other programs are built once.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from development.description import ROOT
from development.errors import CommandFailed
from development.managers.docker import Dockerd, alone_with, install
from development.managers.kubernetes import components
from development.managers.kubernetes.build import CACHE, PAUSE, ensure_programs
from development.managers.kubernetes.components import ADDRESS, API, FOLDER, KEY, KUBECONFIG, KUBELET, NODE
from development.managers.nested import NestedMachine
from development.progress import Progress
from development.running import last_lines, wait_until

LAYER = CACHE.parent / "kubernetes-layer"
PACKAGES = ("docker.io", "etcd-server", "containernetworking-plugins")
READY = '{.status.conditions[?(@.type=="Ready")].status}'
ERROR = re.compile(r"[EF]\d{4} ")  # and the day
PATIENCE = 120.0  # seconds for each program, on a busy machine


class Kubernetes:
	"""`folder`: its own, not below /tmp, /run or /dev. `shared`: folders whose files are the outer machine's own, not copies."""

	def __init__(self, folder: Path, shared: Sequence[Path] = (), progress: Progress | None = None) -> None:
		self.machine = NestedMachine(folder, [CACHE, *shared], own_network=True)
		self._progress = progress or Progress()
		self._daemons: dict[str, subprocess.Popen] = {}
		self._dockerd = Dockerd(self.machine, components.DOCKERD)

	@property
	def environment(self) -> dict[str, str]:
		"""For programs in it that use it."""
		return {"KUBECONFIG": KUBECONFIG, "PATH": os.pathsep.join([str(CACHE), os.environ["PATH"]])}

	def up(self) -> None:
		"""Returns when pods can be made."""
		ensure_programs(self._progress)
		copy_packages(self.machine.layer, self._progress)
		self._progress.say("the node")
		self.machine.up()
		self._prepare()
		self._configure()
		self._start("etcd", components.etcd())
		self._start("apiserver", components.apiserver())
		self._dockerd.up()
		self._import_pause()
		self._wait("apiserver", "ok", "get", "--raw", "/readyz")
		self._start("controller-manager", components.controller_manager())
		self._start("scheduler", components.scheduler())
		self._start("kubelet", components.kubelet())
		self._wait("kubelet", "True", "get", "node", NODE, f"--output=jsonpath={READY}")
		self._wait("controller-manager", "default", "get", "serviceaccount", "default", "--output=name")

	def _prepare(self) -> None:
		"""Addresses, and places that are not the outer machine's."""
		for address in (ADDRESS, API):
			self.machine.run("ip", "address", "add", f"{address}/32", "dev", "lo")
		for number, (name, value) in enumerate(components.SYSCTLS.items()):
			file = f"{FOLDER}/sysctl-{number}"
			self._write(file, value)
			self.machine.run("mount", "-n", "--bind", "-o", "ro", file, f"/proc/sys/{name}")
		self.machine.run(
			"ln", "-s", "null", "/dev/kmsg"
		)  # the kubelet would read there whom the kernel kills
		self.machine.run("mkdir", KUBELET)
		self.machine.run("mount", "-n", "-t", "tmpfs", "tmpfs", KUBELET)
		self.machine.run("mount", "-n", "--make-shared", KUBELET)

	def _configure(self) -> None:
		token = secrets.token_hex(16)
		user = {"name": "admin", "user": {"token": token}}
		self._write(KUBECONFIG, json.dumps({**components.CONFIGURATION, "users": [user]}))
		self._write(components.TOKENS, f'{token},admin,1,"system:masters"\n')
		self._write(f"{components.NETWORKS}/pods.conf", json.dumps(components.NETWORK))
		self._write(components.RUNC, components.RUNC_SCRIPT, mode="700")
		self.machine.run("openssl", "genrsa", "-out", KEY, "2048")

	def _write(self, file: str, text: str, mode: str = "600") -> None:
		"""A file of root's."""
		self.machine.run("install", "-D", "-m", mode, "/dev/stdin", file, text=text.encode())

	def _import_pause(self) -> None:
		image = ["-c", f'ENTRYPOINT ["/{PAUSE}"]', "-", components.PAUSE_IMAGE]
		script = 'tar -C "$1" -c "$2" | docker import "$3" "$4" "$5" "$6"'
		self.machine.run("sh", "-ec", script, "sh", CACHE, PAUSE, *image)

	def _start(self, name: str, words: Sequence[str]) -> None:
		"""By a script, so that a test in the machine can stop it and start it again."""
		variables = "".join(f"export {it}={shlex.quote(value)}\n" for it, value in self.environment.items())
		script = f"#!/bin/sh\n{variables}echo $$ > {FOLDER}/{name}.pid\nexec {shlex.join(words)}\n"
		file = f"{FOLDER}/start/{name}"
		self._write(file, script, mode="700")
		self._daemons[name] = self.machine.start(file, log=self._log(name))

	def _log(self, name: str) -> Path:
		return self.machine.folder / f"{name}.log"

	def _wait(self, name: str, wanted: str, *question: str) -> None:
		"""Until the API says it. Raises CommandFailed when a program has ended meanwhile."""

		def is_so() -> bool:
			for other, process in self._daemons.items():
				if process.poll() is not None:
					raise CommandFailed(f"{other} of Kubernetes ended: {told_at_the_end(self._log(other))}")
			return self.kubectl(*question, check=False).endswith(wanted)

		wait_until(is_so, f"{name} of Kubernetes is ready", timeout=PATIENCE, poll=0.2, log=self._log(name))

	def kubectl(self, *words: str, text: str = "", check: bool = True) -> str:
		"""What it says. `text`: its input. Raises CommandFailed unless that does not matter."""
		return self.machine.run(
			"kubectl", *words, env=self.environment, text=text.encode(), check=check
		).strip()

	def down(self) -> None:
		"""Nothing of it is left but its logs."""
		# nsenter stops together with a daemon that a test has stopped
		self._dockerd.go_on()
		for process in self._daemons.values():
			process.send_signal(signal.SIGCONT)
		self.machine.down()
		self._dockerd.wait()
		for process in self._daemons.values():
			process.wait()


def told_at_the_end(log: Path) -> str:
	"""What its programs call errors, without the state of all that ran in them, which follows; else its last lines."""
	errors = [line for line in log.read_text(errors="replace").splitlines() if ERROR.match(line)]
	return "\n".join(errors[-5:]) or last_lines(log)


def copy_packages(layer: Path, progress: Progress) -> None:
	"""Into a new layer: one cannot lie below several machines, and a copy takes less than a second."""
	with alone_with(LAYER):
		if not (LAYER / "installed").exists():
			progress.say("dockerd and etcd of Debian, for a machine inside of this one: about 1 min")
			install_packages()
			(LAYER / "installed").touch()
		layer.mkdir()
		subprocess.run(["cp", "--archive", LAYER / "files", layer / "files"], check=True)


def install_packages() -> None:
	with TemporaryDirectory(prefix="kubernetes-packages-", dir=ROOT) as folder:
		machine = NestedMachine(Path(folder), layer=LAYER)
		try:
			machine.up()
			install(machine, *PACKAGES)
		finally:
			machine.down()
