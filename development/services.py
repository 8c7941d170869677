"""Start and stop what runs: supervisord first, then the database, Redis, the workers, the web."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from xmlrpc.client import Fault

from development.configuration import include_bench
from development.database import sql_command
from development.description import Bench
from development.errors import NotReady
from development.nginx import GROUP as NGINX
from development.nginx import is_nginx_of
from development.processes import (
	Process,
	command_line,
	end_all,
	environment,
	find_all,
	find_process,
	with_descendants,
)
from development.progress import Progress
from development.running import run_logged, wait_until
from development.state import write_atomically
from development.supervisor_client import supervisor

#: supervisor's fault for a group that was added before.
ALREADY_ADDED = 90
#: Seconds that jobs get to end when the bench goes down.
GRACE = 10.0
#: Seconds for anything to get ready; this machine may be busy.
PATIENCE = 90.0
#: Seconds for an answer of Redis.
REDIS_PATIENCE = 10.0


def running_supervisord(bench: Bench) -> Process | None:
	"""The supervisord we started for this bench, if it still runs and its command line is the one we gave."""
	note = bench.private_path / "supervisord.json"
	if not note.exists():
		return None
	process = Process(**json.loads(note.read_text()))
	return process if process.is_alive and is_our_supervisord(bench, process.pid) else None


def is_our_supervisord(bench: Bench, pid: int) -> bool:
	return {str(bench.tools / "supervisord"), str(bench.supervisor_config)} <= set(command_line(pid))


def start_supervisord(bench: Bench, progress: Progress, log: Path) -> None:
	progress.say("supervisord, the database and Redis")
	run_logged([bench.tools / "supervisord", "-c", bench.supervisor_config], log, env=bench.environment)
	wait_until(
		lambda: has_noted_supervisord(bench),
		"supervisord runs",
		timeout=PATIENCE,
		log=bench.log_path / "supervisord.log",
	)
	wait_until(
		lambda: answers_sql(bench),
		"the database answers",
		timeout=PATIENCE,
		log=bench.log_path / "mariadb.log",
	)


def has_noted_supervisord(bench: Bench) -> bool:
	"""Find it by its pid file, which may be one that a crash left, and note which process it is."""
	pidfile = bench.private_path / "supervisord.pid"
	pid = int(pidfile.read_text() or 0) if pidfile.exists() else 0
	process = find_process(pid)
	if process is None or not is_our_supervisord(bench, pid):
		return False
	write_atomically(bench.private_path / "supervisord.json", json.dumps(asdict(process)))
	return True


def answers_sql(bench: Bench) -> bool:
	command = [*sql_command(bench, "mysql"), "--execute=SELECT 1"]
	return subprocess.run(command, capture_output=True).returncode == 0


def start_redis(bench: Bench) -> None:
	include_bench(bench)
	add_group(bench, f"{bench.name}-redis")
	for port in bench.redis_ports:
		wait_until(lambda port=port: redis(port, "PING") == ["PONG"], "Redis answers", timeout=PATIENCE)


def start_workers_and_web(bench: Bench) -> None:
	"""Also what someone, or a benchmark that was broken off, had stopped."""
	for group in upper_groups(bench):
		add_group(bench, group)
	bench.supervisorctl("start", *(f"{group}:*" for group in upper_groups(bench)))


def restart_workers_and_web(bench: Bench, progress: Progress, log: Path) -> None:
	progress.say("restarting workers and web: an app is new to them")
	groups = [f"{group}:*" for group in upper_groups(bench)]
	run_logged([bench.tools / "supervisorctl", "-c", bench.supervisor_config, "restart", *groups], log)


def wait_until_ready(bench: Bench) -> None:
	worker_log, web_log = (bench.path / "logs" / name for name in ("worker.error.log", "web.error.log"))
	wait_until(
		lambda: workers_are_registered(bench), "workers are registered", timeout=PATIENCE, log=worker_log
	)
	wait_until(lambda: answers_ping(bench), "web answers ping", timeout=PATIENCE, log=web_log)
	wait_until(
		lambda: answers_ping(bench, bench.ports.front),
		"nginx passes a ping on",
		timeout=PATIENCE,
		log=bench.log_path / "nginx.error.log",
	)


def add_group(bench: Bench, group: str) -> None:
	"""Tell supervisord of a group in its configuration, and so start it."""
	rpc = supervisor(bench.supervisor_socket)
	rpc.reloadConfig()
	try:
		rpc.addProcessGroup(group)
	except Fault as fault:
		if fault.faultCode != ALREADY_ADDED:
			raise


def process_info(bench: Bench) -> list[dict]:
	"""supervisor's own account of each process: group, name, statename, pid, start, …"""
	return supervisor(bench.supervisor_socket).getAllProcessInfo()


