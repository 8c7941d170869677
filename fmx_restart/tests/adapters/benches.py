"""A bench's folder, a supervisord of our own that runs small programs in it, and processes that look like jobs."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
from contextlib import closing, suppress
from pathlib import Path

import psutil

from fmx_restart.adapters.managers.supervisor.connection import Address
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.tests.adapters.forked import Forked
from fmx_restart.tests.adapters.waiting import eventually

BEHAVIOUR = {
	"waits": "import signal; print('ready', flush=True); signal.pause()",
	"refuses": "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True)\nwhile True: signal.pause()",
	"slow": (
		"import signal, sys, time\n"
		"signal.signal(15, lambda *_: (time.sleep(0.4), sys.exit(0)))\n"
		"print('ready', flush=True)\n"
		"signal.pause()"
	),
	"crashes": "import sys; sys.exit('no database')",
	"ends": "import time; time.sleep(0.3)",
	"talks": (
		"import signal, sys\n"
		"sys.stderr.write('x' * 9000 + chr(27) + '[31mthe last line' + chr(27) + '[0m' + chr(7))\n"
		"sys.stderr.flush()\n"
		"signal.pause()"
	),
	"umlauts": (
		"import signal, sys\n"
		"sys.stderr.buffer.write(b'x' + '\u00fc'.encode() * 9000 + b'end')\n"
		"sys.stderr.flush()\n"
		"signal.pause()"
	),
}

#: Starts the words that follow in a session of their own, tells their pid, and ends at once: PID 1 adopts them.
LAUNCHER = """
import subprocess, sys
print(subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid, flush=True)
"""


def free_port() -> int:
	with socket.create_server(("127.0.0.1", 0)) as server:
		return server.getsockname()[1]


def refusing_port(case: unittest.TestCase) -> int:
	"""Where nobody listens, and nobody else can begin to while the test runs."""
	taken = socket.socket()
	case.addCleanup(taken.close)
	taken.bind(("127.0.0.1", 0))
	return taken.getsockname()[1]


def short_folder(case: unittest.TestCase | type[unittest.TestCase]) -> Path:
	"""A folder that other users may enter, with a path short enough for a unix socket (108 bytes)."""
	folder = Path(tempfile.mkdtemp(prefix="fmx", dir="/tmp"))
	folder.chmod(0o755)
	clean_up = case.addClassCleanup if isinstance(case, type) else case.addCleanup
	clean_up(shutil.rmtree, folder, ignore_errors=True)
	return folder


def make_bench(folder: Path) -> Path:
	"""Just enough for the adapters: the folders, and a bench program that does what its last word says."""
	for name in ("sites", "apps", "logs", "config", "env/bin"):
		(folder / name).mkdir(parents=True)
	script = folder / "env/bin/bench"
	script.write_text(f"#!{sys.executable}\nimport sys\nexec({json.dumps(BEHAVIOUR)}[sys.argv[-1]])\n")
	script.chmod(0o755)
	shutil.copy(script, folder / "env/bin/gunicorn")
	return folder


def worker_in_terminal(case: unittest.TestCase, bench: Path) -> subprocess.Popen:
	"""One that someone started by hand in make_bench's folder; it has begun."""
	words = [bench / "env/bin/bench", "worker", "waits"]
	process = subprocess.Popen(words, cwd=bench / "sites", stdout=subprocess.PIPE)
	case.addCleanup(process.communicate)
	case.addCleanup(process.kill)
	process.stdout.readline()
	return process


class Supervisord:
	"""A supervisord in a folder of its own. `server` is the text of its [..._http_server] section."""

	popen = Forked

	def __init__(self, folder: Path, programs: str, *, server: str = "", url: str = "") -> None:
		self.folder, self.socket = folder, folder / "supervisor.sock"
		self.url = url or f"unix://{self.socket}"
		self.config = folder / "supervisord.conf"
		server = server or f"[unix_http_server]\nfile = {self.socket}\n"
		self.config.write_text(
			f"{server}\n[supervisord]\nlogfile = {folder}/supervisord.log\npidfile = {folder}/supervisord.pid\n"
			f"childlogdir = {folder}\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = "
			f"supervisor.rpcinterface:make_main_rpcinterface\n{programs}"
		)
		self._process: subprocess.Popen | None = None

	@property
	def address(self) -> Address:
		return Address(self.url)

	def start(self, address: Address | None = None) -> None:
		"""Returns when it answers."""
		command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(self.config)]
		self._process = self.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
		processes = SupervisorProcesses(address or self.address, str(self.folder))
		with closing(processes):
			eventually(lambda: self._answers(processes), "supervisord answers")

	def stop(self) -> None:
		"""With all its programs, at once: none of them needs its peace."""
		if self._process is None:
			return
		children = psutil.Process(self._process.pid).children(recursive=True)
		self._process.kill()
		self._process.communicate()
		self._process = None
		for child in children:
			with suppress(psutil.NoSuchProcess):
				child.kill()
		self.socket.unlink(missing_ok=True)

	def kill_alone(self) -> list[psutil.Process]:
		"""As the OOM killer does: its programs live on. Returns them, for whoever has to end them."""
		children = psutil.Process(self._process.pid).children()
		self._process.kill()
		self._process.communicate()
		self._process = None
		return children

	def _answers(self, processes: SupervisorProcesses) -> bool:
		if self._process.poll() is not None:
			raise AssertionError(f"supervisord ended: {self._process.communicate()[1]}")
		try:
			processes.list()
		except ProcessFault:
			return False
		return True


class ShownSupervisord(Supervisord):
	"""One that others find by its command line."""

	popen = subprocess.Popen


def program(name: str, command: str, *, folder: Path | None = None, **settings: object) -> str:
	"""One [program:x] section. Each keeps its logs in supervisor's own folder unless told otherwise."""
	lines = [f"[program:{name}]", f"command = {command}", f"directory = {folder}" if folder else ""]
	return "\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items())]) + "\n"


def group(name: str, *programs: str) -> str:
	return f"[group:{name}]\nprograms = {','.join(programs)}\n"
