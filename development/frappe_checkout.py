"""
Frappe from a checkout or git URL of the developer's choice, instead of the one from PyPI.

Frappe pins some packages to git hosts. Where such a host is out of reach, the package's own release stands in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from development.errors import DevelopmentError
from development.progress import Progress
from development.running import run_logged

#: What a checkout may hold that was made on its own machine.
NOT_COPIED = shutil.ignore_patterns("node_modules", "__pycache__", "*.egg-info")
#: The first @ may belong to a user: git@host:path, https://user@host/path.
URL_AND_BRANCH = re.compile(r"(?P<url>([a-z+]+://)?([^@/]+@)?[^@]+)(@(?P<branch>[^@:]+))?")
#: Seconds for a git host to answer.
GIT_PATIENCE = 15


def fetch_frappe(wanted: str, app: Path, progress: Progress, log: Path) -> None:
	"""Copy a folder, or clone a URL or a folder's branch."""
	source, branch = split_branch(wanted)
	progress.say(f"Frappe: {wanted}")
	unfinished = app.with_name(".frappe.new")
	shutil.rmtree(unfinished, ignore_errors=True)
	if Path(source).is_dir() and not branch:
		shutil.copytree(source, unfinished, symlinks=True, ignore=NOT_COPIED)
	else:
		options = ["--depth=1", *([f"--branch={branch}"] if branch else [])]
		run_logged(["git", "clone", *options, git_address(source), unfinished], log, env=git_environment())
	if not (unfinished / "frappe" / "__init__.py").exists():
		raise DevelopmentError(f"{wanted} is not a checkout of Frappe")
	unfinished.rename(app)


def split_branch(wanted: str) -> tuple[str, str]:
	"""("…", "version-15") from "…@version-15"."""
	source, _at, branch = wanted.rpartition("@")
	if Path(wanted).is_dir():
		return wanted, ""
	if source and Path(source).is_dir():
		return source, branch
	found = URL_AND_BRANCH.fullmatch(wanted)
	return (found["url"], found["branch"] or "") if found else (wanted, "")


def git_address(source: str) -> str:
	# git honours --depth for URLs only
	return Path(source).resolve().as_uri() if Path(source).is_dir() else source


def git_environment() -> dict[str, str]:
	"""git without questions: a host that wants a password counts as out of reach."""
	return {**os.environ, "GIT_TERMINAL_PROMPT": "0"}


def required_python(app: Path) -> str:
	"""The version range the checkout asks for."""
	found = re.search(r'^requires-python\s*=\s*"([^"]+)"', pyproject(app), re.MULTILINE)
	return found[1] if found else ">=3.10"


def stand_ins(app: Path, folder: Path, progress: Progress) -> list[str | Path]:
	"""
	Options that make uv take a release for each package whose git host is out of reach: the newest one of the day
	of the checkout's last commit.
	"""
	lost = [name for name, url in git_requirements(app) if not is_reachable(url)]
	if not lost:
		return []
	progress.say(f"Frappe: git is out of reach, so releases stand in for {', '.join(lost)}")
	overrides = folder / "overrides.txt"
	overrides.write_text("".join(f"{name}\n" for name in lost))
	day = last_change(app)
	return ["--override", overrides, *(f"--exclude-newer-package={name}={day}" for name in lost)]


def git_requirements(app: Path) -> list[tuple[str, str]]:
	"""(name, URL) of what pyproject.toml asks from git. By pattern: Python 3.10 has no TOML reader."""
	return re.findall(r'"([\w.-]+)(?:\[[^\]]*\])?\s*@\s*git\+([^"@]+)', pyproject(app))


def is_reachable(url: str) -> bool:
	try:
		command = ["git", "ls-remote", "--exit-code", url, "HEAD"]
		done = subprocess.run(command, capture_output=True, timeout=GIT_PATIENCE, env=git_environment())
	except subprocess.TimeoutExpired:
		return False
	return done.returncode == 0


def last_change(app: Path) -> str:
	"""Time of the last commit, or of the last edit where there is no history."""
	if (app / ".git").exists():
		command = ["git", "-C", str(app), "log", "-1", "--format=%cI"]
		done = subprocess.run(command, capture_output=True, text=True)
		if done.returncode == 0:
			return done.stdout.strip()
	edited = (app / "pyproject.toml").stat().st_mtime
	return datetime.fromtimestamp(edited, timezone.utc).isoformat(timespec="seconds")


def pyproject(app: Path) -> str:
	return (app / "pyproject.toml").read_text()