def workers_are_registered(bench: Bench) -> bool:
	"""Every worker that supervisor runs has told Redis that it is there."""
	group = f"{bench.name}-workers"
	workers = [info for info in process_info(bench) if info["group"] == group and "-worker" in info["name"]]
	keys = redis(bench.ports.redis_queue, "SMEMBERS", "rq:workers")
	pids = {int(pid) for key in keys for pid in redis(bench.ports.redis_queue, "HGET", key, "pid") if pid}
	return all(info["pid"] in pids for info in workers)


def redis(port: int, *command: str) -> list[str]:
	"""
	The words of the answer, and none where Redis is away. Over a socket of our own: tests ask many times a second, and a
	process for each question would take a third of the machine.
	"""
	sent = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
	try:
		with socket.create_connection(("127.0.0.1", port), timeout=REDIS_PATIENCE) as connection:
			connection.sendall(b"*%d\r\n%s" % (len(command), sent))
			with connection.makefile("rb") as answers:
				return " ".join(reply(answers)).split()
	except OSError:
		return []


def reply(answers: BinaryIO) -> Iterator[str]:
	"""One answer in Redis' protocol, flat; what is missing is left out."""
	line = answers.readline().decode()
	kind, rest = line[:1], line[1:].strip()
	if kind == "*":
		for _ in range(int(rest)):
			yield from reply(answers)
	elif kind == "$" and int(rest) >= 0:
		yield answers.read(int(rest) + 2).decode(errors="replace").strip()
	elif kind in ("+", ":", "-"):
		yield rest


def answers_ping(bench: Bench, port: int | None = None) -> bool:
	"""`port`: gunicorn's own where none is named."""
	url = f"http://127.0.0.1:{port or bench.ports.web}/api/method/ping"
	request = urllib.request.Request(url, headers={"Host": bench.site})
	try:
		with urllib.request.urlopen(request, timeout=30) as answer:
			return json.load(answer) == {"message": "pong"}
	except (urllib.error.URLError, OSError, ValueError, HTTPException):
		return False


def stop_everything(bench: Bench, progress: Progress) -> None:
	"""Stop supervisord and all below it: workers and web first, the database last. A job gets GRACE seconds."""
	process = running_supervisord(bench)
	if process:
		stop_supervisord(bench, process, progress)
	end_leftovers(bench, progress)


def end_leftovers(bench: Bench, progress: Progress) -> None:
	"""End what outlived its supervisord: everything after a crash, or a job whose worker was killed."""
	left = find_all(lambda pid: is_our_supervisord(bench, pid) or is_below_our_supervisord(bench, pid))
	if left:
		progress.say(f"ending {len(left)} processes that an earlier run left")
		for process in left:
			process.send(signal.SIGTERM)
		end_within(GRACE, left)


def is_below_our_supervisord(bench: Bench, pid: int) -> bool:
	"""supervisord tells all it starts where it listens, and that place is ours alone. Redis writes over what it was told."""
	if f"SUPERVISOR_SERVER_URL={bench.supervisor_url}" in environment(pid) or is_nginx_of(bench, pid):
		return True
	titles = {f"{bench.root}/bin/redis-server 127.0.0.1:{port}" for port in bench.redis_ports}
	return any(part.strip() in titles for part in command_line(pid))


def stop_supervisord(bench: Bench, process: Process, progress: Progress) -> None:
	progress.say("stopping workers and web")
	family = with_descendants(process)
	end_within(GRACE, stop_groups(bench, upper_groups(bench)))
	progress.say("stopping Redis, the database and supervisord")
	process.send(signal.SIGTERM)
	end_within(PATIENCE, family)


def upper_groups(bench: Bench) -> tuple[str, ...]:
	"""What needs Redis and the database below it."""
	return f"{bench.name}-workers", f"{bench.name}-web", NGINX


def stop_groups(bench: Bench, groups: tuple[str, ...]) -> list[Process]:
	"""Ask supervisord to stop the groups, without waiting. Returns their processes, the jobs' own included."""
	try:
		known = [info for info in process_info(bench) if info["group"] in groups]
		mains = [process for info in known if (process := find_process(info["pid"]))]
		family = [member for main in mains for member in with_descendants(main)]
		for group in {info["group"] for info in known}:
			supervisor(bench.supervisor_socket).stopProcessGroup(group, False)
	except (Fault, OSError, NotReady):
		return []  # it does not listen; everything below it is ended by pid afterwards
	return family


def end_within(seconds: float, processes: list[Process]) -> None:
	"""Wait for the processes to end, then kill those that did not."""
	deadline = time.monotonic() + seconds
	while any(process.is_alive for process in processes) and time.monotonic() < deadline:
		time.sleep(0.05)
	end_all(processes)
