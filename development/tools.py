"""The tools' own Python environment: bench, supervisor and uv. Frappe's environment has other pins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from development.description import ROOT
from development.errors import DevelopmentError
from development.progress import Progress
from development.running import run_logged

#: uv comes with frappe-bench, which itself installs apps with it.
REQUIREMENTS = ["frappe-bench==5.31.1", "supervisor==4.3.0"]
ENVIRONMENT = ROOT / "tools"
UV = ENVIRONMENT / "bin" / "uv"
#: Pythons that the pins of the PyPI Frappe have wheels for, best first.
FRAPPE_PYTHONS = ("3.11", "3.12", "3.10")


def ensure_tools(progress: Progress, log: Path) -> None:
	done = ENVIRONMENT / "installed"
	wanted = "\n".join(REQUIREMENTS)
	if done.exists() and done.read_text() == wanted:
		return
	progress.say("tools: bench, supervisor and uv from PyPI")
	if not (ENVIRONMENT / "bin" / "pip").exists():
		run_logged([sys.executable, "-m", "venv", ENVIRONMENT], log)
	run_logged([ENVIRONMENT / "bin" / "pip", "install", "--quiet", *REQUIREMENTS], log)
	done.write_text(wanted)


def uv_environment() -> dict[str, str]:
	"""uv with its cache in our folder, where `reset` leaves it and a second bench finds it."""
	cache = ROOT / "cache" / "uv"
	return {**os.environ, "UV_CACHE_DIR": str(cache), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}


def python_for_frappe() -> str:
	"""An interpreter the default Frappe runs on: ours if it is one, else the first found on the machine."""
	if f"{sys.version_info.major}.{sys.version_info.minor}" in FRAPPE_PYTHONS:
		return sys.executable
	for version in FRAPPE_PYTHONS:
		found = shutil.which(f"python{version}")
		# a version manager's stand-in is on PATH for interpreters that are not there
		if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
			return found
	raise DevelopmentError(
		f"no Python for Frappe here: it needs one of {', '.join(FRAPPE_PYTHONS)}",
		hint="install one, or call this script with it",
	)
