"""What Desk needs from Node: the realtime server, and assets built from Frappe's sources."""

from __future__ import annotations

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
	pass


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
