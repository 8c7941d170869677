"""A real nginx in front of a test's web server, with a configuration of the shape that bench writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest
from pathlib import Path

import fmx_restart
from fmx_restart.tests.adapters.benches import free_port
from fmx_restart.tests.adapters.test_web import is_listening
from fmx_restart.tests.adapters.waiting import eventually

#: The development bench's, and the system's
PLACES = (Path(fmx_restart.__file__).parents[1] / ".development" / "bin", "/usr/sbin", "/usr/local/sbin")
NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, PLACES)]))

SERVER = """
# setup maps
map $host $site_name_ab12 {{
	shop.example {site};
	default $host;
}}

upstream bench-frappe {{
	server 127.0.0.1:{web} fail_timeout=0;
}}

server {{
	listen 127.0.0.1:{port}{ssl};
	server_name
		other.localhost
		{site}
		;
	{certificate}
	location / {{
		rewrite ^(.+)/$ $1 permanent;
		location ~* ^/files/.*.(htm|html|svg|xml) {{
			add_header Content-disposition "attachment; {{";
			return 404;
		}}
		try_files /$host/public/$uri @webserver;
	}}
	location @webserver {{
		proxy_http_version 1.1;
		proxy_set_header X-Frappe-Site-Name $site_name_ab12;
		proxy_set_header Host $host;
		proxy_pass http://bench-frappe;
	}}
}}
"""
REDIRECT = """
# http to https redirect
server {{
	listen {port};
	server_name {site};
	return 301 https://$host$request_uri;
}}
"""
MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 64; }}
http {{
	access_log off;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	include {included};
}}
"""


def bench_configuration(port: int, web: int, site: str, *, ssl_in: Path | None = None) -> str:
	"""`ssl_in`: a folder with a certificate; then the server is encrypted, and another one only redirects to it."""
	certificate = ""
	if ssl_in:
		certificate = f"ssl_certificate {ssl_in}/cert.pem; ssl_certificate_key {ssl_in}/key.pem; ssl_ecdh_curve secp384r1;"
	text = SERVER.format(port=port, web=web, site=site, ssl=" ssl" if ssl_in else "", certificate=certificate)
	return text + (REDIRECT.format(port=free_port(), site=site) if ssl_in else "")


def make_certificate(folder: Path) -> None:
	words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=one.localhost"]
	words += ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
	subprocess.run(words, check=True, capture_output=True)


def main_configuration(folder: Path, included: Path) -> Path:
	"""nginx's own file, which includes the bench's."""
	user = "user root;" if os.geteuid() == 0 else ""
	file = folder / "nginx.conf"
	file.write_text(MAIN.format(folder=folder, included=included, user=user))
	return file


def start_nginx(test: unittest.TestCase, folder: Path, main: Path, sockets: int = 1) -> subprocess.Popen:
	"""Returns when it listens."""
	words = [NGINX, "-p", str(folder), "-c", str(main), "-e", f"{folder}/error.log"]
	process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
	test.addCleanup(process.wait)
	test.addCleanup(process.terminate)
	eventually(lambda: is_listening(process.pid, sockets) or process.poll() is not None, "it listens")
	test.assertIsNone(process.poll(), Path(folder, "error.log").read_text())
	return process
