"""The tools' own Python environment: bench, supervisor and uv. Frappe's environment has other pins."""

from __future__ import annotations

import os
from pathlib import Path

from development.description import ROOT
from development.interpreter import interpreter
from development.progress import Progress
from development.running import run_logged

#: frappe-bench itself installs apps with uv.
REQUIREMENTS = ["frappe-bench==5.31.1", "supervisor==4.3.0"]
ENVIRONMENT = ROOT / "tools"
UV = ENVIRONMENT / "bin" / "uv"


def ensure_tools(progress: Progress, log: Path) -> None:
	done = ENVIRONMENT / "installed"
	wanted = "\n".join(REQUIREMENTS)
	if done.exists() and done.read_text() == wanted:
		return
	progress.say("tools: bench, supervisor and uv from PyPI")
	if not (ENVIRONMENT / "bin" / "pip").exists():
		run_logged([interpreter(), "-m", "venv", ENVIRONMENT], log)
	# uv takes a third of pip's time for the rest
	run_logged([ENVIRONMENT / "bin" / "pip", "install", "--quiet", "uv"], log)
	install = [UV, "pip", "install", "--python", ENVIRONMENT / "bin" / "python", *REQUIREMENTS]
	run_logged(install, log, env=uv_environment())
	done.write_text(wanted)


def uv_environment() -> dict[str, str]:
	"""uv with its cache in our folder, where `reset` leaves it and a second bench finds it."""
	cache = ROOT / "cache" / "uv"
	return {**os.environ, "UV_CACHE_DIR": str(cache), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
