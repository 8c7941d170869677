"""
What counts as one program: web as a whole, as Kubernetes rolls it out; of everything else each pod, as each is one worker. Which
pod has which place stays so while it lives.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from fmx_restart.adapters.managers.kubernetes.pods import Pod, oldest, state_of, why_down
from fmx_restart.adapters.managers.kubernetes.workloads import Workload
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind, ProcessState

BETWEEN = ":"  # a Deployment's name and the number of a pod; no name of Kubernetes' own has it


@frozen
class Program:
	"""`place`: from 0 on; of a whole one 0. `is_surplus`: it has no pod and gets none, as others have as many as there are to be."""

	name: str
	workload: Workload
	pods: tuple[Pod, ...]
	place: int = 0
	is_surplus: bool = False

	@property
	def is_whole(self) -> bool:
		"""All pods together; so is what stays."""
		return is_whole(self.workload)

	@property
	def oldest(self) -> Pod | None:
		"""Of the pods that run: the program lives as long as that one."""
		return oldest(self.pods)

	@property
	def pod(self) -> Pod | None:
		"""The one to show: that of its place, or the oldest of all."""
		return self.oldest or next(iter(self.pods), None)

	@property
	def uids(self) -> frozenset[str]:
		"""Of its pods."""
		return frozenset(pod.uid for pod in self.pods)

	@property
	def hosts(self) -> frozenset[str]:
		"""Host names of its pods."""
		return frozenset(pod.host for pod in self.pods)

	@property
	def incarnations(self) -> frozenset[str]:
		"""Of its pods that run."""
		return frozenset(pod.incarnation for pod in self.pods if pod.is_up)


def is_whole(workload: Workload) -> bool:
	"""Its pods stand in for each other."""
	return workload.program in (ProcessKind.WEB, None)


class Places:
	"""Which pod of a Deployment has which place. One that is told to end keeps its place until it is gone; its successor takes it."""

	def __init__(self) -> None:
		self._places: dict[str, list[str]] = {}

	def programs(self, seen: Mapping[str, tuple[Workload, list[Pod]]]) -> dict[str, Program]:
		"""By name. `seen`: by reference."""
		names = [workload.name for workload, _ in seen.values()]
		programs = []
		for reference, (workload, pods) in seen.items():
			is_unique = names.count(workload.name) == 1
			name = workload.name if is_unique else reference.replace("/", ".")
			if is_whole(workload):
				programs.append(Program(name, workload, tuple(pods)))
			else:
				programs += self._each(name, reference, workload, pods)
		return {program.name: program for program in programs}

	def _each(self, name: str, reference: str, workload: Workload, pods: list[Pod]) -> Iterable[Program]:
		by_uid = {pod.uid: pod for pod in pods}
		places = assigned(self._places.get(reference, []), pods, workload.wanted)
		self._places[reference] = places
		room = workload.wanted - sum(map(bool, places))
		for number, uid in enumerate(places):
			full = f"{name}{BETWEEN}{number + 1}" if number else name
			room -= not uid
			yield Program(full, workload, (by_uid[uid],) if uid else (), number, not uid and room < 0)


def assigned(before: list[str], pods: Collection[Pod], wanted: int) -> list[str]:
	"""
	Uids by place, empty where there is none. `wanted`: how many there are to be; at least one place is there. A pod that was told
	to end before anybody looked has a place only where one is free, and one that runs nothing any more makes way: its node may take
	half a minute to tidy up after a container that ends again and again.
	"""
	alive = {pod.uid for pod in pods}
	ending = {pod.uid for pod in pods if pod.is_ending}
	places = [uid if uid in alive else "" for uid in before]
	places += [""] * (max(wanted, 1) - len(places))
	fresh = [it.uid for it in sorted(pods, key=lambda it: (it.is_ending, it.created, it.name))]
	fresh = [uid for uid in fresh if uid not in places]
	places = [uid or (fresh.pop(0) if fresh else "") for uid in places]
	further = [uid for uid in fresh if uid not in ending]
	over = {pod.uid for pod in pods if pod.is_ending and not pod.is_up}
	places = [further.pop(0) if uid in over and further else uid for uid in places]
	soon_free = sum(uid in ending for uid in places)
	return [*places, *further[soon_free:]]


def state_of_program(program: Program, old: Collection[str], *, is_stopped: bool = False) -> ProcessState:
	"""`old`: uids of the pods that we have told to end, or to make way. `is_stopped`: we have stopped it."""
	workload = program.workload
	if not workload.replicas:
		is_left = workload.kept and not is_stopped  # by an operation that died, so nobody wants it to be down
		down = ProcessState.FAILED if is_left else ProcessState.STOPPED
		return ProcessState.STOPPING if program.pods else down
	return state_of_whole(program, old) if program.is_whole else state_of_place(program, old)


def state_of_place(program: Program, old: Collection[str]) -> ProcessState:
	"""Of one pod, or of its place while there is none."""
	pod = next(iter(program.pods), None)
	if pod is None:
		if program.is_surplus:
			return ProcessState.STOPPED
		return ProcessState.FAILED if program.workload.fault else ProcessState.STARTING
	return ProcessState.STOPPING if pod.uid in old else state_of(pod)


def state_of_whole(program: Program, old: Collection[str]) -> ProcessState:
	"""Of all pods together. One that is rolled out has failed when one of its new pods has."""
	pods, workload = program.pods, program.workload
	if old:
		new = [pod for pod in pods if pod.uid not in old]
		if any(state_of(pod) is ProcessState.FAILED for pod in new) or has_stalled(workload):
			return ProcessState.FAILED
		is_done = workload.is_rolled_out and not any(pod.uid in old or pod.is_ending for pod in pods)
		return ProcessState.RUNNING if is_done else ProcessState.STOPPING
	if any(pod.is_ready and not pod.is_ending for pod in pods):
		return ProcessState.RUNNING
	states = [state_of(pod) for pod in pods if not pod.is_ending]
	if ProcessState.FAILED in states or (not states and workload.fault):
		return ProcessState.FAILED
	return ProcessState.RETRYING if ProcessState.RETRYING in states else ProcessState.STARTING


def has_stalled(workload: Workload) -> bool:
	"""By its controller's own word about what it was told last."""
	has_seen = (workload.status.get("observedGeneration") or 0) >= (workload.meta.get("generation") or 0)
	return has_seen and bool(workload.fault)


def detail_of(program: Program, old: Collection[str], state: ProcessState) -> str:
	"""Why it is as it is, where that is worth a word; of a rollout how far it has come."""
	if state is ProcessState.STOPPED or (state is ProcessState.RUNNING and not old):
		return ""
	if not program.workload.replicas:
		return f"an operation has stopped it, and has not started it again (pods: {program.workload.kept})"
	why = next((it for pod in program.pods if pod.uid not in old and (it := why_down(pod))), "")
	why = why or program.workload.fault
	if not (old and program.is_whole) or state is ProcessState.RUNNING:
		return why if state is not ProcessState.STOPPING else ""
	new = [pod for pod in program.pods if pod.uid not in old]
	ready, left = sum(pod.is_ready for pod in new), len(program.pods) - len(new)
	progress = f"{ready} of {program.workload.replicas} new pods are ready, {left} old ones are left"
	return f"{why}; {progress}" if why else progress
