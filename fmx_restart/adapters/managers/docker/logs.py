"""What a container has written, as Docker's log driver keeps it: each line with its time before it."""

from __future__ import annotations

from fmx_restart.adapters.log_text import plain, without_jobs
from fmx_restart.adapters.managers.docker.containers import Container
from fmx_restart.adapters.managers.docker.dockerd import Dockerd
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import LogTail

LINES = 200  # that are looked at for what is new
LOG_TAIL = 4096  # characters that are shown


class ContainerLogs:
	"""Of one dockerd's containers."""

	def __init__(self, dockerd: Dockerd) -> None:
		self._dockerd = dockerd
		self._marks: dict[str, str] = {}  # program → the time of the last line of its old process

	def mark(self, container: Container) -> None:
		"""What comes from now on is the successor's, also where that is another container."""
		lines = self._lines(container, 1)
		self._marks[container.name] = lines[-1][0] if lines else ""

	def tail(self, container: Container) -> str:
		"""The end of what is new, nothing about jobs among it; empty where it cannot be read."""
		mark = self._marks.get(container.name)
		if mark is None:
			return ""
		try:
			lines = self._lines(container, LINES)
		except ProcessFault:
			return ""
		text = "\n".join(line for time, line in lines if time > mark)
		is_cut = bool(lines) and lines[0][0] > mark and len(lines) >= LINES
		return without_jobs(text, is_shared=False, is_cut=is_cut).rstrip()[-LOG_TAIL:]

	def tails(self, container: Container, count: int) -> LogTail:
		"""The last lines."""
		source = f"docker logs {container.own_name}"
		try:
			lines = [line for _, line in self._lines(container, count + 1)]
		except ProcessFault as fault:
			return LogTail(source, (), str(fault))
		return LogTail(source, tuple(lines[-count:]), is_cut=len(lines) > count)

	def _lines(self, container: Container, count: int) -> list[tuple[str, str]]:
		"""Time and text of each; all times are equally long, so that they compare as text. Raises ProcessFault."""
		told = (line.partition(" ") for line in self._dockerd.log(container.id, count).splitlines())
		return sorted((time, plain(text)) for time, _, text in told)
