"""What runs in a container: by its command, else by its processes, as where a script becomes gunicorn."""

from __future__ import annotations

import time

from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.managers.docker.containers import Container
from fmx_restart.adapters.managers.docker.dockerd import Dockerd
from fmx_restart.adapters.process_kinds import kind_of
from fmx_restart.engine.ports import ProcessKind

BOOTS_FOR = 30.0  # seconds after which a script has become what it starts


class Kinds:
	"""Remembers what needed a question: it costs dockerd a process."""

	def __init__(self, dockerd: Dockerd) -> None:
		self._dockerd = dockerd
		self._seen: dict[
			tuple[str, tuple[str, ...]], ProcessKind
		] = {}  # by service and command, also while it is down
		self._none: set[str] = set()  # incarnations of what is no program of a bench

	def words(self, container: Container) -> list[str]:
		"""Of the process that it is known by: what its command became, where that is a script. Raises ProcessFault."""
		words = split_words(container.words)
		if kind_of(words) or not container.is_up:
			return words
		lines = map(split_words, self._dockerd.command_lines(container.id))
		return next(filter(kind_of, lines), words)

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
