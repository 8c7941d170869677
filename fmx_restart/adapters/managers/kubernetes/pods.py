"""A pod as the API server describes it: how its container stands, why it does not run, when it began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fmx_restart.adapters.managers.kubernetes.api import Resource
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessState

#: Of a container that waits for its turn
BOOTING = {"", "ContainerCreating", "PodInitializing"}
BACK_OFF = "CrashLoopBackOff"
#: Tried again at once; later it is called ImagePullBackOff
FIRST_PULL = "ErrImagePull"
ENDED = ("Failed", "Succeeded")  # phases of a pod that runs nothing any more, and is replaced
LONGEST_HOST = 63  # characters of a host name
#: Why a container ended that did run: a message with these is what it has written itself
BY_ITSELF = ("", "Error", "Completed")
UNSCHEDULABLE = "Unschedulable"
PID = 1  # of a container's first process, in the container


@frozen
class Pod(Resource):
	"""`container`: the name of the one that runs the program. `has_run`: it was seen to run in this pod."""

	told: Mapping[str, Any]
	container: str
	has_run: bool = False

	@property
	def uid(self) -> str:
		"""Never the same again."""
		return str(self.meta.get("uid", ""))

	@property
	def version(self) -> str:
		"""Another one with whatever is told of it."""
		return str(self.meta.get("resourceVersion", ""))

	@property
	def is_ending(self) -> bool:
		"""It was told to stop, by whomever."""
		return bool(self.meta.get("deletionTimestamp"))

	@property
	def is_over(self) -> bool:
		"""
		Evicted, or ended for good: others take its place. Also one that was told to end and whose container has: its node tidies up
		for some seconds more, and starts nothing in it again. Where it has done so before it told of the end, it tells of a container
		that is still to be made.
		"""
		state = self.own.get("state") or {}
		is_tidied = self.has_run and (state.get("waiting") or {}).get("reason", BACK_OFF) in BOOTING
		has_ended = self.is_ending and (bool(state.get("terminated")) or is_tidied)
		return has_ended or self.status.get("phase") in ENDED

	@property
	def created(self) -> str:
		"""As the API server writes it, which can be compared."""
		return str(self.meta.get("creationTimestamp", ""))

	@property
	def own(self) -> Mapping[str, Any]:
		"""The status of the container; empty before its node has written one."""
		statuses = self.status.get("containerStatuses") or ()
		return next((it for it in statuses if it.get("name") == self.container), {})

	@property
	def restarts(self) -> int:
		"""How often the container was started again."""
		return int(self.own.get("restartCount") or 0)

	@property
	def running(self) -> Mapping[str, Any] | None:
		"""None while the container is down."""
		return (self.own.get("state") or {}).get("running")

	@property
	def is_up(self) -> bool:
		"""Its first process runs."""
		return self.running is not None and not self.is_over

	@property
	def is_ready(self) -> bool:
		"""By its readinessProbe; where it has none, as soon as it runs."""
		return self.is_up and bool(self.own.get("ready"))

	@property
	def incarnation(self) -> str:
		"""Of whichever process the container ran last."""
		return f"{self.uid}@{self.restarts}"

	@property
	def earlier(self) -> str:
		"""The incarnation before; empty where there is none."""
		return f"{self.uid}@{self.restarts - 1}" if self.restarts else ""

	@property
	def started(self) -> float | None:
		"""Seconds since the epoch, by its node's clock."""
		return seconds((self.running or {}).get("startedAt"))

	@property
	def host(self) -> str:
		"""The host name that its workers write into Redis."""
		if self.spec.get("hostNetwork"):
			return str(self.spec.get("nodeName", ""))
		return str(self.spec.get("hostname") or self.name)[:LONGEST_HOST].rstrip("-.")

	@property
	def alone_since(self) -> float:
		"""
		When what it ran before had ended, or its node had taken it; seconds since the epoch, by its node's clock. A worker is often
		there before its node has said that the container runs.
		"""
		ended = seconds(self.ended.get("finishedAt"))
		return ended or seconds(self.status.get("startTime")) or 0.0

	@property
	def waiting(self) -> Mapping[str, Any]:
		"""Why the container does not run yet, or not again; also that of one that prepares it."""
		statuses = [self.own, *(self.status.get("initContainerStatuses") or ())]
		waits = ((it.get("state") or {}).get("waiting") for it in statuses)
		reasons = [it for it in waits if it]
		return next((it for it in reasons if it.get("reason", "") not in BOOTING), next(iter(reasons), {}))

	@property
	def ended(self) -> Mapping[str, Any]:
		"""How the container ended last; empty where it did not."""
		now, before = ((self.own.get(it) or {}).get("terminated") for it in ("state", "lastState"))
		return now or before or {}

	@property
	def unschedulable(self) -> str:
		"""Why no node takes it; empty where one has."""
		for condition in self.status.get("conditions") or ():
			if condition.get("type") == "PodScheduled" and condition.get("reason") == UNSCHEDULABLE:
				return f"{UNSCHEDULABLE}: {condition.get('message', '')}"
		return ""


def state_of(pod: Pod) -> ProcessState:
	"""A container that Kubernetes starts again and again has failed: it says so after the second end."""
	if pod.is_ending:
		return ProcessState.STOPPING
	if pod.is_up:
		return ProcessState.RUNNING
	reason = pod.waiting.get("reason", "")
	if reason == BACK_OFF:
		return ProcessState.FAILED if pod.ended.get("exitCode") else ProcessState.EXITED
	if reason == FIRST_PULL:
		return ProcessState.RETRYING
	return ProcessState.STARTING if reason in BOOTING else ProcessState.FAILED


def why_down(pod: Pod) -> str:
	"""In a few words, Kubernetes' own among them; empty where nothing is known, and while it runs."""
	if pod.is_up:
		return ""
	reason, message = pod.waiting.get("reason", ""), pod.waiting.get("message", "")
	if reason not in {*BOOTING, BACK_OFF}:
		return f"{reason}: {message}" if message else reason
	ended = how_ended(pod.ended) or pod.unschedulable
	return f"{ended} ({BACK_OFF})" if reason == BACK_OFF else ended


def how_ended(ended: Mapping[str, Any]) -> str:
	"""Exit code or signal, and why, in words."""
	if not ended:
		return ""
	if ended.get("reason") == "OOMKilled":
		return "the kernel killed it, as memory ran out (OOMKilled)"
	reason, message = ended.get("reason", ""), ended.get("message", "")
	is_programs = reason in BY_ITSELF  # it may be the end of its log, with what its jobs are about
	also = f" ({reason}: {message})" if message and not is_programs else ""
	return f"it ended with exit code {ended.get('exitCode', 'unknown')}{also}"


def seconds(text: object) -> float | None:
	"""Since the epoch, of a time as Kubernetes writes it; None where it never was."""
	try:
		return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
	except ValueError:
		return None


def oldest(pods: Iterable[Pod]) -> Pod | None:
	"""Of those that run; the one whose end is the end of them all, as its controller ends the youngest first."""
	up = sorted((it for it in pods if it.is_up), key=lambda it: (it.created, it.started or 0.0, it.name))
	return up[0] if up else None
