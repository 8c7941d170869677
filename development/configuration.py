"""The files a bench and its supervisord read. Those that bench itself can write, bench writes."""

from __future__ import annotations

import json
from pathlib import Path

from development.database import database_program
from development.description import Bench
from development.nginx import GROUP as NGINX
from development.nginx import nginx_program
from development.running import run_logged
from development.state import write_atomically

SUPERVISORD = """\
; Private to this bench. Written by development/bench at every start.
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={private}/logs/supervisord.log
logfile_maxbytes=10MB
pidfile={private}/supervisord.pid
childlogdir={private}/logs
directory={private}
nodaemon=false
user={user}
environment=NODE_OPTIONS="--require {localhost_names}"

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket}

; Like conf.d in production: `up` puts the bench's own configuration here when its database runs.
[include]
files={private}/programs/*.conf
"""


def write_bench_configuration(bench: Bench, log: Path) -> None:
	"""What Frappe, Redis and supervisor read. Keys a developer added to the site config stay."""
	write_site_config(bench)
	run_logged([bench.tools / "bench", "setup", "redis"], log, cwd=bench.path, env=bench.environment)
	supervisor = [bench.tools / "bench", "setup", "supervisor", "--yes", "--user", bench.user]
	run_logged(supervisor, log, cwd=bench.path, env=bench.environment)


def write_site_config(bench: Bench) -> None:
	path = bench.sites_path / "common_site_config.json"
	config = json.loads(path.read_text()) if path.exists() else {}
	config.setdefault(
		"fmx_restart_control_sites", [bench.site]
	)  # of several sites none commands the bench unless named
	config.update(
		{
			"background_workers": bench.background_workers,
			"db_host": "127.0.0.1",
			"db_port": bench.ports.database,
			"default_site": bench.site,
			"developer_mode": 1,
			"dns_multitenant": True,
			"fmx_restart_supervisor_url": bench.supervisor_url,
			"frappe_user": bench.user,
			"gunicorn_workers": 2,
			"live_reload": False,
			"max_file_size": 25 * 1024 * 1024,  # as newer Frappes have it by default; 10 MB here
			"redis_cache": bench.redis_cache_url,
			"redis_queue": bench.redis_queue_url,
			"redis_socketio": bench.redis_cache_url,
			"serve_default_site": True,
			"shallow_clone": True,
			"socketio_port": bench.ports.socketio,
			"use_redis_auth": False,
			"webserver_port": bench.ports.web,
		}
	)
	write_atomically(path, json.dumps(config, indent=1, sort_keys=True) + "\n")


def write_supervisord_configuration(bench: Bench) -> None:
	"""supervisord's own file, with the database as its only program so far."""
	programs = bench.private_path / "programs"
	programs.mkdir(parents=True, exist_ok=True)
	bench.log_path.mkdir(exist_ok=True)
	for leftover in programs.iterdir():
		leftover.unlink()
	main = SUPERVISORD.format(
		socket=bench.supervisor_socket,
		private=bench.private_path,
		user=bench.user,
		localhost_names=Path(__file__).with_name("localhost_names.js"),
	)
	write_atomically(bench.supervisor_config, main)
	write_atomically(programs / "development-database.conf", database_program(bench))


def include_bench(bench: Bench) -> None:
	"""Link the bench's generated configuration into supervisord's, and add nginx."""
	programs = bench.private_path / "programs"
	link = programs / f"{bench.name}.conf"
	if not link.is_symlink():
		link.symlink_to(bench.path / "config" / "supervisor.conf")
	write_atomically(programs / f"{NGINX}.conf", nginx_program(bench))
