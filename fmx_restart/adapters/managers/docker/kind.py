"""Docker as a kind of process manager: containers that have this bench's sites folder, of whichever Compose project."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.docker.setting import KEYS, UNIX, DockerEntry, read_docker, usual_url
from fmx_restart.adapters.managers.entries import Entry
from fmx_restart.adapters.managers.kind import Found, Obstacle, Refusal, Search, sign_of_setting
from fmx_restart.adapters.managers.names import DOCKER
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment

if TYPE_CHECKING:
	from fmx_restart.adapters.managers.docker.processes import DockerProcesses

FOUND_BY = "the containers that have this bench's sites folder"


class DockerKind:
	name = DOCKER
	keys = KEYS
	place_key = "project"

	def read(self, entry: Entry, environ: Mapping[str, str]) -> DockerEntry:
		return read_docker(entry, usual_url(environ))

	def find(self, bench_path: str, config: Mapping, named: Iterable[DockerEntry]) -> Search:
		named = list(named)
		url = usual_url(os.environ)
		if not named and not is_there(url):
			return Search()
		from fmx_restart.adapters.managers.docker.dockerd import refuse_without_client

		if named:
			refuse_without_client()
		found = tuple(named_project(entry, bench_path) for entry in named)
		known = {entry.project for entry in named if entry.url == url}
		others = look_for(url, bench_path, known) if is_there(url) else Search()
		return Search((*found, *others.found), others.refusals)

	def sign(self, bench_path: str, config: Mapping, table: ProcessTable) -> str:
		return sign_of_setting(config, DOCKER)

	def runs(self, table: ProcessTable, row: Row) -> bool:
		return False  # in a container its first process has no parent, and outside nobody takes a container's for the bench's


def is_there(url: str) -> bool:
	"""As far as a file tells. One over the network is asked only where it is named."""
	return url.startswith(UNIX) and Path(url.removeprefix(UNIX)).is_socket()


def unused(text: str, hint: str) -> Refusal:
	"""Many machines have a Docker that runs something else: it is named only where nothing else runs the bench."""
	return Refusal(Obstacle.ABSENT, f"Docker's socket is here, and not used: {text.rstrip('.')}", hint)


def processes_of(url: str, bench_path: str, project: str, source: str, *, is_named: bool) -> DockerProcesses:
	"""Imported where a Docker is used, and nowhere else."""
	from fmx_restart.adapters.managers.docker.dockerd import Dockerd
	from fmx_restart.adapters.managers.docker.processes import DockerProcesses

	return DockerProcesses(Dockerd(url), bench_path, project, source=source, is_named=is_named)


def named_project(entry: DockerEntry, bench_path: str) -> Found:
	"""It belongs to the bench even while its dockerd does not answer."""
	processes = processes_of(entry.url, bench_path, entry.project, entry.source, is_named=True)
	return Found(entry.name, DOCKER, processes, is_named=True)


def look_for(url: str, bench_path: str, known: set[str]) -> Search:
	"""
	Every project with a container that is proved to be the bench's, and runs one of its programs. `known`: projects that the
	setting names.
	"""
	from fmx_restart.adapters.managers.docker.dockerd import Dockerd, project_of, refuse_without_client
	from fmx_restart.adapters.managers.docker.proof import find_ours

	try:
		dockerd = Dockerd(url)
		dockerd.check_socket()
		refuse_without_client()
		ours = find_ours(dockerd, BenchFolder(bench_path))
		projects = {project_of(one) for one in dockerd.containers() if ours.may_own(one)} - known
		answers = [
			(it, processes_of(url, bench_path, it, FOUND_BY, is_named=False)) for it in sorted(projects)
		]
		found = [
			(it, processes) for it, processes in answers if any(not one.stays for one in processes.list())
		]
	except (ProcessFault, WrongEnvironment) as fault:
		return Search(refusals=(unused(str(fault).removesuffix(" Nothing was changed."), fault.hint),))
	return Search(tuple(Found(project or DOCKER, DOCKER, processes) for project, processes in found))


KIND = DockerKind()
