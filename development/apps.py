"""The apps of a bench and the Python environment they share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from development import frappe_checkout, pypi_frappe
from development.description import BENCH_FOLDERS, CHECKOUT, OUR_APPS, Bench, is_ours_to_change
from development.interpreter import interpreter
from development.progress import Progress
from development.running import run_logged
from development.state import write_atomically
from development.tools import UV, uv_environment

#: What bench takes for a Frappe app, one folder below the app's root.
APP_FILES = ("hooks.py", "modules.txt", "patches.txt")
#: Of our own app, what its installation reads.
BUILD_FILES = ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "license.txt")
#: An app's folder on Python's path, instead of a module that looks for it: that costs 20 ms at each start of Python.
PLAIN_PATH = ("--config-setting", "editable_mode=compat")


def ensure_frappe_source(bench: Bench, progress: Progress, log: Path) -> None:
	"""Frappe in apps/frappe."""
	app = bench.apps_path / "frappe"
	for folder in BENCH_FOLDERS:
		(bench.path / folder).mkdir(parents=True, exist_ok=True)
	if not app.exists():
		fetch_frappe(bench, app, progress, log)


def ensure_frappe(bench: Bench, progress: Progress, log: Path) -> None:
	"""Frappe installed with its own pins. Several minutes with an empty cache."""
	app = bench.apps_path / "frappe"
	installed = bench.path / "env" / "frappe-installed"
	if installed.exists():
		return
	progress.say("Frappe: its Python environment")
	make_environment(bench, log)
	options = frappe_checkout.stand_ins(app, bench.private_path, progress) if bench.frappe else []
	# setuptools 80 and later come without pkg_resources, which Frappe's older dependencies import
	# Frappe 16 imports packaging, and has it from the gunicorn of its git host alone, in whose place another may be taken
	install(bench, ["--editable", app, "setuptools<80", "packaging", *options], log)
	installed.touch()


def fetch_frappe(bench: Bench, app: Path, progress: Progress, log: Path) -> None:
	if bench.frappe:
		frappe_checkout.fetch_frappe(bench.frappe, app, progress, log)
	else:
		pypi_frappe.build_frappe(app, progress, log)


def make_environment(bench: Bench, log: Path) -> None:
	"""With an interpreter of this machine that Frappe's own version range allows, interpreter() first."""
	wanted = frappe_checkout.required_python(bench.apps_path / "frappe")
	command = [UV, "venv", "--seed", "--allow-existing", "--python", wanted, bench.path / "env"]
	search = os.pathsep.join([str(Path(interpreter()).parent), os.environ.get("PATH", os.defpath)])
	run_logged(command, log, env={**uv_environment(), "PATH": search})


def install(bench: Bench, arguments: list, log: Path) -> None:
	run_logged([UV, "pip", "install", "--python", bench.python, *arguments], log, env=uv_environment())


def ensure_our_apps(bench: Bench, progress: Progress, log: Path) -> bool:
	"""Link and install those of our apps that are there, and list all apps for Frappe. True when one was installed."""
	new = [
		name
		for name, source in OUR_APPS.items()
		if is_app(source, name) and ensure_app(bench, name, source, progress, log)
	]
	names = ["frappe", *(name for name in OUR_APPS if (bench.apps_path / name).exists())]
	write_atomically(bench.sites_path / "apps.txt", "\n".join(names) + "\n")
	return bool(new)


def is_app(source: Path, name: str) -> bool:
	has_build = any((source / file).exists() for file in ("setup.py", "pyproject.toml"))
	return has_build and all((source / name / file).exists() for file in APP_FILES)


def put_app(source: Path, place: Path) -> None:
	"""
	As a link. Where the checkout is another user's, as a folder of links: what says how it is installed is written beside
	its package. Tests change the other one, so that is copied then.
	"""
	if is_ours_to_change(source):
		place.symlink_to(source)
	elif source == CHECKOUT:
		place.mkdir()
		for name in (*BUILD_FILES, place.name):
			(place / name).symlink_to(source / name)
	else:
		shutil.copytree(source, place, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))


def ensure_app(bench: Bench, name: str, source: Path, progress: Progress, log: Path) -> bool:
	"""Install the app in place, again whenever what it asks for has changed."""
	link = bench.apps_path / name
	if not link.exists():
		put_app(source, link)
	source = link.resolve()  # a bench may have a copy of its own
	stamp = bench.path / "env" / f"{name}-installed"
	requirements = source / "requirements.txt"
	wanted = "".join(
		file.read_text()
		for file in (requirements, source / "setup.py", source / "pyproject.toml")
		if file.exists()
	)
	if stamp.exists() and stamp.read_text() == wanted:
		return False
	progress.say(f"app: {name}")
	# not its dependencies as declared: Frappe's pins stay as they are, and uv would look only at one package's
	install(bench, ["--no-deps", *PLAIN_PATH, "--editable", source], log)
	if requirements.exists():
		install(bench, ["--requirements", requirements], log)
	stamp.write_text(wanted)
	return True
