"""npm packages for the realtime server and for Desk's build."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from development.description import ROOT
from development.errors import CommandFailed
from development.frappe_checkout import is_reachable
from development.running import run_logged

MISSING_RELEASE = re.compile(r"No matching version found for (\S+)@(\S+?)\.?\s")
#: How many releases may be missing before we give up.
MISSING_RELEASES = 5
NPM = ["npm", "--ignore-scripts", "--no-audit", "--no-fund"]
ENVIRONMENT = {"npm_config_cache": str(ROOT / "cache" / "npm"), "npm_config_update_notifier": "false"}


def install_locked(source: Path, folder: Path, log: Path) -> None:
	"""Install in the folder exactly what the source's lock file says."""
	folder.mkdir(parents=True, exist_ok=True)
	for name in ("package.json", "package-lock.json"):
		shutil.copy(source / name, folder / name)
	npm(["ci"], folder, log)


def install_for_checkout(app: Path, log: Path) -> None:
	"""Install what a Frappe checkout asks for, in the versions of its yarn.lock as far as they still exist."""
	place, lock = app / "package.json", app / "yarn.lock"
	package = json.loads(place.read_text())
	package["dependencies"] = without_lost_git(package["dependencies"], lock)
	for _attempt in range(MISSING_RELEASES):
		place.write_text(json.dumps(package, indent=2) + "\n")
		try:
			npm(["install", "--legacy-peer-deps"], app, log)
			return
		except CommandFailed as failure:
			missing = MISSING_RELEASE.findall(str(failure))
			if not missing:
				raise
		# the last one: the quoted lines may reach back to an earlier attempt
		take_nearest(package, lock, *missing[-1])
	raise CommandFailed(
		"too many of the packages that Frappe asks for no longer exist", hint=f"the log: {log}"
	)


def take_nearest(package: dict, lock: Path, name: str, version: str) -> None:
	"""Ask for the release nearest to one that does not exist."""
	shown = subprocess.run(
		["npm", "view", name, "versions", "--json"], capture_output=True, text=True, check=True
	)
	nearest = nearest_release(version, json.loads(shown.stdout))
	kind = "dependencies" if name in package["dependencies"] else "overrides"
	package.setdefault(kind, {})[name] = nearest
	blocks = lock.read_text().split("\n\n")
	lock.write_text(
		"\n\n".join(block for block in blocks if not block.strip().strip('"').startswith(f"{name}@"))
	)


def nearest_release(wanted: str, available: list[str]) -> str:
	"""The first one that is not older, else the newest. "rc9" is older than "rc26", unlike in npm's own order."""

	def order(version: str) -> list[tuple[int, str]]:
		return [(int(number or 0), word) for number, word in re.findall(r"(\d+)|([a-z]+)", version.lower())]

	found = sorted(available, key=order)
	return next((version for version in found if order(version) >= order(wanted)), found[-1])


def without_lost_git(dependencies: dict[str, str], lock: Path) -> dict[str, str]:
	"""The dependencies, with the release of the locked version for each whose git host is out of reach."""
	text = lock.read_text() if lock.exists() else ""

	def release(name: str, wanted: str) -> str:
		host = git_address(wanted)
		if not host or is_reachable(host):
			return wanted
		found = re.search(
			rf'^"?{re.escape(name)}@{re.escape(wanted)}"?:\n\s+version "([^"]+)"', text, re.MULTILINE
		)
		return found[1] if found else "*"

	return {name: release(name, wanted) for name, wanted in dependencies.items()}


def git_address(wanted: str) -> str:
	"""Of a dependency that npm fetches from a git host, as package.json writes it; empty for one of the registry."""
	place = wanted.partition("#")[0]
	if place.startswith("github:"):
		return f"https://github.com/{place.removeprefix('github:')}"
	return place.removeprefix("git+") if place.startswith("git+") else ""


def npm(arguments: list[str], folder: Path, log: Path) -> None:
	run_logged([*NPM, *arguments], log, cwd=folder, env={**os.environ, **ENVIRONMENT})
