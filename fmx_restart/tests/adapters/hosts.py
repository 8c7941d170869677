"""
Hosts as namespaces: each has a network, pids, a process table and a host name of its own, and a cable to one switch. The
thread of the test stands in the network of the switch meanwhile. The kernel ends all of it with the test's process.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from fmx_restart.adapters.managers.supervisor.connection import Address
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Process
from fmx_restart.tests.adapters.redis_server import RedisServer, redis_binary
from fmx_restart.tests.adapters.waiting import eventually

CLONE_NEWNET = 0x40000000
NETWORK = "/proc/thread-self/ns/net"
SUBNET = "10.77.0"
HERE = f"{SUBNET}.1"
REDIS_AT, REDIS_PORT = 20, 6379
SUPERVISORD_PORT = 9001
UNSHARE = ["unshare", "--net", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child"]
#: Takes its name, and lives as long as the test's process holds the other end of its standard input
INIT = 'echo "$1" > /proc/sys/kernel/hostname; echo ready; cat > /dev/null'


def run(*words: str) -> None:
	subprocess.run(words, check=True, capture_output=True, timeout=20)


def can_have_hosts() -> bool:
	"""Also whether this user may lay a cable."""
	if os.geteuid() or not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
		return False
	words = ["unshare", "--net", "ip", "link", "add", "br0", "type", "bridge"]
	return subprocess.run(words, capture_output=True, check=False).returncode == 0


@contextmanager
def switch() -> Iterator[None]:
	"""This thread, and what it starts, has another network inside the block: a switch that hosts are plugged into."""
	kernel = ctypes.CDLL(None, use_errno=True)
	before = os.open(NETWORK, os.O_RDONLY)
	try:
		if kernel.unshare(CLONE_NEWNET):
			raise OSError(ctypes.get_errno(), "unshare")
		run("ip", "link", "set", "lo", "up")
		run("ip", "link", "add", "br0", "type", "bridge")
		run("ip", "addr", "add", f"{HERE}/24", "dev", "br0")
		run("ip", "link", "set", "br0", "up")
		yield
	finally:
		kernel.setns(before, CLONE_NEWNET)
		os.close(before)


class FarHost:
	"""A host with this name, at SUBNET.number."""

	def __init__(self, name: str, number: int) -> None:
		self.name, self.address, self.cable = name, f"{SUBNET}.{number}", f"v-{name}"
		self._shell = subprocess.Popen(
			[*UNSHARE, "sh", "-c", INIT, "sh", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
		)
		self._shell.stdout.readline()  # it has its namespaces
		pid = str(self._shell.pid)
		run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", pid)
		run("ip", "link", "set", self.cable, "master", "br0", "up")
		for words in (["addr", "add", f"{self.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
			run(*self.inside("ip", *words))
		run(*self.inside("ip", "link", "set", "lo", "up"))

	def inside(self, *words: str) -> list[str]:
		"""The command that runs these words on it."""
		(init,) = psutil.Process(self._shell.pid).children()
		return ["nsenter", f"--target={init.pid}", "--net", "--pid", "--uts", "--mount", *words]

	def cut(self) -> None:
		"""Pull its cable: whoever waits for an answer waits on."""
		run("ip", "link", "set", self.cable, "down")

	def plug(self) -> None:
		run("ip", "link", "set", self.cable, "up")

	def end(self) -> None:
		"""Whatever runs on it ends, and those that it was connected to learn of that."""
		for init in psutil.Process(self._shell.pid).children():
			init.kill()
		self._shell.communicate()
		words = ["ip", "link", "del", self.cable]  # the kernel does that too, sooner or later
		subprocess.run(words, capture_output=True, check=False)


class FarRedis(RedisServer):
	"""On a host of its own. It answers over the network alone."""

	def __init__(self, folder: Path) -> None:
		super().__init__(folder, port=REDIS_PORT)
		self.host = FarHost("redis1", REDIS_AT)

	def start(self) -> None:
		command = [redis_binary(), "--port", str(self.port), "--bind", self.host.address]
		command += ["--protected-mode", "no", "--dir", str(self.folder), *self.persistence]
		self._process = subprocess.Popen(
			self.host.inside(*command), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
		)
		eventually(self._answers, "Redis answers")

	def stop(self, number: int = 9) -> None:
		self.host.end()
		if self._process:
			self._process.communicate()

	def url(self, user: str | None = None, password: str = "") -> str:
		return f"redis://{self.host.address}:{self.port}"


class FarSupervisord:
	"""Of a host: on its address, with user and password. `programs`: sections of its configuration."""

	user = "fmx"

	def __init__(self, host: FarHost, folder: Path, programs: str) -> None:
		self.host, self.password = host, f"secret-of-{host.name}"
		self.url = f"http://{host.address}:{SUPERVISORD_PORT}"
		self.config = folder / "supervisord.conf"
		self.config.write_text(
			f"[inet_http_server]\nport = {host.address}:{SUPERVISORD_PORT}\nusername = {self.user}\n"
			f"password = {self.password}\n[supervisord]\nlogfile = {folder}/supervisord.log\n"
			f"pidfile = {folder}/supervisord.pid\nchildlogdir = {folder}\n[rpcinterface:supervisor]\n"
			f"supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n{programs}"
		)
		self._process: subprocess.Popen | None = None

	def start(self) -> None:
		"""Returns when it answers."""
		command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(self.config)]
		self._process = subprocess.Popen(
			self.host.inside(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
		)
		eventually(self._answers, f"supervisord of {self.host.name} answers")

	def programs_of(self, bench: str) -> list[Process]:
		"""`bench`: its folder. Raises ProcessFault."""
		address = Address(self.url, self.user, self.password)
		processes = SupervisorProcesses(address, bench, timeout=2, host=self.host.name)
		with closing(processes):
			return processes.list()

	def _answers(self) -> bool:
		if self._process.poll() is not None:
			raise AssertionError(f"supervisord of {self.host.name} ended: {self._process.returncode}")
		try:
			self.programs_of("/nowhere")
		except ProcessFault:
			return False
		return True

	def kill(self) -> None:
		"""It alone: its programs live on."""
		for process in psutil.Process(self._process.pid).children():
			process.kill()
		self._process.communicate()

	def leave(self) -> None:
		"""Of a host that has ended: whoever ran it there may not have learned of that."""
		self._process.kill()
		self._process.communicate()

	@property
	def entry(self) -> dict[str, str]:
		"""As fmx_restart_managers has it."""
		login = {"user": self.user, "password": self.password}
		return {
			"kind": "supervisor",
			"url": self.url,
			"name": self.host.name,
			"host": self.host.name,
			**login,
		}
