"""A container as dockerd describes it: what it runs, how it stands, and what becomes of it when it ends."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fmx_restart.adapters.managers.docker.dockerd import PROJECT
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessState

SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"  # of docker compose run
POD = "io.kubernetes.pod.uid"  # a kubelet that runs its pods by this dockerd
FILES = "com.docker.compose.project.config_files"
NEVER = "0001-01-01"  # Go's zero
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
DEFAULT_GRACE = 10.0  # seconds from TERM to KILL where nobody sets them
ENDED_BY_SIGNAL = 128  # and the signal's number
STOPPED_BY = (ENDED_BY_SIGNAL + 9, ENDED_BY_SIGNAL + 15)  # docker stop
#: Docker itself starts such a container again, unless somebody has stopped it
COMES_BACK = ("always", "unless-stopped")
RESTARTS = {"always": "true", "unless-stopped": "true", "on-failure": "unexpected"}
#: Without a host name of its own
SHARED = ("host", "container:")


@frozen
class Container:
	"""What dockerd tells of one container (`docker inspect`)."""

	id: str
	told: Mapping[str, Any]

	@property
	def labels(self) -> Mapping[str, str]:
		"""Compose's among them."""
		return self.config.get("Labels") or {}

	@property
	def config(self) -> Mapping[str, Any]:
		"""As it was created."""
		return self.told.get("Config") or {}

	@property
	def state(self) -> Mapping[str, Any]:
		"""As dockerd calls it."""
		return self.told.get("State") or {}

	@property
	def own_name(self) -> str:
		"""As docker ps shows it."""
		return str(self.told.get("Name", "")).lstrip("/")

	@property
	def service(self) -> str:
		"""Of its compose file; its own name where it has none."""
		return self.labels.get(SERVICE) or self.own_name

	@property
	def name(self) -> str:
		"""The service's; of the second replica and further ones with their number."""
		number = self.labels.get(NUMBER, "1")
		return self.service if number == "1" else f"{self.service}-{number}"

	@property
	def project(self) -> str:
		"""Of Compose; empty where it has none."""
		return self.labels.get(PROJECT, "")

	@property
	def is_one_off(self) -> bool:
		"""Somebody runs one command in it."""
		return self.labels.get(ONE_OFF, "").lower() == "true"

	@property
	def is_in_pod(self) -> bool:
		"""Kubernetes runs it, and starts another one in its place."""
		return POD in self.labels

	@property
	def words(self) -> tuple[str, ...]:
		"""What it runs, its entrypoint included. Never to be shown."""
		return (str(self.told.get("Path", "")), *map(str, self.told.get("Args") or ()))

	@property
	def command(self) -> str:
		"""The same as one line."""
		return shlex.join(self.words)

	@property
	def folder(self) -> str:
		"""Where it begins."""
		return self.config.get("WorkingDir") or "/"

	@property
	def mounts(self) -> list[Mapping[str, Any]]:
		"""Folders of its machine that it has."""
		return self.told.get("Mounts") or []

	@property
	def is_up(self) -> bool:
		"""Its first process runs."""
		return bool(self.state.get("Running")) and not self.state.get("Restarting")

	@property
	def health(self) -> str:
		"""By the health check that its service or image has: starting, healthy or unhealthy; empty where it has none."""
		return (self.state.get("Health") or {}).get("Status", "")

	@property
	def pid(self) -> int:
		"""Of its first process, in dockerd's own pid namespace; 0 while it is down."""
		return int(self.state.get("Pid") or 0) if self.is_up else 0

	@property
	def incarnation(self) -> str:
		"""Another one with each start; empty while it is down."""
		return f"{self.id[:12]}@{self.state.get('StartedAt')}" if self.is_up else ""

	@property
	def started(self) -> float | None:
		"""Seconds since the epoch, by its machine's clock."""
		return seconds(self.state.get("StartedAt")) if self.is_up else None

	@property
	def host(self) -> str:
		"""The host name that its workers write into Redis."""
		return self.config.get("Hostname") or self.id[:12]

	@property
	def has_machines_network(self) -> bool:
		"""Its ports are those of its machine."""
		return (self.told.get("HostConfig") or {}).get("NetworkMode") == "host"

	@property
	def address(self) -> str:
		"""In the first of its networks; empty where it has none."""
		networks = (self.told.get("NetworkSettings") or {}).get("Networks") or {}
		return next((it["IPAddress"] for it in networks.values() if it.get("IPAddress")), "")

	@property
	def has_own_host(self) -> bool:
		"""Whether that name is none of its machine's or of another container's, as far as it tells itself."""
		about = self.told.get("HostConfig") or {}
		network = str(about.get("NetworkMode", ""))
		is_named = bool(self.config.get("Hostname")) and about.get("UTSMode") != "host"
		is_own = not network.startswith(SHARED) or self.host == self.id[:12]
		return is_named and is_own

	@property
	def alone_since(self) -> float:
		"""When what it ran before had ended; its creation at first. Seconds since the epoch, by its machine's clock."""
		ended, created = (
			seconds(it) or 0.0 for it in (self.state.get("FinishedAt"), self.told.get("Created"))
		)
		return max(ended, created)

	@property
	def policy(self) -> str:
		"""no, on-failure, always or unless-stopped."""
		return ((self.told.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"

	@property
	def grace(self) -> float:
		"""Seconds from `docker stop` until it is killed."""
		return float(self.config.get("StopTimeout") or DEFAULT_GRACE)

	@property
	def signal(self) -> str:
		"""That tells it to stop."""
		return self.config.get("StopSignal") or "SIGTERM"


def state_of(container: Container, told: str = "") -> ProcessState:
	"""`told`: "stop" or "start", what we ordered last. Docker has no word for one that is stopping."""
	status = container.state.get("Status", "")
	if container.is_up:
		if told == "stop":
			return ProcessState.STOPPING
		unproved = ("starting", "unhealthy") if told == "start" else ("starting",)
		return ProcessState.STARTING if container.health in unproved else ProcessState.RUNNING
	if status == "restarting":
		return ProcessState.RETRYING if container.state.get("ExitCode") else ProcessState.STARTING
	if status == "removing":
		return ProcessState.STOPPING
	if told == "stop":
		return ProcessState.STOPPED
	return state_when_down(container, told)


def state_when_down(container: Container, told: str) -> ProcessState:
	"""
	Docker does not say whether somebody has stopped it. It does not leave one down that its restart policy brings back,
	unless somebody has; of others the exit code tells.
	"""
	code = container.state.get("ExitCode") or 0
	if container.state.get("Error") or container.state.get("OOMKilled"):
		return ProcessState.FAILED
	if container.state.get("Status") == "created":
		return ProcessState.STOPPED
	if told != "start" and (container.policy in COMES_BACK or code in STOPPED_BY):
		return ProcessState.STOPPED
	return ProcessState.FAILED if code else ProcessState.EXITED


def detail_of(container: Container) -> str:
	"""Why it is down, in a few words."""
	if error := container.state.get("Error"):
		return str(error)
	if container.state.get("OOMKilled"):
		return "the kernel killed it, as memory ran out"
	return f"it ended with exit code {container.state.get('ExitCode', 'unknown')}"


def seconds(text: object) -> float | None:
	"""Since the epoch, of a time as Go writes it (RFC 3339 with nanoseconds); None where it never was."""
	match = TIME.fullmatch(text) if isinstance(text, str) else None
	if match is None or match[1].startswith(NEVER):
		return None
	zone = "+00:00" if match[3] == "Z" else match[3]
	return datetime.fromisoformat(match[1] + zone).timestamp() + float(match[2] or 0)
