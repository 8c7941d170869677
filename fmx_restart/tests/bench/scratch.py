"""A bench of folders and links only, beside the development bench: its sites folder may be as wrong as a test wants."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_restart.tests.bench.command import Command, Finished

if TYPE_CHECKING:
	from development.description import Bench

HELPER = ("-m", "frappe.utils.bench_helper", "frappe")


class ScratchBench:
	"""Frappe takes it for a bench of its own: its id is its path, and none of the real bench's programs are its own."""

	def __init__(self, bench: Bench, case: type[unittest.TestCase]) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp")  # a unix socket's path is short
		case.addClassCleanup(folder.cleanup)
		self.bench, self.case, self.path = bench, case, Path(folder.name).resolve()
		self.sites_path = self.path / "sites"
		for name in ("sites", "logs", "config"):
			(self.path / name).mkdir()
		(self.path / "apps").symlink_to(bench.apps_path)
		(self.path / "env").symlink_to(bench.path / "env")
		for name in ("apps.txt", bench.site, "assets"):
			(self.sites_path / name).symlink_to(bench.sites_path / name)
		self.write_config()

	@property
	def id(self) -> str:
		"""By Frappe's own rule (frappe.utils.get_bench_id)."""
		return str(self.path).strip("/").replace("/", "-")

	@property
	def config(self) -> Path:
		return self.sites_path / "common_site_config.json"

	@property
	def environment(self) -> dict[str, str]:
		return {"FRAPPE_BENCH_ROOT": str(self.path)}

	def write_config(self, **settings) -> None:
		"""The development bench's own, but for these."""
		common = json.loads((self.bench.sites_path / "common_site_config.json").read_text())
		self.config.write_text(json.dumps({**common, **settings}, indent=1))

	def start(self, *options: str, cwd: Path | None = None, site: str | None = None) -> Command:
		"""As bench runs it, without bench: that looks for a bench of its own kind."""
		words = [
			str(self.bench.python),
			*HELPER,
			*(["--site", site] if site else []),
			"safe-restart",
			*options,
		]
		environment = {**self.bench.environment, **self.environment}
		command = Command(words, cwd=cwd or self.sites_path, env=environment)
		self.case.addClassCleanup(command.end)
		return command

	def run(self, *options: str, cwd: Path | None = None, site: str | None = None) -> Finished:
		return self.start(*options, cwd=cwd, site=site).finish()
