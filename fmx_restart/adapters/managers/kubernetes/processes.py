"""The bench's programs in pods: orders to restart, stop and start, their states, and their logs."""

from __future__ import annotations

import shlex
import signal
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial

from fmx_restart.adapters.managers.kind import Where
from fmx_restart.adapters.managers.kubernetes.api import Api, Forbidden
from fmx_restart.adapters.managers.kubernetes.logs import PodLogs
from fmx_restart.adapters.managers.kubernetes.namespace import Namespace
from fmx_restart.adapters.managers.kubernetes.permission import Permission
from fmx_restart.adapters.managers.kubernetes.pods import PID, Pod
from fmx_restart.adapters.managers.kubernetes.programs import (
	Places,
	Program,
	detail_of,
	state_of_program,
)
from fmx_restart.adapters.managers.kubernetes.workloads import DEPLOYMENT, KEPT, RESTARTED, Workload
from fmx_restart.adapters.managers.names import KUBERNETES
from fmx_restart.adapters.managers.orders import faults_of, naming_what_is_down
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

#: Seconds that a worker at work gets which is told to leave: its job has a limit of its own
LEAVES_WITHIN = 24 * 60 * 60
AT_ONCE = 1  # seconds; with 0 the API server would forget a pod while it still runs
FAILED = (ProcessState.EXITED, ProcessState.FAILED)
LOOKS = 3  # at a pod that changes between a look and the next order
Give = Callable[[Program], None]


