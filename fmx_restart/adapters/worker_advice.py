"""What a person may set up so that no stop of a worker loses a job: told once in a plan, a preflight, a status and by the doctor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from fmx_restart.adapters.bench import queue_limits, served_queues
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Look, ManagerSettings, ProcessKind, ProgramSettings, Trouble, Worker
from fmx_restart.engine.workers import live_workers
from fmx_restart.worker.grace import SETTING as GRACE
from fmx_restart.worker.grace import VARIABLE, told_seconds
from fmx_restart.worker.switch import SETTING, is_on

WORKERS, TIME = "lossless-workers", "worker-grace"
SETUP = "bench safe-restart setup worker"
STOCK = Trouble(
	WORKERS,
	"The workers are Frappe's own: stopping them in any other way, or the kernel's OOM killer, can lose a job.",
	SETUP,
)


def stock_workers(look: Look) -> list[Worker]:
	"""Live ones of this machine that are not of this app, for the setting is this bench's."""
	return [worker for worker in live_workers(look) if worker in look.local and not worker.is_lossless]


@frozen
class WorkerTime:
	"""A worker program: how long a job of it may run, and how long it has to leave. Seconds."""

	program: ProgramSettings
	queues: tuple[str, ...]  # as they stand after --queue
	longest: float  # of its jobs
	told: float  # what the setting, or their environment, tells these workers; 0: nothing

	@property
	def is_short(self) -> bool:
		"""It is killed while a job may still be running."""
		return 0 < (self.program.stop_seconds or 0) < self.longest

	@property
	def is_believed_longer(self) -> bool:
		"""The setting says more than the process manager."""
		return self.program.stop_seconds is not None and self.told > self.program.stop_seconds


def worker_times(config: Mapping, programs: Iterable[ProgramSettings]) -> Iterator[WorkerTime]:
	"""One for each section of the configuration: of numprocs=4 the first."""
	limits, sections = queue_limits(config), set()
	for program in programs:
		section = program.file, program.section or program.name
		if program.kind is ProcessKind.WORKER and section not in sections:
			sections.add(section)
			queues = served_queues(program.words, limits)
			longest = max((limits.get(queue, 0) for queue in queues), default=0)
			told = told_seconds(config, queues, own_environment(program.pid))
			yield WorkerTime(program, queues, longest, told)


def own_environment(pid: int) -> dict[str, str]:
	"""What a process was given of this app's own variable for it; nothing where we may not look."""
	with suppress(OSError):
		for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
			name, _, value = line.decode(errors="replace").partition("=")
			if name == VARIABLE:
				return {name: value}
	return {}


def untold(times: Iterable[WorkerTime]) -> Trouble | None:
	"""Workers that are killed before their jobs may end, and that nobody told so: one sentence for all of them."""
	short = [time for time in times if time.is_short and not time.told]
	if not short:
		return None
	first = min(short, key=lambda time: time.program.stop_seconds)
	others = f", and {len(short) - 1} more in the same way" if len(short) > 1 else ""
	text = (
		f"{first.program.name} is killed {first.program.stop_seconds:g} s after it was told to stop, but its jobs may run for"
		f" {first.longest:g} s{others}. As the worker does not know that, the kill ends its job as well."
	)
	return Trouble(TIME, text, SETUP)


def believed_longer(time: WorkerTime) -> Trouble:
	"""A worker that is killed before the end of the time that the setting gives it."""
	killed_after = time.program.stop_seconds
	text = (
		f"{time.program.name} believes that it has {time.told:g} s to leave ({GRACE}), but it is killed after"
		f" {killed_after:g} s."
	)
	return Trouble(TIME, text, f"bench set-config -gp {GRACE} {killed_after:g}")


class WorkerAdvisor:
	"""As engine.ports.Advisor. `config`: common_site_config.json. `settings`: of the process managers."""

	def __init__(self, config: Mapping, settings: Callable[[], ManagerSettings | None]) -> None:
		self._config, self._settings = config, settings

	def advice(self, look: Look) -> tuple[Trouble, ...]:
		"""Where the workers of this app are set up, the process manager is asked how much time it gives them."""
		if not is_on(self._config.get(SETTING)):
			return (STOCK,) if stock_workers(look) else ()
		times: list[WorkerTime] = []
		with suppress(OperationError):
			settings = self._settings()
			times = list(worker_times(self._config, settings.programs if settings else ()))
		wrong = [believed_longer(time) for time in times if time.is_believed_longer]
		return tuple(filter(None, [*wrong[:1], untold(times)]))
