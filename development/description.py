"""What a development bench is: its paths, ports, addresses and passwords. Nothing here starts or writes anything."""

from __future__ import annotations

import getpass
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from development.errors import NotBuilt

CHECKOUT = Path(__file__).resolve().parent.parent
#: The one ignored folder of the checkout that holds all we download, build and write.
ROOT = CHECKOUT / ".development"
DEFAULT_NAME = "fmx-bench"
#: Environment variables of bin/test: the bench that tests of one process use; names for all processes, by blanks.
TEST_BENCH, TEST_BENCHES = "FMX_DEVELOPMENT_BENCH", "FMX_DEVELOPMENT_BENCHES"
#: What every bench has before anything is installed in it.
BENCH_FOLDERS = ("apps", "sites", "logs", "config/pids")
#: Apps of ours that every bench gets, in the order they are installed, with their sources.
OUR_APPS = {"fmx_restart": CHECKOUT, "fmx_workload": CHECKOUT / "development" / "apps" / "fmx_workload"}


def is_ours_to_change(folder: Path) -> bool:
	"""Not where root builds a bench for another user in a checkout of root's own."""
	return os.access(folder, os.W_OK)


@dataclass(frozen=True)
class Ports:
	"""TCP ports on 127.0.0.1, all private to one bench."""

	web: int
	front: int  # nginx
	socketio: int
	redis_cache: int
	redis_queue: int
	database: int


@dataclass(frozen=True)
class Bench:
	"""One built bench and everything needed to talk to it."""

	name: str
	ports: Ports
	#: Folder of the unix sockets. Not in the checkout: a socket's path may not exceed 107 bytes.
	sockets: Path
	sites: tuple[str, ...] = ("dev.localhost",)
	#: The Frappe asked for: a path or git URL, or "" for the one from PyPI.
	frappe: str = ""
	background_workers: int = 1
	root: Path = field(default=ROOT)
	admin_password: str = "admin"
	database_root_password: str = "admin"

	@property
	def site(self) -> str:
		"""The first site, for those who need just one."""
		return self.sites[0]

	@property
	def user(self) -> str:
		return getpass.getuser()

	# folders

	@property
	def path(self) -> Path:
		"""The bench folder itself, as the bench command line knows it."""
		return self.root / "benches" / self.name

	@property
	def sites_path(self) -> Path:
		return self.path / "sites"

	@property
	def apps_path(self) -> Path:
		return self.path / "apps"

	@property
	def private_path(self) -> Path:
		"""What belongs to this bench but not into it: database, supervisord, state, logs of the build."""
		return self.root / "private" / self.name

	@property
	def state_file(self) -> Path:
		return self.private_path / "state.json"

	@property
	def nginx_path(self) -> Path:
		"""nginx's configuration, pid file and temporary files."""
		return self.private_path / "nginx"

	@property
	def log_path(self) -> Path:
		return self.private_path / "logs"

	# programs

	@property
	def python(self) -> Path:
		"""The interpreter Frappe runs on."""
		return self.path / "env" / "bin" / "python"

	@property
	def tools(self) -> Path:
		"""bin folder of the environment that holds bench, supervisord, supervisorctl and uv."""
		return self.root / "tools" / "bin"

	@property
	def environment(self) -> dict[str, str]:
		"""Environment for commands of this bench: as in production, Python keeps compiled modules."""
		path = os.pathsep.join([str(self.tools), str(self.root / "bin"), os.environ.get("PATH", os.defpath)])
		kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
		if not is_ours_to_change(CHECKOUT):
			kept["PYTHONPYCACHEPREFIX"] = str(self.root / "bytecode")
		# bench asks the network for a newer version of itself at the end of a command, unless it is in an image build
		return {**kept, "PATH": path, "FRAPPE_DOCKER_BUILD": "1"}

	def run_bench_command(self, *args: str, check: bool = True, **options) -> subprocess.CompletedProcess:
		"""Run `bench ARGS` in this bench. Output is captured as text unless options say otherwise."""
		if "stdout" not in options:
			options = {"capture_output": True, "text": True, **options}
		command = [str(self.tools / "bench"), *args]
		return subprocess.run(command, cwd=self.path, env=self.environment, check=check, **options)

	def supervisorctl(self, *args: str, check: bool = False) -> subprocess.CompletedProcess:
		"""Run `supervisorctl ARGS`. Its `status` ends with 3 when anything is not running."""
		command = [str(self.tools / "supervisorctl"), "-c", str(self.supervisor_config), *args]
		return subprocess.run(command, capture_output=True, text=True, check=check)

	# addresses

	@property
	def supervisor_config(self) -> Path:
		return self.private_path / "supervisord.conf"

	@property
	def supervisor_socket(self) -> Path:
		return self.sockets / "supervisor.sock"

	@property
	def supervisor_url(self) -> str:
		return f"unix://{self.supervisor_socket}"

	@property
	def redis_ports(self) -> tuple[int, int]:
		return self.ports.redis_cache, self.ports.redis_queue

	@property
	def redis_queue_url(self) -> str:
		return f"redis://127.0.0.1:{self.ports.redis_queue}"

	@property
	def redis_cache_url(self) -> str:
		return f"redis://127.0.0.1:{self.ports.redis_cache}"

	@property
	def web_url(self) -> str:
		"""gunicorn itself. Tell it the site with a Host header."""
		return f"http://127.0.0.1:{self.ports.web}"

	@property
	def desk_url(self) -> str:
		"""For a browser: nginx, in front of the bench as in production."""
		return f"http://{self.site}:{self.ports.front}"


def current_bench(name: str | None = None) -> Bench:
	"""The bench of that name, or the one that was last brought up. Raises NotBuilt."""
	from development.state import read_bench

	bench = read_bench(name)
	if bench is None:
		raise NotBuilt("there is no development bench yet", hint="build one with: development/bench up")
	return bench
