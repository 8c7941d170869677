"""What runs in a container: by its command, else by its processes, as where a script becomes gunicorn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePath

from fmx_restart.adapters.bench_processes import CONTAINER_INITS
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.managers.docker.containers import Container
from fmx_restart.adapters.managers.docker.dockerd import Dockerd
from fmx_restart.adapters.process_kinds import kind_of
from fmx_restart.engine.ports import ProcessKind

#: They start one program, and stay
WRAPPERS = {*CONTAINER_INITS, "sh", "bash", "dash", "ash"}
BOOTS_FOR = 30.0  # seconds after which a script has become what it starts


class Kinds:
	"""Remembers what needed a question: it costs dockerd a process."""

	def __init__(self, dockerd: Dockerd) -> None:
		self._dockerd = dockerd
		#: by service and command, also while it is down
		self._seen: dict[tuple[str, tuple[str, ...]], ProcessKind] = {}
		self._none: set[str] = set()  # incarnations of what is no program of a bench

	def words(self, container: Container) -> list[str]:
		"""Of the process that it is known by: what its command became, where that is a script. Raises ProcessFault."""
		words = split_words(container.words)
		if kind_of(words) or not container.is_up:
			return words
		return main_words(container.pid, self._dockerd.processes(container.id)) or words

	def of(self, container: Container) -> ProcessKind | None:
		"""None for what is no program of a bench. Raises ProcessFault."""
		which = container.service, container.words
		if kind := kind_of(split_words(container.words)) or self._seen.get(which):
			return kind
		if not container.is_up or container.incarnation in self._none:
			return None
		kind = kind_of(self.words(container))
		if kind:
			self._seen[which] = kind
		elif time.time() - (container.started or 0) > BOOTS_FOR:
			self._none.add(container.incarnation)
		return kind


def main_words(pid: int, processes: Sequence[tuple[int, int, str]]) -> list[str]:
	"""
	Of a container's first process, or of the one that a shell or an init there has started. Whatever else runs in it, somebody
	may have begun by hand: a container to develop in is none of the bench's programs.
	"""
	words = next((split_words(line) for it, _, line in processes if it == pid), [])
	if not words or kind_of(words) or PurePath(words[0]).name not in WRAPPERS:
		return words
	children = [it for it, parent, _ in processes if parent == pid]
	return main_words(children[0], processes) if len(children) == 1 else words
