"""What systemd says of a unit, in the words that every manager's states are translated to."""

from __future__ import annotations

from collections.abc import Mapping

from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.engine.ports import ProcessState

CANNOT_RUN = 203  # EXIT_EXEC: systemd's own exit code (systemd.exec(5))
KILLED, DUMPED = "2", "3"  # ExecMainCode: CLD_KILLED, CLD_DUMPED
REASONS = {
	"timeout": "it did not start or stop in time",
	"oom-kill": "the kernel killed it, as memory ran out",
	"start-limit-hit": "it was started too often in a short time",
	"watchdog": "it did not answer its watchdog",
	"resources": "systemd could not set up what it needs",
}


def state_of(answer: Mapping[str, str], *, told: str = "") -> ProcessState:
	"""
	`told`: "stop" or "start", what we ordered last. Without it nothing tells whether a unit that is down was stopped, or has
	ended as it may: it counts as stopped, and one that failed as failed.
	"""
	active, sub = answer.get("ActiveState", ""), answer.get("SubState", "")
	if active == "activating":
		return ProcessState.RETRYING if sub.startswith("auto-restart") else ProcessState.STARTING
	if active == "deactivating":
		return ProcessState.STOPPING
	if active in ("active", "reloading", "refreshing"):
		return ProcessState.RUNNING if main_pid(answer) else ProcessState.EXITED
	if active == "failed":
		return ProcessState.STOPPED if told == "stop" else ProcessState.FAILED
	has_run = answer.get("ExecMainExitTimestampMonotonic", "0") not in ("", "0")
	return ProcessState.EXITED if told == "start" and has_run else ProcessState.STOPPED


def main_pid(answer: Mapping[str, str]) -> int:
	"""0 while it has none."""
	return whole_number(answer.get("MainPID")) or 0


def detail_of(answer: Mapping[str, str]) -> str:
	"""Why it is down, in a few words."""
	result, status = answer.get("Result", ""), answer.get("ExecMainStatus", "")
	if result in REASONS:
		return REASONS[result]
	if answer.get("ExecMainCode") in (KILLED, DUMPED):
		return f"it was ended by signal {status}"
	if whole_number(status) == CANNOT_RUN:
		return "its command cannot be run (exit code 203)"
	return f"it ended with exit code {status or 'unknown'}"
