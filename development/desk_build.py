"""What Desk needs from Node: the realtime server, and assets built from Frappe's sources."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from development.description import Bench
from development.errors import CommandFailed
from development.node_packages import install_for_checkout, install_locked
from development.progress import Progress
from development.running import run_logged

HERE = Path(__file__).parent


def ensure_realtime(bench: Bench, progress: Progress, log: Path) -> None:
	"""A checkout has its own realtime server; the Frappe from PyPI gets ours, in the same place."""
	app = bench.apps_path / "frappe"
	if bench.frappe:
		ensure_checkout_packages(app, progress, log)
		return
	folder = app / "realtime"
	if not (folder / "node_modules" / "socket.io-client").exists():
		progress.say("realtime: socket.io from npm")
		install_locked(HERE / "realtime", folder, log)
	shutil.copy(HERE / "realtime" / "server.js", folder / "server.js")
	(app / "socketio.js").write_text('require("./realtime/server.js");\n')


def ensure_checkout_packages(app: Path, progress: Progress, log: Path) -> None:
	if (app / "node_modules").exists():
		return
	progress.say("realtime and Desk: Frappe's packages from npm")
	try:
		install_for_checkout(app, log)
	except CommandFailed as failure:
		# the bench is of use without a browser
		shutil.rmtree(app / "node_modules", ignore_errors=True)
		progress.say(
			f"npm could not install Frappe's packages, so there is no realtime and no Desk ({failure.hint})"
		)


def ensure_desk(bench: Bench, progress: Progress, log: Path) -> None:
	"""Build the bundles of those apps whose public files changed since the last build."""
	found = {app: fingerprint(bench, app) for app in installed_apps(bench)}
	changed = [app for app in found if found[app] != read_stamp(bench, app) or has_lost_assets(bench, app)]
	if not changed or not has_packages(bench, progress, log):
		return
	for app in changed:
		link_assets(bench, app)
	progress.say(f"Desk: building the assets of {', '.join(changed)}")
	try:
		build_assets(bench, changed, log)
	except CommandFailed as failure:
		if not bench.frappe:
			raise
		progress.say(f"this Frappe's own build failed, so Desk has no assets ({failure.hint})")
		return
	for app in changed:
		stamp(bench, app).write_text(found[app])


def has_packages(bench: Bench, progress: Progress, log: Path) -> bool:
	frappe = bench.apps_path / "frappe"
	if not bench.frappe and not (frappe / "node_modules").exists():
		progress.say("Desk: packages from npm")
		install_locked(HERE / "desk", frappe, log)
	return (frappe / "node_modules").exists()


def build_assets(bench: Bench, apps: list[str], log: Path) -> None:
	frappe = bench.apps_path / "frappe"
	if bench.frappe:
		command = ["node", "esbuild", "--production", "--apps", ",".join(apps)]
	else:
		command = ["node", HERE / "desk" / "build.mjs", bench.path, *apps]
	run_logged(command, log, cwd=frappe, env=bench.environment)


def link_assets(bench: Bench, app: str) -> None:
	"""sites/assets/APP → the app's public folder, where pages look for it; Frappe's also leads to its packages."""
	public = bench.apps_path / app / app / "public"
	assets = bench.sites_path / "assets"
	assets.mkdir(exist_ok=True)
	if public.is_dir():
		link(public, assets / app)
	if app == "frappe":
		link(bench.apps_path / "frappe" / "node_modules", public / "node_modules")


def link(target: Path, place: Path) -> None:
	if not place.is_symlink():
		place.symlink_to(target)


def has_lost_assets(bench: Bench, app: str) -> bool:
	"""Another bench of this checkout builds an app of ours into the same folder, and may have cleaned it."""
	listed = bench.sites_path / "assets" / "assets.json"
	urls = json.loads(listed.read_text()).values() if listed.exists() else ()
	return any(
		not (bench.sites_path / url.lstrip("/")).exists() for url in urls if url.startswith(f"/assets/{app}/")
	)


def installed_apps(bench: Bench) -> list[str]:
	return (bench.sites_path / "apps.txt").read_text().split()


def fingerprint(bench: Bench, app: str) -> str:
	"""Changes with what the app's bundles are made of, files added and removed included, and with what makes them."""
	public = bench.apps_path / app / app / "public"
	tools = [f"{path.name} {path.stat().st_mtime_ns}" for path in sorted((HERE / "desk").iterdir())]
	files = (
		f"{path.relative_to(public)} {path.stat().st_mtime_ns}"
		for path in sorted(public.rglob("*"))
		if path.is_file() and not {"dist", "node_modules"} & set(path.relative_to(public).parts)
	)
	return hashlib.sha256("\n".join([*files, *tools]).encode()).hexdigest()


def stamp(bench: Bench, app: str) -> Path:
	return bench.sites_path / "assets" / f".{app}-built"


def read_stamp(bench: Bench, app: str) -> str:
	return stamp(bench, app).read_text() if stamp(bench, app).exists() else ""