class KubernetesProcesses:
	"""`source`: who named it. `namespace`: what is asked, and how."""

	def __init__(self, namespace: Namespace, *, source: str) -> None:
		self._namespace, self._source = namespace, source
		self._permission = Permission(namespace.api, namespace.name)
		self._kubectl = ["kubectl", *namespace.api.access.options, "-n", namespace.name]
		self._logs = PodLogs(namespace.api, namespace.pods_path, self._kubectl)
		self._places = Places()
		self._known: dict[str, Program] = {}  # by name, by the last look
		self._told: dict[str, frozenset[str]] = {}  # program → uids of the pods that are to be gone
		self._ran: dict[str, frozenset[str]] = {}  # program → incarnations of those pods at that time
		self._stamps: dict[str, str] = {}  # program → of its rollout, so that a second order does the same
		self._replaced: set[str] = set()  # programs whose pods we have told to make way
		self._stopped: set[str] = set()  # programs that we have stopped, and not started
		self._up: defaultdict[str, set[str]] = defaultdict(set)  # program → incarnations that were seen
		self._hosts: defaultdict[str, set[str]] = defaultdict(set)  # program → host names that its pods had

	@property
	def api(self) -> Api:
		"""Of its cluster."""
		return self._namespace.api

	@property
	def where(self) -> Where:
		access = self.api.access
		place = access.context or access.kubeconfig or ("this cluster" if access.is_pods else "")
		return Where(f"namespace {self._namespace.name}{f' of {place}' if place else ''}", self._source)

	def list(self) -> list[Process]:
		with naming_what_is_down(self._stopped, self.start_command):
			self._look()
		return [self._process(program) for program in self._known.values()]

	def order(
		self,
		*,
		stop: Collection[str] = (),
		start: Collection[str] = (),
		leave: Collection[str] = (),
		restart: Collection[str] = (),
	) -> dict[str, ProcessFault]:
		"""To stop is to scale to 0, so it is of all pods of a Deployment; to leave is to be deleted, however long that takes."""
		names = (*stop, *start, *leave, *restart)
		if not names:
			return {}
		try:
			self._look()
		except ProcessFault as fault:
			return dict.fromkeys(names, fault)
		faults = self._stop(stop)
		orders: list[tuple[str, Give]] = [(name, self._start) for name in start]
		orders += [(name, self._leave) for name in leave]
		orders += [(name, self._restart) for name in restart]
		return faults | self._give(orders)

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""What was told to end, and has not, or is to end now: its grace is over. The successor of the latter comes at once."""
		return self._give([(name, self._kill) for name in names])

	def check_orders(self, names: Collection[str]) -> None:
		self._look()
		known = [self._known[name] for name in names if name in self._known]
		own = self._namespace.ours.pod
		if own and (inside := next((it for it in known if own in it.uids), None)):
			raise ProcessFault(
				f"{inside.name} cannot be restarted from its own pod: this command runs in it, and would end with it",
				hint="Type it in a pod that nothing restarts: a Job with the same image and the same sites volume.",
			)
		for program in known:
			if program.is_whole and (why := program.workload.cannot_roll_out):
				raise ProcessFault(f"{program.workload.reference} cannot be restarted: {why}")
		if known:
			self._permission.check(it.workload.kind for it in known)

	def settings(self) -> ManagerSettings:
		self._look()
		kubectl = shlex.join(self._kubectl)
		return ManagerSettings(tuple(settings_of(it, kubectl) for it in self._known.values()), frozenset())

	def mark_log(self, name: str) -> None:
		program = self._program(name)
		self._logs.mark(name, self._up[name] - program.incarnations)

	def log_tail(self, name: str) -> str:
		"""Of a program with several pods the youngest of those that are not ready, else the youngest."""
		program = self._program(name)
		pods = sorted(program.pods, key=lambda it: (not it.is_ready, it.created))[-1:]
		return self._logs.tail(name, pods, self._process(program).detail)

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		return [self._logs.tails(pod, count) for pod in self._program(name).pods]

	def log_files(self, name: str) -> tuple[str, str]:
		return "", ""

	def start_command(self, names: Collection[str]) -> str:
		"""One for each number of pods."""
		numbers: dict[int, list[str]] = {}
		for name in names:
			program = self._known.get(name)
			reference = program.workload.reference if program else f"deployment/{name}"
			references = numbers.setdefault(program.workload.wanted or 1 if program else 1, [])
			references += [reference] if reference not in references else []
		commands = (
			shlex.join([*self._kubectl, "scale", f"--replicas={number}", *references])
			for number, references in sorted(numbers.items())
		)
		return "; ".join(commands)

	def status_command(self) -> str:
		return shlex.join([*self._kubectl, "get", "deployments,statefulsets,pods"])

	def setup_command(self) -> str:
		release = next(filter(None, (it.workload.release for it in self._known.values())), "")
		if not release:
			return shlex.join([*self._kubectl, "apply", "-f", "FILE"])
		access = self.api.access
		options = ["--kubeconfig", access.kubeconfig] if access.kubeconfig else []
		options += ["--kube-context", access.context] if access.context else []
		words = ["helm", *options, "-n", self._namespace.name, "upgrade", release, "frappe/erpnext"]
		return shlex.join([*words, "--reuse-values"])

	def _look(self) -> None:
		"""Raises ProcessFault."""
		with self._explained():
			self._known = self._places.programs(self._namespace.look())
		for name, program in self._known.items():
			self._up[name] |= program.incarnations
			self._hosts[name] |= program.hosts
			if not program.is_whole and name in self._told and self._is_another(program):
				del self._told[name]

	def _is_another(self, program: Program) -> bool:
		"""The successor of what was told to end has its place, or nobody; or the order got lost, and the pod has started anew."""
		if self._told[program.name].isdisjoint(program.uids):
			return True
		is_ending = any(pod.is_ending for pod in program.pods)
		return not is_ending and not program.incarnations <= self._ran.get(program.name, frozenset())

	@contextmanager
	def _explained(self) -> Iterator[None]:
		try:
			yield
		except Forbidden as fault:
			raise self._permission.explained(fault) from fault

	def _give(self, orders: Iterable[tuple[str, Give]]) -> dict[str, ProcessFault]:
		faults = faults_of((name, partial(self._give_one, give)) for name, give in orders)
		self._namespace.forget()
		return faults

	def _give_one(self, give: Give, name: str) -> None:
		with self._explained():
			give(self._program(name))

	def _program(self, name: str) -> Program:
		"""By the last look. Raises ProcessFault for one that is not the bench's."""
		if name not in self._known:
			self._look()
		if name not in self._known:
			raise ProcessFault(f"Kubernetes has no {name} of this bench")
		return self._known[name]

	def _stop(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""Each Deployment once: all places of it, or none."""
		groups: defaultdict[str, list[str]] = defaultdict(list)
		for name in names:
			groups[self._known[name].workload.reference if name in self._known else ""].append(name)
		faults = {}
		for reference, places in groups.items():
			unknown = {it: ProcessFault(f"Kubernetes has no {it} of this bench") for it in places}
			faults |= self._scale_down(reference, places) if reference else unknown
		return faults

	def _scale_down(self, reference: str, names: list[str]) -> dict[str, ProcessFault]:
		"""The number of its pods is kept in the same write: it outlives us."""
		workload = self._known[names[0]].workload
		going = {*names, *self._stopped}
		if other := next((it for it in self._places_of(workload) if it.name not in going and it.pods), None):
			why = f"{names[0]} cannot be stopped alone: {reference} runs {other.name}, too"
			return dict.fromkeys(names, ProcessFault(why))
		kept = {"metadata": {"annotations": {KEPT: str(workload.replicas)}}, "spec": {"replicas": 0}}
		try:
			with self._explained():
				if workload.replicas:
					self.api.patch(self._namespace.path_of(workload), kept)
		except ProcessFault as fault:
			return dict.fromkeys(names, fault)
		finally:
			self._namespace.forget()
		for name in names:
			self._told.pop(name, None)
		self._stopped |= set(names)
		return {}

	def _start(self, program: Program) -> None:
		"""Raises ProcessFault while it is stopping: what is left of it may still run."""
		workload, state = program.workload, self._state(program)
		if state is ProcessState.STOPPING:
			raise ProcessFault(f"{program.name} cannot be started: it is still stopping")
		self._stopped.discard(program.name)
		self._forget_kept(workload)
		if not workload.replicas:
			self._scale_back(workload)
		elif program.is_surplus:
			raise ProcessFault(
				f"{program.name} cannot be started: {workload.reference} is to have {workload.wanted} pods now; something, such"
				" as an autoscaler, has changed that meanwhile"
			)
		elif state in FAILED and not program.is_whole:
			self._make_way(program.name)

	def _make_way(self, name: str) -> None:
		"""
		A new pod starts at once, and one that is down only after minutes. Its container may have been started again meanwhile, and
		may run a job: only a pod that is still as it was seen is deleted. Its node may know better even so, so that a job would get
		its time.
		"""
		for _ in range(LOOKS):
			self._namespace.forget()
			self._look()
			program = self._known.get(name)
			if program is None or self._state(program) not in FAILED:
				return
			if self._delete(program.pods, LEAVES_WITHIN, as_seen=True):
				return
		raise ProcessFault(f"{name} cannot be started: its pod changes again and again")

	def _scale_back(self, workload: Workload) -> None:
		"""All of its programs at once. A number that nobody kept is 1."""
		if any(it.workload.replicas for it in self._places_of(workload)):
			return
		number = workload.kept or 1
		body = {"metadata": {"annotations": {KEPT: None}}, "spec": {"replicas": number}}
		self.api.patch(self._namespace.path_of(workload), body)
		self._namespace.forget()
		self._look()

	def _forget_kept(self, workload: Workload) -> None:
		"""
		Somebody else has scaled it back after an operation that died. Whoever scales it to 0 later means it: with the number it would
		look as if that had been us.
		"""
		if workload.replicas and workload.kept:
			self.api.patch(self._namespace.path_of(workload), {"metadata": {"annotations": {KEPT: None}}})

	def _restart(self, program: Program) -> None:
		"""A rollout of web; of others their pod, whose successor comes at once. What is down is started."""
		if not program.workload.replicas:
			self._start(program)
			return
		self._forget_kept(program.workload)
		self._logs.mark(program.name, program.incarnations)
		if program.is_whole:
			self._roll_out(program)
		else:
			# one that has just begun may have taken a job before its node says that it runs
			self._tell_to_end(program, None if program.oldest else LEAVES_WITHIN)

	def _roll_out(self, program: Program) -> None:
		stamp = self._stamps.setdefault(program.name, now())
		self.api.patch(
			self._namespace.path_of(program.workload),
			{"spec": {"template": {"metadata": {"annotations": {RESTARTED: stamp}}}}},
		)
		self._told[program.name] = program.uids
		del self._stamps[program.name]

	def _leave(self, program: Program) -> None:
		if program.is_whole:
			raise ProcessFault(f"{program.name} has no single process that could leave")
		self._tell_to_end(program, LEAVES_WITHIN)

	def _tell_to_end(self, program: Program, grace: int | None = None) -> None:
		"""`grace`: seconds from TERM to KILL; the pod's own where none is given. Asked again, it is the same pod."""
		uids = self._note_told(program)
		self._replaced.add(program.name)
		self._delete([pod for pod in program.pods if pod.uid in uids and not pod.is_ending], grace)

	def _note_told(self, program: Program) -> frozenset[str]:
		"""Uids of the pods that are to be gone: those of now, unless it was told before."""
		if not self._told.get(program.name):
			self._told[program.name], self._ran[program.name] = program.uids, program.incarnations
		return self._told[program.name]

	def _kill(self, program: Program) -> None:
		told = self._told.get(program.name, frozenset())
		if program.is_whole and program.workload.replicas and told:  # of a rollout what has no time left
			self._delete([pod for pod in program.pods if pod.is_ending], AT_ONCE)
			return
		if not told and program.name in self._replaced:
			return  # what was meant has ended meanwhile, and this is its successor
		self._note_told(program)
		self._delete(program.pods, AT_ONCE)

	def _delete(self, pods: Collection[Pod], grace: int | None = None, *, as_seen: bool = False) -> bool:
		"""These and no successors of theirs. `as_seen`: only those of which nothing else is told now. Whether all were deleted."""
		answers = []
		for pod in pods:
			wanted = {"uid": pod.uid, **({"resourceVersion": pod.version} if as_seen else {})}
			body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": wanted}
			body |= {"gracePeriodSeconds": grace} if grace is not None else {}
			answers.append(self.api.delete(f"{self._namespace.pods_path}/{pod.name}", body))
		return all(answers)

	def _places_of(self, workload: Workload) -> list[Program]:
		return [it for it in self._known.values() if it.workload.reference == workload.reference]

	def _state(self, program: Program) -> ProcessState:
		old = self._told.get(program.name, frozenset())
		state = state_of_program(program, old, is_stopped=program.name in self._stopped)
		if program.is_whole and old and state is ProcessState.RUNNING:
			del self._told[program.name]  # the rollout is done
		return state

	def _process(self, program: Program) -> Process:
		old = self._told.get(program.name, frozenset())
		state, workload = self._state(program), program.workload
		kind, pod, up = workload.program, program.pod, program.oldest
		return Process(
			name=program.name,
			kind=kind or ProcessKind.OTHER,
			state=state,
			pid=PID if up else None,
			started=up.started if up else None,
			detail=detail_of(program, old, state),
			incarnation=up.incarnation if up else "",
			group=workload.name,
			host=pod.host if pod and not program.is_whole else workload.name,
			stays=None if kind else self._stays(workload),
			rolls_out=kind is not None,
			scaled_by=self._namespace.autoscalers.get(workload.reference, ""),
			gap=workload.gap if kind is ProcessKind.WEB else "",
			alone_since=pod.alone_since if pod and is_alone(program) else None,
			ended_hosts=tuple(sorted(self._ended_hosts(program))) if is_alone(program) else (),
			dies_with_job=bool(up) and is_alone(program),
		)

	def _ended_hosts(self, program: Program) -> set[str]:
		"""A StatefulSet's pods have the same names again, and so have those of the machine's network."""
		if program.workload.kind != DEPLOYMENT:
			return set()
		return self._hosts[program.name] - {host for it in self._known.values() for host in it.hosts}

	def _stays(self, workload: Workload) -> Stays:
		command = shlex.join([*self._kubectl, "rollout", "restart", workload.reference])
		reason = "what it runs is no web, worker or scheduler of a bench"
		return Stays(reason, (f"To restart {workload.name}, type: {command}.",))


def is_alone(program: Program) -> bool:
	"""Of a pool, its workers have that host name, and none of them is the process that is restarted."""
	workload = program.workload
	return not (program.is_whole or workload.has_machines_network or workload.is_pool)


def settings_of(program: Program, kubectl: str) -> ProgramSettings:
	"""As the pod's description has them. `kubectl`: the command with the options that reach its namespace."""
	workload = program.workload
	return ProgramSettings(
		name=program.name,
		group=workload.name,
		kind=workload.program or ProcessKind.OTHER,
		words=workload.words,
		stop_seconds=workload.grace,
		stop_signal=signal.SIGTERM,
		kills_group=True,
		stops_group=False,
		restarts="true",
		section=workload.reference,
		file=kubectl,
		manager_kind=KUBERNETES,
	)


def now() -> str:
	"""As Kubernetes writes a time."""
	return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
