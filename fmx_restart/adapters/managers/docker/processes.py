"""The bench's programs in containers: stop and start orders, their states, and their logs."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Collection, Iterable
from contextlib import suppress
from threading import Thread

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.adapters.managers.docker.answers import takes_connections
from fmx_restart.adapters.managers.docker.containers import (
	FILES,
	RESTARTS,
	Container,
	detail_of,
	state_of,
)
from fmx_restart.adapters.managers.docker.dockerd import Dockerd
from fmx_restart.adapters.managers.docker.kinds_in import Kinds
from fmx_restart.adapters.managers.docker.logs import ContainerLogs
from fmx_restart.adapters.managers.docker.proof import Ours, find_ours
from fmx_restart.adapters.managers.kind import Where
from fmx_restart.adapters.managers.names import DOCKER, SERVERS
from fmx_restart.adapters.managers.orders import faults_of, naming_what_is_down
from fmx_restart.adapters.process_kinds import is_data_store, kind_of
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import (
	LogTail,
	ManagerSettings,
	Process,
	ProcessKind,
	ProcessState,
	ProgramSettings,
	Stays,
)

START_TAKES = 120.0  # seconds that dockerd gets for one container, on a machine where many start
FAILED = (ProcessState.FAILED, ProcessState.RETRYING)
INSIDE = "this command runs in it, and would end with it"


class DockerProcesses:
	"""
	One project of Compose, or all containers that no project has. `source`: who named it. `is_named`: by a person, whose word
	counts where nothing tells whose a container is.
	"""

	def __init__(
		self, dockerd: Dockerd, bench_path: str, project: str, *, source: str, is_named: bool = False
	) -> None:
		self.dockerd, self.project = dockerd, project
		self._source, self._is_named = source, is_named
		self._bench = BenchFolder(bench_path)
		self._logs = ContainerLogs(dockerd)
		self._kinds = Kinds(dockerd)
		self._ours: Ours | None = None
		self._known: dict[str, Container] = {}  # of the bench, by name, by the last look
		self._told: dict[str, tuple[str, str]] = {}  # name → the last order of ours, and to which incarnation
		self._starts: dict[str, Start] = {}  # the last one of each
		#: incarnations of web that were seen to take connections, or cannot be asked
		self._serving: set[str] = set()
		self._starting: set[str] = set()  # names of those whose start was under way before the last look

	@property
	def where(self) -> Where:
		return Where(self.dockerd.url, self._source)

	def list(self) -> list[Process]:
		with naming_what_is_down(self._told, self.start_command):
			self._look()
		return [self._process(container) for container in self._known.values()]

	def order(
		self, *, stop: Collection[str] = (), start: Collection[str] = (), leave: Collection[str] = ()
	) -> dict[str, ProcessFault]:
		"""
		A stop is the container's own stop signal, and nothing that kills it later: how long its job takes is not Docker's to say.
		So to stop is to leave. A start is under way when this returns.
		"""
		stop = (*stop, *leave)
		if not (stop or start):
			return {}
		try:
			self._look()
		except ProcessFault as fault:
			return dict.fromkeys((*stop, *start), fault)
		orders = [(name, self._stop) for name in stop] + [(name, self._start) for name in start]
		return faults_of(orders)

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""KILL to all processes of these containers; their restart policy does not bring them back."""
		return faults_of((name, self._kill) for name in names)

	def check_orders(self, names: Collection[str]) -> None:
		"""Also tried with the start of one that runs, which changes nothing."""
		self._look()
		known = [self._known[name] for name in names if name in self._known]
		if own := [it.name for it in known if self._ours and it.id == self._ours.container]:
			raise ProcessFault(
				f"{own[0]} cannot be restarted from its own container: {INSIDE}", hint=self._elsewhere(known)
			)
		if running := next((it for it in known if it.is_up), None):
			self.dockerd.start(running.id)

	def settings(self) -> ManagerSettings:
		self._look()
		pids = {it.pid for it in self._known.values()} if self._ours and self._ours.is_here else set()
		programs = tuple(map(self._settings_of, self._known.values()))
		return ManagerSettings(programs, frozenset(pids - {0}))

	def mark_log(self, name: str) -> None:
		self._logs.mark(self._container(name))

	def log_tail(self, name: str) -> str:
		return self._logs.tail(self._container(name))

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		return [self._logs.tails(self._container(name), count)]

	def log_files(self, name: str) -> tuple[str, str]:
		return "", ""

	def start_command(self, names: Collection[str]) -> str:
		"""Compose knows services, and no replica of one."""
		known = [self._known.get(name) for name in names]
		if self.project and all(it is None or it.name == it.service for it in known):
			return shlex.join(["docker", "compose", "-p", self.project, "start", *names])
		own = [it.own_name if it else name for it, name in zip(known, names, strict=True)]
		return shlex.join(["docker", "start", *own])

	def status_command(self) -> str:
		if self.project:
			return shlex.join(["docker", "compose", "-p", self.project, "ps", "--all"])
		return "docker ps --all"

	def setup_command(self) -> str:
		return shlex.join(["docker", "compose", *(["-p", self.project] if self.project else []), "up", "-d"])

	def _elsewhere(self, containers: Iterable[Container]) -> str:
		service = next(iter(containers)).service
		return (
			"Type it in a container that is not restarted: docker compose"
			f"{f' -p {self.project}' if self.project else ''} run --rm {service} bench safe-restart …"
		)

	def _look(self) -> None:
		"""At each container of the project. Raises ProcessFault."""
		if self._ours is None:
			self._ours = find_ours(self.dockerd, self._bench)
		self._starting = {name for name, start in self._starts.items() if start.is_alive()}
		told = self.dockerd.containers(self.project)
		ids = [one["Id"] for one in told if self.project or self._ours.may_own(one)]
		answers = ((id, self.dockerd.inspect(id)) for id in ids)
		containers = [Container(id, answer) for id, answer in answers if answer]
		ours = sorted(self._ours_among(containers), key=lambda it: (it.name, it.is_up, it.alone_since))
		self._known = {it.name: it for it in ours}

	def _ours_among(self, containers: Iterable[Container]) -> list[Container]:
		"""
		One of which nothing tells whose it is goes with its project, unless that runs another bench, too. One that has ended,
		and is none of a bench's programs, has done its work: a configurator.
		"""
		known = [(it, self._ours.owns(it)) for it in containers if not is_strange(it)]
		answers = {owns for _, owns in known}
		is_projects = bool(self.project) and False not in answers and (self._is_named or True in answers)
		return [
			it
			for it, owns in known
			if (owns and (it.is_up or self._kinds.of(it)))
			or (owns is None and is_projects and self._kinds.of(it))
		]

	def _container(self, name: str) -> Container:
		"""By the last look. Raises ProcessFault for one that is not the bench's."""
		if name not in self._known:
			self._look()
		if name not in self._known:
			raise ProcessFault(f"Docker has no container {name} of this bench")
		return self._known[name]

	def _stop(self, name: str) -> None:
		container = self._container(name)
		if container.is_up or container.state.get("Restarting"):
			self.dockerd.kill(container.id, container.signal)
			self._told[container.name] = ("stop", container.incarnation)

	def _start(self, name: str) -> None:
		"""Raises ProcessFault while it is stopping: Docker would say yes and do nothing."""
		container = self._container(name)
		if self._state(container) is ProcessState.STOPPING:
			raise ProcessFault(f"{container.name} cannot be started: it is still stopping")
		if not container.is_up and container.name not in self._starting:
			self._told[container.name] = ("start", "")
			self._starts[container.name] = Start(self.dockerd.another(START_TAKES), container.id)

	def _kill(self, name: str) -> None:
		container = self._container(name)
		if container.is_up:
			self._told[name] = ("stop", container.incarnation)
			self.dockerd.kill(container.id, "SIGKILL")

	def _state(self, container: Container) -> ProcessState:
		order, incarnation = self._told.get(container.name, ("", ""))
		if order == "stop" and container.is_up and container.incarnation != incarnation:
			order = ""  # somebody has started it since
		if not container.is_up and order == "start":
			if container.name in self._starting:
				return ProcessState.STARTING
			if self._starts[container.name].fault:
				return ProcessState.FAILED
		state = state_of(container, order)
		is_new = state is ProcessState.RUNNING and order == "start"
		return ProcessState.STARTING if is_new and not self._serves(container) else state

	def _serves(self, container: Container) -> bool:
		"""Asked of web that we have started, until it takes connections: before that nobody may rely on it."""
		if container.incarnation in self._serving or self._kinds.of(container) is not ProcessKind.WEB:
			return True
		is_here = bool(self._ours and self._ours.is_here)
		if takes_connections(container, self._kinds.words(container), is_here=is_here) is False:
			return False
		self._serving.add(container.incarnation)
		return True

	def _detail(self, container: Container, state: ProcessState) -> str:
		if state not in FAILED:
			return (
				"paused" if container.state.get("Paused") else "unhealthy" * (container.health == "unhealthy")
			)
		start = self._starts.get(container.name)
		return str(start.fault) if start and start.fault else detail_of(container)

	def _process(self, container: Container) -> Process:
		state, kind, is_alone = self._state(container), self._kinds.of(container), self._is_alone(container)
		return Process(
			name=container.name,
			kind=kind or ProcessKind.OTHER,
			state=state,
			pid=container.pid or None,
			started=container.started,
			detail=self._detail(container, state),
			incarnation=container.incarnation,
			group=container.service,
			host=container.host,
			stays=None if kind else self._stays(container),
			has_replicas=self._has_replicas(container),
			alone_since=container.alone_since if is_alone else None,
			dies_with_job=is_alone,
		)

	def _stays(self, container: Container) -> Stays:
		command = (
			["docker", "compose", "-p", self.project, "restart", container.service]
			if self.project
			else ["docker", "restart", container.own_name]
		)
		reason = "what it runs is no web, worker or scheduler of a bench"
		return Stays(reason, (f"To restart {container.name}, type: {shlex.join(command)}.",))

	def _has_replicas(self, container: Container) -> bool:
		others = (it for it in self._known.values() if it is not container)
		return any(it.service == container.service and it.is_up for it in others)

	def _is_alone(self, container: Container) -> bool:
		"""Of a pool of RQ's, its workers have that host name, and none of them is the process that is restarted."""
		others = (it.host for it in self._known.values() if it is not container)
		is_pool = bench_command(split_words(container.words)) == "worker-pool"
		return container.has_own_host and container.host not in others and not is_pool

	def _settings_of(self, container: Container) -> ProgramSettings:
		return ProgramSettings(
			name=container.name,
			group=container.service,
			kind=self._kinds.of(container) or ProcessKind.OTHER,
			words=container.words,
			stop_seconds=container.grace,
			stop_signal=number_of(container.signal),
			kills_group=True,
			stops_group=False,
			restarts=RESTARTS.get(container.policy, "false"),
			section=container.service,
			file=container.labels.get(FILES, ""),
			manager_kind=DOCKER,
		)


def is_strange(container: Container) -> bool:
	"""One command that somebody runs, a database, what a supervisord in it steers, or a pod's."""
	words = split_words(container.words)
	is_store = is_data_store(words) and not kind_of(words)  # a worker's command may name its Redis
	is_others = container.is_one_off or container.is_in_pod
	return is_others or is_store or any(server in word for word in words for server in SERVERS)


class Start(Thread):
	"""Docker answers the order to start a container when it runs, on a busy machine seconds later."""

	def __init__(self, dockerd: Dockerd, id: str) -> None:
		super().__init__(name=f"start of {id[:12]}")
		self._dockerd, self._id = dockerd, id
		self.fault: ProcessFault | None = None
		self.start()

	def run(self) -> None:
		try:
			self._dockerd.start(self._id)
		except ProcessFault as fault:
			self.fault = fault
		finally:
			self._dockerd.close()


def number_of(name: str) -> int | None:
	"""Of a signal: SIGTERM, TERM or 15."""
	with suppress(ValueError, KeyError):
		return int(name) if name.isdigit() else signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"].value
	return None
