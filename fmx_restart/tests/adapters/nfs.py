"""A bench whose folder is on a real NFS: a file server and two hosts, each with a kernel of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from development.errors import CommandFailed
from development.managers.debian import unpacked
from development.managers.kernels import KernelHost
from fmx_restart.tests.adapters.benches import program
from fmx_restart.tests.adapters.hosts import SUBNET, FarRedis, FarSupervisord
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.test_hosts import WORKER
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.worker_bench import WorkerBench

BENCH = Path("/mnt/bench")
SITES = BENCH / "sites"
SHARE = "/var/share/export"
EXPORT = "rw,sync,no_subtree_check,fsid=0,no_root_squash,insecure"
LEASE = 10  # seconds that the server keeps the locks of a host that is silent; Linux' own default is 90
BOOTS = 120.0  # seconds that workers take at most on a busy machine
QUEUES = ("short", "long")


class NfsBench:
	"""Hosts app1 and app2, each with a supervisord and a worker for either queue. `close` ends all of it, as a power cut."""

	def __init__(self, folder: Path, redis: FarRedis) -> None:
		self.folder, self.redis, self.stack = folder, redis, ExitStack()
		self.rq = WorkerBench(redis, folder, id="a-bench")

	def up(self) -> None:
		"""Returns when all workers have registered."""
		self.server = self._host("nfs1", 2, "nfsd", "nfsv4", disk=self._disk())
		serve(self.server)
		self.app1, self.app2 = self._host("app1", 11, "nfsv4"), self._host("app2", 12, "nfsv4")
		for host in (self.app1, self.app2):
			self._mount(host)
		self.supervisords = [self._supervisord(host) for host in (self.app1, self.app2)]
		self._make_bench()
		for supervisord in self.supervisords:
			supervisord.start()
			self.stack.callback(supervisord.leave)
		eventually(lambda: len(self.rq.records()) == 4, "workers are registered", deadline=BOOTS)

	def close(self) -> None:
		self.stack.close()
		self.rq.stop()

	def _host(self, name: str, number: int, *modules: str, disk: Path | None = None) -> KernelHost:
		host = KernelHost(name, f"{SUBNET}.{number}", self.folder, modules, disk)
		self.stack.callback(host.end)
		host.up()
		return host

	def _disk(self) -> Path:
		disk = self.folder / "share.img"
		subprocess.run(["truncate", "-s", "200M", disk], check=True)
		subprocess.run(["mkfs.ext4", "-q", disk], check=True)
		return disk

	def _mount(self, host: KernelHost) -> None:
		options = f"addr={self.server.address},clientaddr={host.address},vers=4.2,hard"
		host.run("mount", "-i", "-n", "-t", "nfs4", "-o", options, f"{self.server.address}:/", "/mnt")

	def _make_bench(self) -> None:
		for name in ("sites", "apps", "logs", "config", "env/bin"):
			self.app1.run("mkdir", "-p", BENCH / name)
		self.app1.write(BENCH / "env/bin/bench", WORKER)
		self.app1.write(SITES / "apps.txt", "frappe\n")
		self.name_managers("app1", "app2")

	def name_managers(self, *names: str) -> None:
		"""In the bench's settings: those of these hosts. Typed on app2."""
		managers = [one.entry for one in self.supervisords if one.host.name in names]
		config = {"redis_queue": self.redis.url(), "bench_id": self.rq.id, "fmx_restart_managers": managers}
		self.app2.write(SITES / "common_site_config.json", json.dumps(config))

	def _supervisord(self, host: KernelHost) -> FarSupervisord:
		"""Its configuration is the test's, which it may read: what it writes is in memory."""
		folder = self.folder / f"supervisord-{host.name}"
		folder.mkdir()
		supervisord = FarSupervisord(host, folder, "".join(map(self._worker, QUEUES)))
		config = supervisord.config.read_text().replace(str(folder), "/tmp")
		supervisord.config.write_text(config)
		return supervisord

	def _worker(self, queue: str) -> str:
		words = [sys.executable, BENCH / "env/bin/bench", "worker", "stock", "{}", self.redis.url()]
		command = f"/usr/bin/env PYTHONPATH={CHECKOUT} {' '.join(map(str, [*words, *self.rq.names(queue)]))}"
		return program(queue, command, folder=SITES, startsecs=0, stopwaitsecs=60)

	def workers(self) -> set[tuple[str, int]]:
		"""Host and pid of each, as the supervisords say: RQ forgets a part of what hung for 90 s."""
		return {
			(one.host.name, process.pid)
			for one in self.supervisords
			for process in one.programs_of(str(BENCH))
		}

	def type(self, host: KernelHost, *words: str) -> subprocess.Popen:
		"""`bench safe-restart` with these words, as a person types it there."""
		variables = [f"PYTHONPATH={CHECKOUT}:{':'.join(sys.path)}", f"FRAPPE_BENCH_ROOT={BENCH}"]
		command = ["env", "-C", SITES, *variables, sys.executable, "-m", "fmx_restart", "safe-restart"]
		return subprocess.Popen(
			host.inside(*command, *words),
			cwd=CHECKOUT,
			stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE,
			text=True,
		)


def serve(host: KernelHost) -> None:
	"""Its disk, over NFS 4 alone. Raises CommandFailed."""
	server = unpacked("nfs-kernel-server") / "usr/sbin"
	for words in (
		["mkdir", "/var/share"],
		["mount", "-t", "ext4", "/dev/ubda", "/var/share"],
		["mkdir", SHARE],
		["touch", "/var/lib/nfs/etab", "/var/lib/nfs/rmtab"],
		["mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd"],
		[server / "exportfs", "-o", EXPORT, f"*:{SHARE}"],
		[server / "rpc.mountd", "--no-nfs-version", "3"],
	):
		host.run(*words)
	for name in ("nfsv4leasetime", "nfsv4gracetime"):
		host.write(f"/proc/fs/nfsd/{name}", f"{LEASE}\n")
	with suppress(CommandFailed):  # it misses a port mapper, which NFS 4 does not need
		host.run(server / "rpc.nfsd", "--no-nfs-version", "3", "4")
	if host.run("cat", "/proc/fs/nfsd/threads").strip() == "0":
		raise CommandFailed("the NFS server has no threads")


def ended(command: subprocess.Popen) -> tuple[str, int]:
	"""What it wrote, and its exit code."""
	return command.communicate(timeout=BOOTS)[0], command.returncode
