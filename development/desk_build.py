"""What Desk needs from Node: the realtime server, and assets built from Frappe's sources."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from development.description import ROOT, Bench
from development.progress import Progress
from development.running import run_logged

HERE = Path(__file__).parent
NPM_ENVIRONMENT = {"npm_config_cache": str(ROOT / "cache" / "npm"), "npm_config_update_notifier": "false"}


def ensure_realtime(bench: Bench, progress: Progress, log: Path) -> None:
	"""Frappe from PyPI lacks its realtime server: put ours where Frappe's own would be."""
	app = bench.apps_path / "frappe"
	if bench.frappe:
		return
	folder = app / "realtime"
	if not (folder / "node_modules").exists():
		progress.say("realtime: socket.io from npm")
		install_node_packages(HERE / "realtime", folder, log)
	shutil.copy(HERE / "realtime" / "server.js", folder / "server.js")
	(app / "socketio.js").write_text('require("./realtime/server.js");\n')


def ensure_desk(bench: Bench, progress: Progress, log: Path) -> None:
	"""Build the bundles of those apps whose public files changed since the last build."""
	apps = [app for app in installed_apps(bench) if fingerprint(bench, app) != read_stamp(bench, app)]
	if not apps:
		return
	frappe = bench.apps_path / "frappe"
	if not (frappe / "node_modules").exists():
		progress.say("Desk: packages from npm")
		install_node_packages(HERE / "desk", frappe, log)
	progress.say(f"Desk: building the assets of {', '.join(apps)}")
	run_logged(["node", HERE / "desk" / "build.mjs", bench.path, *apps], log, env=bench.environment)
	for app in apps:
		stamp(bench, app).write_text(fingerprint(bench, app))


def installed_apps(bench: Bench) -> list[str]:
	return (bench.sites_path / "apps.txt").read_text().split()


def fingerprint(bench: Bench, app: str) -> str:
	"""Changes whenever a file is added to, removed from or changed in what the app's bundles are made of."""
	public = bench.apps_path / app / app / "public"
	files = (
		f"{path.relative_to(public)} {path.stat().st_mtime_ns}"
		for path in sorted(public.rglob("*"))
		if path.is_file() and not {"dist", "node_modules"} & set(path.relative_to(public).parts)
	)
	return hashlib.sha256("\n".join(files).encode()).hexdigest()


def stamp(bench: Bench, app: str) -> Path:
	return bench.sites_path / "assets" / f".{app}-built"


def read_stamp(bench: Bench, app: str) -> str:
	return stamp(bench, app).read_text() if stamp(bench, app).exists() else ""


def install_node_packages(source: Path, folder: Path, log: Path) -> None:
	"""`npm ci` in the folder, by the package.json and lock file of the source."""
	folder.mkdir(parents=True, exist_ok=True)
	for name in ("package.json", "package-lock.json"):
		shutil.copy(source / name, folder / name)
	run_logged(
		["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
		log,
		cwd=folder,
		env={**os.environ, **NPM_ENVIRONMENT},
	)
