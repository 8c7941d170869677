"""A supervisord of its own, with worker programs as bench configures them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from development.errors import CommandFailed
from development.running import wait_until

CONFIGURATION = """\
[supervisord]
nodaemon = true
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
[unix_http_server]
file = {socket}
[supervisorctl]
serverurl = unix://{socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
#: As bench writes it for workers of short jobs
PROGRAM = """\
[program:{name}]
command = {command}
directory = {cwd}
environment = {environment}
autostart = true
autorestart = true
redirect_stderr = true
stdout_logfile = {cwd}/worker.log
stopwaitsecs = 360
killasgroup = true
numprocs = {count}
process_name = %(program_name)s-%(process_num)d
"""


class Supervisor:
	"""`folder`: its own; a socket's path is short, so that of `sockets` has to be."""

	def __init__(self, folder: Path, sockets: Path) -> None:
		self.folder, self.socket = folder, sockets / "supervisor.sock"
		self._configuration = folder / "supervisord.conf"
		self._process: subprocess.Popen | None = None

	def up(self, name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str], count: int) -> None:
		"""`count` processes of one program. Returns when supervisord answers."""
		variables = ",".join(f'{key}="{value}"' for key, value in env.items())
		words = " ".join(f'"{word}"' if '"' not in word else f"'{word}'" for word in command)
		program = PROGRAM.format(name=name, command=words, cwd=cwd, environment=variables, count=count)
		head = CONFIGURATION.format(folder=self.folder, socket=self.socket)
		self._configuration.write_text(head + program)
		module = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._configuration)]
		with (self.folder / "console.log").open("w") as log:
			self._process = subprocess.Popen(module, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
		wait_until(self.socket.exists, "supervisord answers", timeout=30, poll=0.05)

	def supervisorctl(self, *words: str) -> str:
		"""What it says. Raises CommandFailed."""
		command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self._configuration), *words]
		done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
		if done.returncode:
			raise CommandFailed(f"supervisorctl {words[0]}: {done.stdout}{done.stderr}")
		return done.stdout

	def down(self) -> None:
		"""Returns when its programs have ended, and it has."""
		if self._process:
			self._process.terminate()
			try:
				self._process.wait(60)
			finally:
				self._process.kill()
