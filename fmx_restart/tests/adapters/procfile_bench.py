"""
A bench under a real honcho, as `bench start` runs it: web with werkzeug's reloader, workers of this app or RQ's own, a scheduler,
and something that is none of these. Its `bench` program runs what its first word says.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from fmx_restart.adapters.managers.honcho.processes import WATCHED
from fmx_restart.tests.adapters.benches import free_port, make_bench
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.worker.worker_bench import WorkerBench
from fmx_restart.worker.switch import VARIABLE

SITE = "one.localhost"
TOOLS = CHECKOUT / ".development" / "tools" / "bin"
PATH = os.pathsep.join([str(Path(sys.executable).parent), str(TOOLS), os.environ.get("PATH", "")])
HONCHO = shutil.which("honcho", path=PATH)
BENCH = f"""#!{sys.executable}
import os, sys
sys.path.insert(0, {str(CHECKOUT)!r})
os.chdir({{sites!r}})
from fmx_restart.tests.adapters.procfile_bench import run
run(*sys.argv[1:])
"""
APPLICATION = """
import time
time.sleep(0.5)
def application(environ, start_response):
	start_response("200 OK", [("Content-Type", "application/json"), ("Version", {version!r}), ("Content-Length", "19")])
	return [b'{{"message": "pong"}}']
"""


class ProcfileBench(WorkerBench):
	"""`folder`: where the bench is made. Its own jobs are those of WorkerBench."""

	def __init__(self, server, folder: Path, *, kind: str = "lossless") -> None:
		self.path, self.kind, self.port = make_bench(folder), kind, free_port()
		super().__init__(server, self.path / "sites", id="a-bench")
		script = self.path / "env/bin/bench"
		script.write_text(BENCH.format(sites=str(self.sites)))
		(self.sites / "common_site_config.json").write_text("{}")
		(self.sites / SITE).mkdir()
		(self.sites / SITE / "site_config.json").write_text("{}")
		watched = self.path / WATCHED
		watched.parent.mkdir(parents=True)
		watched.touch()
		self.honcho: subprocess.Popen | None = None

	def write_procfile(
		self, *more: str, name: str = "Procfile", web: str = "", gunicorn: str | None = None
	) -> None:
		"""`more`: further lines. `web`: options of bench serve. `gunicorn`: its options, to have it in place of that."""
		bench, url = shlex.join([sys.executable, str(self.path / "env/bin/bench")]), self.server.url()
		queues = " ".join(self.names("short", "long"))
		lines = [
			f"web: {bench} serve {self.port} {web}" if gunicorn is None else self.gunicorn_line(gunicorn),
			f"schedule: {bench} schedule {self.kind} {url} {queues}",
			f"worker: {bench} worker {self.kind} {url} {queues} 1>> logs/worker.log 2>> logs/worker.error.log",
			"watch: sleep 1000",
			*more,
		]
		(self.path / name).write_text("\n".join(lines) + "\n")

	def gunicorn_line(self, options: str) -> str:
		"""In the folder of sites, as bench starts it; `deploy` makes its application."""
		program = self.path / "env/bin/gunicorn"
		program.write_text(f"#!{sys.executable}\nfrom gunicorn.app.wsgiapp import run\nrun()\n")
		words = shlex.join([sys.executable, str(program), f"--bind=127.0.0.1:{self.port}", "--workers=2"])
		return f"web: cd sites && {words} {options} served:application"

	def deploy(self, version: str) -> None:
		"""Of what gunicorn serves: what Frappe answers to api/method/ping, and the version. It takes a moment to be imported."""
		(self.sites / "served.py").write_text(APPLICATION.format(version=version))

	def begin_honcho(self, *options: str) -> None:
		"""As `bench start` does, with what it prints in a file."""
		environment = {**os.environ, VARIABLE: "1", "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{self.sites}"}
		environment.pop("CI", None)  # frappe.app.serve has no reloader then
		with (self.path / "honcho.log").open("a") as log:
			self.honcho = subprocess.Popen(
				[HONCHO, "start", *options],
				cwd=self.path,
				env=environment,
				stdin=subprocess.DEVNULL,
				stdout=log,
				stderr=log,
			)

	def end_honcho(self) -> None:
		"""As Ctrl-C does. It kills what is left after 5 s."""
		if self.honcho and self.honcho.poll() is None:
			self.honcho.send_signal(signal.SIGINT)
			self.honcho.wait(20)

	@property
	def log(self) -> str:
		"""For whoever waits in vain."""
		return "honcho's programs are ready:\n" + (self.path / "honcho.log").read_text()


def run(command: str, *words: str) -> None:
	"""One program of the bench, in its folder of sites."""
	{"serve": serve, "worker": work, "schedule": schedule}[command](*words)


def serve(port: str, *options: str) -> None:
	"""As frappe.app.serve; what it watches is what Frappe's web has imported."""
	from werkzeug.serving import run_simple

	watched = str(Path("..", WATCHED))
	run_simple("127.0.0.1", int(port), pong, use_reloader="--noreload" not in options, extra_files=[watched])


def pong(environ: dict, start_response) -> list[bytes]:
	"""What Frappe answers to api/method/ping."""
	start_response("200 OK", [("Content-Type", "application/json")])
	return [b'{"message": "pong"}']


def work(kind: str, url: str, *queues: str) -> None:
	from fmx_restart.tests.worker import worker_bench  # as jobs name it

	worker_bench.work(kind, "{}", url, *queues)


def schedule(kind: str, url: str, *queues: str) -> None:
	"""One of this app only beside workers of this app."""
	from fmx_restart.tests.worker import worker_bench

	worker_bench.work("scheduler", '{"tick": 0.2}' if kind == "lossless" else "{}", url, *queues)
