"""The phases of an operation and the moves that are allowed between them."""

from __future__ import annotations

from enum import Enum


def _(text: str) -> str:
	"""Marks it for the collection of translations. Desk translates it when it shows it; a terminal does not."""
	return text


class Phase(str, Enum):
	"""Values are shown to people and stand in journals."""

	PREFLIGHT = "Preflight"
	FENCE = "Fence"
	PARK = "Park"
	DRAIN = "Drain"
	BACKUP = "Backup"
	MIGRATE = "Migrate"
	RESTART = "Restart"
	LIFT = "Lift"
	VERIFY = "Verify"
	HANDOVER = "Handover"
	AUDIT = "Audit"
	DONE = "Done"
	ABORTED = "Aborted"
	FAILED = "Failed"
	RECOVERED = "Recovered"  # its process died; another one cleaned up

	@property
	def is_final(self) -> bool:
		"""No phase follows."""
		return not NEXT[self]

	@property
	def doing(self) -> str:
		"""What goes on in it, to follow a comma: "under way, waiting for running jobs"."""
		return WORDS.get(self, (self.value, self.value))[0]

	@property
	def time(self) -> str:
		"""The time that it takes, as a noun: "during the wait for running jobs"."""
		return WORDS.get(self, (self.value, self.value))[1]

	@property
	def can_be_undone(self) -> bool:
		"""Up to here no process and no schema was touched: giving up leaves the bench as it was."""
		return self in UNDOABLE


#: For sentences. The names of phases are headings, and what programs compare
WORDS = {
	Phase.PREFLIGHT: (_("running the pre-flight checks"), "the pre-flight checks"),
	Phase.FENCE: (_("pausing the queue"), "the pause of the queue"),
	Phase.PARK: (_("parking idle workers"), "the parking of idle workers"),
	Phase.DRAIN: (_("waiting for running jobs"), "the wait for running jobs"),
	Phase.BACKUP: (_("backing up the sites"), "the backup"),
	Phase.MIGRATE: (_("migrating the sites"), "the migration"),
	Phase.RESTART: (_("restarting the processes"), "the restart of the processes"),
	Phase.LIFT: (_("letting the queue run again"), "the release of the queue"),
	Phase.VERIFY: (_("checking the new processes"), "the check of the new processes"),
	Phase.HANDOVER: (_("replacing workers one by one"), "the replacement of busy workers"),
	Phase.AUDIT: (_("counting the jobs"), "the count of the jobs"),
}
UNDOABLE = {Phase.PREFLIGHT, Phase.FENCE, Phase.PARK, Phase.DRAIN, Phase.BACKUP}

NEXT = {
	# the early ones fail where another operation took the bench: what they changed is left to the recovery
	Phase.PREFLIGHT: {Phase.FENCE, Phase.RESTART, Phase.ABORTED, Phase.FAILED},
	Phase.FENCE: {Phase.PARK, Phase.ABORTED, Phase.FAILED},
	Phase.PARK: {Phase.DRAIN, Phase.BACKUP, Phase.MIGRATE, Phase.RESTART, Phase.ABORTED, Phase.FAILED},
	Phase.DRAIN: {Phase.BACKUP, Phase.MIGRATE, Phase.RESTART, Phase.ABORTED, Phase.FAILED},
	Phase.BACKUP: {Phase.MIGRATE, Phase.ABORTED, Phase.FAILED},
	Phase.MIGRATE: {Phase.RESTART, Phase.FAILED},
	Phase.RESTART: {Phase.LIFT, Phase.VERIFY, Phase.FAILED},
	Phase.LIFT: {Phase.VERIFY, Phase.FAILED},
	Phase.VERIFY: {Phase.HANDOVER, Phase.AUDIT, Phase.FAILED},
	# after one group of hosts comes the next one
	Phase.HANDOVER: {Phase.FENCE, Phase.RESTART, Phase.AUDIT, Phase.FAILED},
	Phase.AUDIT: {Phase.DONE, Phase.FAILED},
	Phase.DONE: set(),
	Phase.ABORTED: set(),
	Phase.FAILED: set(),
	Phase.RECOVERED: set(),
}


def phase_named(name: str) -> Phase | None:
	"""None for one that another version knows, or the doctor: the lock's note says what its writer likes."""
	return next((phase for phase in Phase if phase.value == name), None)


def doing(name: str) -> str:
	"""Of the phase with this name; a name that this version does not know stays as it is."""
	phase = phase_named(name)
	return phase.doing if phase else name


def time_of(name: str) -> str:
	"""As `doing`, for Phase.time."""
	phase = phase_named(name)
	return phase.time if phase else name


def check_move(current: Phase, following: Phase) -> None:
	"""Raises ValueError for a move the table does not allow: that is always our own bug."""
	if following not in NEXT[current]:
		raise ValueError(f"an operation cannot go from {current.value} to {following.value}")
