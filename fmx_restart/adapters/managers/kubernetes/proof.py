"""
Whose a Deployment is: this bench's, if its pods have the bench's own sites folder, by the volume that holds it. A label proves
nothing: whoever may make a Deployment in the namespace can give it the same ones. Nor does a command or a path: every bench in a
pod has the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.managers.kubernetes.workloads import Workload
from fmx_restart.adapters.process_kinds import Trace
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen

MOUNTS = Path("/proc/self/mountinfo")
HOSTS = "/etc/hosts"  # the kubelet mounts it from a folder that is called as the pod is
OWN_POD = re.compile(r"/pods/([0-9a-f-]{36})/")
CLAIM = "claim:"
#: In each bench
FOLDERS = {"env", "apps", "sites", "config", "logs"}


@frozen
class Ours:
	"""What is known of this bench in the namespace."""

	sites: str = ""  # the volume and the folder in it that its sites are; empty where nobody can tell yet
	pod: str = ""  # the uid of the pod that we run in; empty: in none of this namespace
	bench_sites: str = ""  # where the sites folder is, here

	def owns(self, workload: Workload) -> bool:
		"""Strict: what has no such folder is somebody else's."""
		folders = sites_of(workload.template, workload.container, self.bench_sites)
		return bool(self.sites) and self.sites in folders


def own_pod(mounts: Path = MOUNTS) -> str:
	"""The uid of the pod that we run in; empty in none."""
	try:
		lines = mounts.read_text().splitlines()
	except OSError:
		return ""
	for fields in map(str.split, lines):
		if len(fields) > 4 and fields[4] == HOSTS and (match := OWN_POD.search(fields[3])):
			return match[1]
	return ""


def sites_here(pods: Iterable[Mapping[str, Any]], uid: str, sites: str) -> str:
	"""Of the pod that we run in: what its sites folder is. Empty where that is in no volume that others can have."""
	own = next((it for it in pods if (it.get("metadata") or {}).get("uid") == uid), {})
	spec = own.get("spec") or {}
	answers = (volume_of(sites, spec, container) for container in spec.get("containers") or ())
	return next(filter(None, answers), "")


def is_in(sites: str, claim: str) -> bool:
	"""Whether that folder lies in the PersistentVolumeClaim of this name."""
	return sites == f"{CLAIM}{claim}" or sites.startswith(f"{CLAIM}{claim}/")


def only_sites(workloads: Iterable[Workload], selector: str, bench_sites: str, claim: str = "") -> str:
	"""
	Of the one bench that a selector means, and a claim where one is named, where nothing else tells it. Raises ProcessFault where
	there are several: a neighbour may have given his Deployments the same labels, and several benches may share a volume.
	"""
	known = {}
	for workload in workloads:
		folders = sites_of(workload.template, workload.container, bench_sites)
		folders = [it for it in folders if not claim or is_in(it, claim)]
		if workload.program and folders:
			known.setdefault(folders[0], workload.name)
	if len(known) > 1:
		(one, first), (other, second) = sorted(known.items())[:2]
		raise ProcessFault(
			f"the selector {selector} means the Deployments of several benches: {first} has its sites in {one}, {second} in {other}",
			hint="Type the command in a pod of the bench, or give its Deployments a label of their own, for `selector`."
			if claim
			else "Name the PersistentVolumeClaim of this bench's sites as `claim` in fmx_restart_managers.",
		)
	return next(iter(known), "")


def sites_of(spec: Mapping[str, Any], container: Mapping[str, Any], bench_sites: str) -> list[str]:
	"""
	What the sites folder of the bench is that a container works in: by what is mounted as such, else by its command and its
	folder, else by where our own is.
	"""
	mounted = [it.get("mountPath", "").rstrip("/") for it in container.get("volumeMounts") or ()]
	by_mount = [path for path in mounted if PurePosixPath(path).name == "sites"]
	for places in (by_mount if len(by_mount) == 1 else [], by_command(container), [bench_sites]):
		found = [it for place in dict.fromkeys(places) if place and (it := volume_of(place, spec, container))]
		if found:
			return found
	return []


def by_command(container: Mapping[str, Any]) -> list[str]:
	"""The sites folders of the benches that its words and its folder lie in."""
	folder = container.get("workingDir") or "/"
	words = [*(container.get("command") or ()), *(container.get("args") or ())]
	paths = Trace(tuple(split_words(map(str, words))), folder).paths
	benches = [bench_of(path) for path in paths]
	return [f"{bench}/sites" for bench in (bench_of(folder) or folder.rstrip("/"), *benches) if bench]


def bench_of(path: str) -> str:
	"""What is above the first folder that each bench has; empty where there is none."""
	parts = PurePosixPath(os.path.normpath(path)).parts
	position = next((number for number, part in enumerate(parts) if part in FOLDERS), 0)
	return str(PurePosixPath(*parts[:position])) if position else ""


def volume_of(path: str, spec: Mapping[str, Any], container: Mapping[str, Any]) -> str:
	"""The volume that a folder of a container lies in, and where in it; empty in none that other pods can have, too."""
	inner, best, found = PurePosixPath(path), -1, ""
	volumes = {it.get("name"): it for it in spec.get("volumes") or ()}
	for mount in container.get("volumeMounts") or ():
		at = PurePosixPath(mount.get("mountPath") or "/nowhere")
		if (at == inner or at in inner.parents) and len(at.parts) > best:
			best, volume = len(at.parts), identity(volumes.get(mount.get("name")) or {})
			folder = PurePosixPath(mount.get("subPath") or "") / inner.relative_to(at)
			is_known = volume and not mount.get("subPathExpr")
			found = joined(volume, str(folder)) if is_known else ""
	return found


def joined(volume: str, folder: str) -> str:
	"""One text for one folder."""
	return volume if folder == "." else f"{volume}/{folder}"


def identity(volume: Mapping[str, Any]) -> str:
	"""Of a volume that several pods can have; empty for one of a pod's own."""
	if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
		return f"{CLAIM}{claim}"
	if path := (volume.get("hostPath") or {}).get("path"):
		return f"folder:{path.rstrip('/')}"
	nfs = volume.get("nfs") or {}
	return f"nfs:{nfs.get('server')}:{str(nfs['path']).rstrip('/')}" if nfs.get("path") else ""
