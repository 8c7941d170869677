"""Containers of a real dockerd as Compose makes them: one for each program, with labels, and the bench's sites folder mounted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rq
from docker import APIClient
from docker.errors import APIError, NotFound

from development.managers.docker import IMAGE
from fmx_restart.adapters.managers.docker.containers import NUMBER, ONE_OFF, SERVICE
from fmx_restart.adapters.managers.docker.dockerd import PROJECT
from fmx_restart.tests.adapters.redis_server import CHECKOUT

URL = "unix:///var/run/docker.sock"


class Containers:
	"""`folder`: what all of them see, besides the interpreter and this checkout."""

	def __init__(self, folder: Path) -> None:
		self.client = APIClient(base_url=URL, timeout=60)
		self._shared = [f"{it}:{it}:ro" for it in folders_of_python()]
		self._ids: list[str] = []
		self.see(folder)

	def see(self, folder: Path) -> None:
		"""Of all that are made from now on."""
		self._shared.append(f"{folder}:{folder}")

	def create(self, service: str, command: Sequence[str], folder: Path, **about: Any) -> str:
		"""
		Its id. With Compose's labels: `project`, `number`, or all of `labels`. `binds`: further folders, `policy`: for its end,
		`environment`, `stop_timeout`, `network`; `pids`: whose numbers of processes it has.
		"""
		labels = labels_of(service, about.get("project", "erp"), about.get("number", 1)) | about.get(
			"labels", {}
		)
		host = self.client.create_host_config(
			binds=[*self._shared, *about.get("binds", ())],
			restart_policy={"Name": about.get("policy", "no")},
			pid_mode=about.get("pids"),
			network_mode=about.get("network", "none"),  # with the machine's own it has its host name, too
		)
		told = self.client.create_container(
			IMAGE,
			list(command),
			name=f"{labels[PROJECT]}-{service}-{labels[NUMBER]}",
			working_dir=str(folder),
			labels=labels,
			environment=about.get("environment", {}),
			host_config=host,
			stop_timeout=about.get("stop_timeout"),
		)
		self._ids.append(told["Id"])
		return told["Id"]

	def start(self, *ids: str) -> None:
		for id in ids:
			self.client.start(id)

	def log(self, id: str) -> str:
		return self.client.logs(id).decode()

	def kill(self, id: str, signal: str = "KILL") -> None:
		self.client.kill(id, signal)

	def remove(self) -> None:
		"""All of them, whatever they do."""
		while self._ids:
			try:
				self.client.remove_container(self._ids.pop(), force=True)
			except (NotFound, APIError):
				continue
		self.client.close()


def folders_of_python() -> list[str]:
	"""What the image lacks for programs of Python and of this checkout."""
	libraries = Path(rq.__file__).resolve().parent.parent  # an environment may be made of links
	folders = [Path(it) for it in (sys.prefix, sys.base_prefix, CHECKOUT, libraries)]
	prefixes = {str(it) for folder in folders for it in (folder, folder.resolve())}
	return [it for it in sorted({"/usr", *prefixes}) if it == "/usr" or not it.startswith("/usr/")]


def labels_of(service: str, project: str, number: int) -> dict[str, str]:
	"""As Compose sets them."""
	return {PROJECT: project, SERVICE: service, NUMBER: str(number), ONE_OFF: "False"}
