"""An entry of fmx_restart_managers that names a project of Docker Compose: its name, and where its dockerd answers."""

from __future__ import annotations

import re

from fmx_restart.adapters.managers.entries import Entry, Odd
from fmx_restart.adapters.managers.names import DOCKER
from fmx_restart.engine.frozen import frozen

KEYS = ("project", "url")
#: As Compose itself allows it
PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
UNIX = "unix://"
URL = re.compile(r"unix:///\S+|tcp://[^\s@]+:\d{1,5}")
USUAL = "unix:///var/run/docker.sock"


@frozen
class DockerEntry:
	name: str
	project: str
	url: str
	source: str
	kind: str = DOCKER
	password_file: str = ""
	has_password: bool = False

	@property
	def place(self) -> str:
		"""Two projects of one dockerd are two places."""
		return f"{self.url} {self.project}"


def read_docker(entry: Entry, usual: str) -> DockerEntry:
	"""`usual`: the URL where none is given. Raises Odd."""
	project, url = entry.get("project"), entry.get("url") or usual
	if not project:
		raise Odd("has no project: the name that docker compose ls shows")
	if not PROJECT.fullmatch(project):
		raise Odd("has a project with other characters than small letters, digits, - and _")
	if not URL.fullmatch(url):
		raise Odd("has a url that is neither unix:///path/to/docker.sock nor tcp://host:port")
	return DockerEntry(entry.name(project), project, url, entry.source)


def usual_url(environ: dict[str, str]) -> str:
	"""As the command docker finds it."""
	url = environ.get("DOCKER_HOST", "")
	return url if URL.fullmatch(url) else USUAL
