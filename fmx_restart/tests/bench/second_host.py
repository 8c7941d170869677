"""A second host for the development bench: a supervisord behind a password, and its workers, under a host name of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from xmlrpc.client import Fault, ServerProxy

from fmx_restart.tests.adapters.benches import free_port, program
from fmx_restart.tests.adapters.waiting import eventually

if TYPE_CHECKING:
	from development.description import Bench

USER, PASSWORD = "fmx", "secret-of-the-second-host"
READY = 90.0  # seconds for workers to boot on a busy machine
NAMED = 'hostname "$1" && shift && exec "$@"'
UNSHARE = ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", NAMED, "sh"]


def can_have_second_host() -> bool:
	"""Whether this user may give a process another host name."""
	return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "hostname")))


@contextmanager
def second_host(bench: Bench, folder: Path, name: str = "app2", **commands: str) -> Iterator[None]:
	"""
	`commands`: each `program="worker --queue x"`, as bench is told. Inside the block all of them run, and the bench's setting
	names their manager. It has pids of its own, and the network of this machine, as Redis is there.
	"""
	if not can_have_second_host():
		raise unittest.SkipTest("this user may not give a process another host name")
	port = free_port()
	config = folder / "second-host.conf"
	config.write_text(configuration(bench, folder, port, commands))
	command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(config)]
	supervisord = subprocess.Popen(
		[*UNSHARE, name, *command],
		env=bench.environment,
		stdout=subprocess.DEVNULL,
		stderr=subprocess.DEVNULL,
	)
	url = f"http://127.0.0.1:{port}"
	rpc = ServerProxy(url.replace("//", f"//{USER}:{PASSWORD}@"))
	try:
		eventually(lambda: are_up(rpc, commands), f"the workers of {name} run", deadline=READY)
		entry = {
			"kind": "supervisor",
			"url": url,
			"name": name,
			"host": name,
			"user": USER,
			"password": PASSWORD,
		}
		with setting(bench, fmx_restart_managers=[entry]):
			yield
	finally:
		with suppress(OSError, Fault):
			rpc.supervisor.shutdown()  # its workers leave Redis first
		try:
			supervisord.wait(READY)
		finally:
			supervisord.kill()  # and, with it, all of that host
			supervisord.wait()


def configuration(bench: Bench, folder: Path, port: int, commands: dict[str, str]) -> str:
	"""Of that supervisord."""
	head = (
		f"[inet_http_server]\nport = 127.0.0.1:{port}\nusername = {USER}\npassword = {PASSWORD}\n"
		f"[supervisord]\nlogfile = {folder}/supervisord.log\npidfile = {folder}/supervisord.pid\nchildlogdir = {folder}\n"
		"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
	)
	return head + "".join(
		program(name, f"{bench.tools}/bench {command}", folder=bench.path, startsecs=1, stopwaitsecs=60)
		for name, command in commands.items()
	)


def are_up(rpc: ServerProxy, commands: dict[str, str]) -> bool:
	"""Whether all of them run; False also while supervisord does not answer yet."""
	try:
		infos = rpc.supervisor.getAllProcessInfo()
	except OSError:
		return False
	return len(infos) == len(commands) and all(info["statename"] == "RUNNING" for info in infos)


@contextmanager
def setting(bench: Bench, **settings) -> Iterator[None]:
	"""In common_site_config.json. Afterwards the file is as it was, to the byte."""
	from development.state import write_atomically

	path = bench.sites_path / "common_site_config.json"
	found = path.read_text()
	write_atomically(path, json.dumps({**json.loads(found), **settings}, indent=1))
	try:
		yield
	finally:
		write_atomically(path, found)
