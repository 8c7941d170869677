"""The command as a person types it in a bench of a test, and the process of its operation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from fmx_restart.tests.adapters.redis_server import CHECKOUT


def type_command(bench: Path, config: Mapping, *words: str) -> subprocess.Popen:
	"""`config`: the bench's common_site_config.json."""
	(bench / "sites/common_site_config.json").write_text(json.dumps(config))
	(bench / "sites/apps.txt").write_text("frappe\n")
	variables = {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
	return subprocess.Popen(
		[sys.executable, "-m", "fmx_restart", "safe-restart", *words],
		cwd=bench / "sites",
		env={**os.environ, **variables, "FRAPPE_BENCH_ROOT": str(bench)},
		stdin=subprocess.DEVNULL,
		stdout=subprocess.PIPE,
		stderr=subprocess.PIPE,
		text=True,
	)


def operations_of(bench: Path) -> list[psutil.Process]:
	"""The process of the operation, which has a session of its own; its guardian is none."""
	rows = psutil.process_iter(["cmdline", "cwd"])
	ours = [it for it in rows if str(bench) in str(it.info["cwd"]) and it.pid != os.getpid()]
	commands = [(it, " ".join(it.info["cmdline"] or ())) for it in ours]
	return [it for it, words in commands if "fmx_restart" in words and "guardian" not in words]
