"""Patches for a test: in the workload app while the test runs, gone afterwards."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
	from development.description import Bench

PACKAGE = "patches_of_tests"
WORKS = """
import json, time
from pathlib import Path

def execute():
	print("waiting at the gate", flush=True)
	deadline = time.monotonic() + 120
	while not Path({gate!r}).exists() and time.monotonic() < deadline:
		time.sleep(0.02)
	Path({told!r}).write_text(json.dumps(time.time()))
"""
RAISES = """
def execute():
	raise ValueError("no such column: colour")
"""
HANGS = """
import signal, time

def execute():
	signal.signal(signal.SIGTERM, signal.SIG_IGN)
	time.sleep(600)
"""


class Patches:
	"""Only in apps/fmx_workload of the development bench: it holds nothing that anybody else needs."""

	def __init__(self, bench: Bench) -> None:
		app = bench.apps_path / "fmx_workload" / "fmx_workload"
		self.folder, self.list = app / PACKAGE, app / "patches.txt"
		self.remove()
		self.before = self.list.read_text()
		self.folder.mkdir()
		(self.folder / "__init__.py").touch()

	def add(self, source: str) -> str:
		"""Returns its name. It runs before the schema is synchronised."""
		name = f"fmx_workload.{PACKAGE}.patch_{uuid4().hex[:8]}"
		self.rewrite(name, source)
		head, rest = self.list.read_text().split("[pre_model_sync]\n", 1)
		self.list.write_text(f"{head}[pre_model_sync]\n{name}\n{rest}")
		return name

	def rewrite(self, name: str, source: str) -> None:
		(self.folder / f"{name.rpartition('.')[2]}.py").write_text(source)

	def remove(self) -> None:
		"""Also what a test that was killed left behind."""
		lines = self.list.read_text().splitlines(keepends=True)
		self.list.write_text("".join(line for line in lines if f".{PACKAGE}." not in line))
		shutil.rmtree(self.folder, ignore_errors=True)
