"""
nginx in front of the bench, as in production: `bench setup nginx` writes its configuration. A file of our own includes it,
and keeps everything that nginx writes below `private/`.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from development.description import ROOT, Bench
from development.errors import CommandFailed, PackagesMissing
from development.processes import command_line
from development.progress import Progress
from development.running import run_logged
from development.state import write_atomically
from development.system_packages import find_program

GROUP = "development-nginx"
#: nginx-common holds the types of files by their endings.
PACKAGES = ("nginx", "nginx-common")
UNPACKED = ROOT / "nginx"
LINK = ROOT / "bin" / "nginx"
MIME_TYPES = Path("etc/nginx/mime.types")
PRODUCTION_PORT = re.compile(r"^(\s*listen )80;$", re.MULTILINE)
PRODUCTION_PORT_IPV6 = re.compile(r"^\s*listen \[::\]:80;\n", re.MULTILINE)

PROGRAM = """\
[program:development-nginx]
command={nginx} -p {folder} -c {folder}/nginx.conf -e {private}/logs/nginx.error.log
priority=5
autorestart=true
redirect_stderr=true
stdout_logfile={private}/logs/nginx.log

[group:development-nginx]
programs=development-nginx
"""

# as Debian's nginx.conf, apart from the places
MAIN = """\
{user}daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {private}/logs/nginx.error.log;

events {{
	worker_connections 768;
}}

http {{
	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	include {mime_types};
	default_type application/octet-stream;
	access_log {private}/logs/nginx.access.log;
	gzip on;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	include {folder}/bench.conf;
}}
"""


def ensure_nginx(progress: Progress, log: Path) -> None:
	"""
	The machine's own, or the program from Debian's package without installing that: an installed one would start a service
	at port 80.
	"""
	if LINK.exists():
		return
	found = find_program("nginx")
	if not found:
		progress.say("nginx from Debian, without its service")
		download(log)
		found = UNPACKED / "usr" / "sbin" / "nginx"
	LINK.parent.mkdir(parents=True, exist_ok=True)
	LINK.unlink(missing_ok=True)
	LINK.symlink_to(found)


def download(log: Path) -> None:
	folder = ROOT / "cache" / "debian"
	folder.mkdir(parents=True, exist_ok=True)
	command = ["apt-get", "download", *PACKAGES]
	try:
		run_logged(command, log, cwd=folder)
	except CommandFailed as failure:
		if os.geteuid() != 0:
			raise PackagesMissing(
				"nginx could not be downloaded",
				hint="either of these helps: sudo apt-get update, or install nginx",
			) from failure
		run_logged(["apt-get", "update"], log)
		run_logged(command, log, cwd=folder)
	unfinished = UNPACKED.with_name(".nginx.new")
	shutil.rmtree(unfinished, ignore_errors=True)
	for package in PACKAGES:
		newest = max(folder.glob(f"{package}_*.deb"), key=lambda file: file.stat().st_mtime)
		run_logged(["dpkg-deb", "-x", newest, unfinished], log)
	shutil.rmtree(UNPACKED, ignore_errors=True)
	unfinished.rename(UNPACKED)


def has_nginx_configuration(bench: Bench) -> bool:
	return (bench.nginx_path / "nginx.conf").exists()


def write_nginx_configuration(bench: Bench, log: Path) -> None:
	"""bench's own for the sites that there are now, at a private port."""
	command = [bench.tools / "bench", "setup", "nginx", "--yes", "--logging", "none"]
	run_logged(command, log, cwd=bench.path, env=bench.environment)
	generated = (bench.path / "config" / "nginx.conf").read_text()
	folder = bench.nginx_path
	folder.mkdir(parents=True, exist_ok=True)
	# in its own place too: an operation reads there where users come in
	moved = at_private_port(generated, bench.ports.front)
	write_atomically(bench.path / "config" / "nginx.conf", moved)
	write_atomically(folder / "bench.conf", moved)
	unpacked = UNPACKED / MIME_TYPES
	settings = {
		"folder": folder,
		"private": bench.private_path,
		"mime_types": unpacked if unpacked.exists() else Path("/", MIME_TYPES),
		# its workers would be somebody who cannot read the checkout
		"user": f"user {bench.user};\n" if os.geteuid() == 0 else "",
	}
	write_atomically(folder / "nginx.conf", MAIN.format(**settings))


def at_private_port(generated: str, port: int) -> str:
	"""Nobody outside this machine is to reach a bench whose password is known."""
	without_ipv6 = PRODUCTION_PORT_IPV6.sub("", generated)
	moved, count = PRODUCTION_PORT.subn(rf"\g<1>127.0.0.1:{port};", without_ipv6)
	if not count:
		raise CommandFailed("bench setup nginx wrote no server that listens at port 80")
	return moved


def is_nginx_of(bench: Bench, pid: int) -> bool:
	"""By its folder, which is supervisord's: nginx writes over its arguments and its environment."""
	if not "".join(command_line(pid)).startswith("nginx: "):
		return False
	with suppress(OSError):
		return Path(f"/proc/{pid}/cwd").readlink() == bench.private_path
	return False


def nginx_program(bench: Bench) -> str:
	return PROGRAM.format(nginx=LINK, folder=bench.nginx_path, private=bench.private_path)
