"""
Whose a container is: this bench's, if it has the bench's own sites folder mounted, and works in the bench that the folder
belongs to. A command or a path proves nothing: every bench in a container has the same ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.managers.docker.containers import Container
from fmx_restart.adapters.managers.docker.dockerd import Dockerd
from fmx_restart.adapters.process_kinds import Trace
from fmx_restart.engine.frozen import frozen

MOUNTS = Path("/proc/self/mountinfo")
#: dockerd mounts these into each container, from a folder that is called as the container is
OWN_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
CONTAINER = re.compile(r"/containers/([0-9a-f]{64})/")


@frozen
class Ours:
	"""What is known of this bench on dockerd's machine."""

	sites: str = ""  # its folder there; empty where nobody can tell
	container: str = ""  # the id of the container that we run in; empty: in none
	is_here: bool = False  # as Dockerd.is_here

	def owns(self, container: Container) -> bool | None:
		"""None where nothing tells."""
		if not self.sites:
			return None
		folders = sites_of(container)
		if self.sites in (self._outside(folder, container) for folder in folders):
			return True
		benches = {*folders, *(str(PurePosixPath(folder).parent) for folder in folders)}
		return False if any(mount.get("Destination") in benches for mount in container.mounts) else None

	def may_own(self, told: Mapping[str, Any]) -> bool:
		"""Whether a container, in short, has the bench's sites folder mounted, or one above it."""
		sources = (mount.get("Source") for mount in told.get("Mounts") or [])
		places = (PurePosixPath(self._real(source)) for source in sources if source)
		sites = PurePosixPath(self.sites or "/nowhere")
		return any(place == sites or place in sites.parents for place in places)

	def _outside(self, path: str, container: Container) -> str:
		place = outside(path, container.mounts)
		return self._real(place) if place else ""

	def _real(self, path: str) -> str:
		"""Links are followed where the path is one of this machine."""
		return os.path.realpath(path) if self.is_here and not self.container else path


def find_ours(dockerd: Dockerd, bench: BenchFolder) -> Ours:
	"""Raises ProcessFault where dockerd does not answer."""
	is_here, id = dockerd.is_here(), own_container()
	if id:
		told = dockerd.inspect(id)  # another dockerd's container is not known here
		return Ours(outside(bench.sites, told.get("Mounts") or []), id, is_here) if told else Ours()
	return Ours(bench.sites if is_here else "", "", is_here)


def own_container(mounts: Path = MOUNTS) -> str:
	"""The id of the container that we run in; empty in none of Docker's."""
	try:
		lines = mounts.read_text().splitlines()
	except OSError:
		return ""
	for fields in map(str.split, lines):
		if len(fields) > 4 and fields[4] in OWN_FILES and (match := CONTAINER.search(fields[3])):
			return match[1]
	return ""


def outside(path: str, mounts: Iterable[Mapping[str, Any]]) -> str:
	"""What a path in a container is on its machine; empty where that is in the container alone."""
	inner, best, found = PurePosixPath(path), -1, ""
	for mount in mounts:
		at, source = PurePosixPath(mount.get("Destination") or "/nowhere"), mount.get("Source")
		if (at == inner or at in inner.parents) and len(at.parts) > best:
			best = len(at.parts)
			found = str(PurePosixPath(source) / inner.relative_to(at)) if source else ""
	return found


def sites_of(container: Container) -> list[str]:
	"""Where the sites folder of the bench that it works in may be, in the container: by its folder and its command."""
	trace = Trace(tuple(split_words(container.words)), container.folder)
	paths = [PurePosixPath(os.path.normpath(path)) for path in (container.folder, *trace.paths)]
	folders = (folder for path in paths for folder in (path, *path.parents))
	return list(dict.fromkeys(str(folder / "sites") for folder in folders))
