"""The bench's own MariaDB: a data folder, a port and a socket that nothing else on the machine knows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from development.description import Bench
from development.progress import Progress
from development.running import run_logged
from development.system_packages import find_program

PROGRAM = """\
[program:mariadb]
command={mariadbd} --defaults-file={private}/mariadb.cnf
priority=0
autorestart=true
; a clean shutdown writes its buffers; killing it earlier makes the next start slow
stopwaitsecs=60
redirect_stderr=true
stdout_logfile={private}/logs/mariadb.log

[group:development-database]
programs=mariadb
"""

# --user: it refuses root as long as nobody says so
SETTINGS = """\
[mariadbd]
user={user}
datadir={private}/mariadb
# a server that starts deletes all temporary tables there, whoever made them
tmpdir={private}/tmp
socket={sockets}/mariadb.sock
pid-file={private}/mariadb.pid
bind-address=127.0.0.1
port={port}
skip-name-resolve
character-set-server=utf8mb4
collation-server=utf8mb4_unicode_ci
innodb_buffer_pool_size=128M
innodb_log_file_size=32M
# what a power cut does to a development database is no reason to wait for the disk
innodb_flush_log_at_trx_commit=2
innodb_flush_method=nosync
innodb_doublewrite=OFF
performance_schema=off
max_connections=200
"""


def database_program(bench: Bench) -> str:
	return PROGRAM.format(mariadbd=find_program("mariadbd"), private=bench.private_path)


def write_database_settings(bench: Bench) -> None:
	settings = SETTINGS.format(
		user=bench.user, private=bench.private_path, sockets=bench.sockets, port=bench.ports.database
	)
	(bench.private_path / "mariadb.cnf").write_text(settings)
	temporary_folder(bench)


def temporary_folder(bench: Bench) -> Path:
	folder = bench.private_path / "tmp"
	folder.mkdir(exist_ok=True)
	return folder


def sql_command(bench: Bench, program: str) -> list[str]:
	"""`program` (mysql, mysqldump) as the administrator of this bench's server."""
	login = ["--no-defaults", "--user=root", f"--password={bench.database_root_password}"]
	return [find_program(program) or program, *login, f"--socket={bench.sockets}/mariadb.sock"]


def run_sql(bench: Bench, statements: str) -> None:
	"""Raises CalledProcessError when the server refuses one."""
	subprocess.run([*sql_command(bench, "mysql"), f"--execute={statements}"], check=True)


def ensure_data_folder(bench: Bench, progress: Progress, log: Path) -> None:
	data = bench.private_path / "mariadb"
	if data.exists():
		return
	progress.say("database: a new data folder")
	unfinished = data.with_name("mariadb.new")
	shutil.rmtree(unfinished, ignore_errors=True)
	command = [
		find_program("mariadb-install-db"),
		"--no-defaults",
		f"--datadir={unfinished}",
		f"--tmpdir={temporary_folder(bench)}",
		f"--user={bench.user}",
		"--auth-root-authentication-method=normal",
		"--skip-test-db",
	]
	run_logged(command, log)
	set_root_password(bench, unfinished, log)
	unfinished.rename(data)


def set_root_password(bench: Bench, data: Path, log: Path) -> None:
	"""Done before anybody can connect. Anonymous users go: one of them would shadow the site's own on localhost."""
	statements = [
		"FLUSH PRIVILEGES;",
		"DELETE FROM mysql.global_priv WHERE User = '' OR Host NOT IN ('localhost', '127.0.0.1');",
		"FLUSH PRIVILEGES;",
		f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{bench.database_root_password}';",
		f"ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '{bench.database_root_password}';",
	]
	command = [find_program("mariadbd"), "--no-defaults", "--bootstrap"]
	command += [f"--datadir={data}", f"--tmpdir={temporary_folder(bench)}", f"--user={bench.user}"]
	run_logged(command, log, input_text="\n".join(statements) + "\n")
