"""npm packages for the realtime server and for Desk's build."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from development.description import ROOT
from development.frappe_checkout import is_reachable
from development.running import run_logged

NPM = ["npm", "--ignore-scripts", "--no-audit", "--no-fund"]
ENVIRONMENT = {"npm_config_cache": str(ROOT / "cache" / "npm"), "npm_config_update_notifier": "false"}


def install_locked(source: Path, folder: Path, log: Path) -> None:
	"""Install in the folder exactly what the source's lock file says."""
	folder.mkdir(parents=True, exist_ok=True)
	for name in ("package.json", "package-lock.json"):
		shutil.copy(source / name, folder / name)
	npm(["ci"], folder, log)


def install_for_checkout(app: Path, log: Path) -> None:
	"""Install what a Frappe checkout asks for. npm takes the versions from its yarn.lock."""
	package = json.loads((app / "package.json").read_text())
	replaced = without_lost_git(package["dependencies"], app / "yarn.lock")
	if replaced != package["dependencies"]:
		(app / "package.json").write_text(json.dumps({**package, "dependencies": replaced}, indent=2) + "\n")
	npm(["install", "--no-package-lock", "--legacy-peer-deps"], app, log)


def without_lost_git(dependencies: dict[str, str], lock: Path) -> dict[str, str]:
	"""The dependencies, with the release of the locked version for each whose git host is out of reach."""
	text = lock.read_text() if lock.exists() else ""

	def release(name: str, wanted: str) -> str:
		if not wanted.startswith("git+") or is_reachable(wanted.removeprefix("git+").partition("#")[0]):
			return wanted
		found = re.search(
			rf'^"?{re.escape(name)}@{re.escape(wanted)}"?:\n\s+version "([^"]+)"', text, re.MULTILINE
		)
		return found[1] if found else "*"

	return {name: release(name, wanted) for name, wanted in dependencies.items()}


def npm(arguments: list[str], folder: Path, log: Path) -> None:
	run_logged([*NPM, *arguments], log, cwd=folder, env={**os.environ, **ENVIRONMENT})
