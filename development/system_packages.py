"""
Debian packages the bench needs, chosen so that none of them brings a service of the machine to life.

`redis-tools` holds the server's binary under another name: it becomes a server when called `redis-server`.
`mariadb-server-core` is the database program without its service.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from development.description import ROOT
from development.errors import PackagesMissing
from development.progress import Progress
from development.running import run_logged

#: program → Debian package
NEEDED = {
	"redis-cli": "redis-tools",
	"mariadbd": "mariadb-server-core",
	"mariadb-install-db": "mariadb-server-core",
	"mysql": "mariadb-client-core",
	"mysqldump": "mariadb-client",
	"node": "nodejs",
	"npm": "npm",
}
#: Also needed to build the database driver of newer Frappes.
NEEDED_FOR_A_CHECKOUT = {
	"git": "git",
	"cc": "build-essential",
	"pkg-config": "pkg-config",
	"mariadb_config": "libmariadb-dev",
}
#: For the tests of Desk, and its pictures.
NEEDED_FOR_TESTS = {"chromium": "chromium"}
#: Debian keeps servers where only root's PATH looks.
SEARCH_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def find_program(name: str) -> str | None:
	return shutil.which(name, path=SEARCH_PATH)


def ensure_packages(progress: Progress, log: Path, *, for_a_checkout: bool) -> None:
	packages = missing({**NEEDED, **(NEEDED_FOR_A_CHECKOUT if for_a_checkout else {})})
	if find_spec("ensurepip") is None:
		packages.append("python3-venv")
	install(packages, progress, log)
	link_redis_server()


def ensure_redis(progress: Progress, log: Path) -> None:
	"""All that tests without a bench need of Debian."""
	install(missing({"redis-cli": NEEDED["redis-cli"]}), progress, log)
	link_redis_server()


def ensure_test_packages(progress: Progress, log: Path) -> None:
	install(missing(NEEDED_FOR_TESTS), progress, log)


def missing(needed: dict[str, str]) -> list[str]:
	return sorted({package for program, package in needed.items() if not find_program(program)})


def install(packages: list[str], progress: Progress, log: Path) -> None:
	if not packages:
		return
	command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
	if os.geteuid() != 0:
		raise PackagesMissing(
			"Debian packages are missing: " + " ".join(packages),
			hint=f"install them with: sudo {' '.join(command)}",
		)
	progress.say(f"Debian packages: {' '.join(packages)}")
	environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
	run_logged(["apt-get", "update"], log, env=environment)
	run_logged(command, log, env=environment)


def link_redis_server() -> None:
	"""Give bench a `redis-server` to find, from the binary that redis-tools ships."""
	link = ROOT / "bin" / "redis-server"
	binary = find_program("redis-server") or find_program("redis-check-rdb")
	link.parent.mkdir(parents=True, exist_ok=True)
	if binary and not link.exists():
		link.unlink(missing_ok=True)
		link.symlink_to(binary)
