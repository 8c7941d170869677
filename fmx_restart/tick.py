"""The scheduler's part: an operation whose process and guardian both died is put right within a tick."""

from __future__ import annotations


def recover_unfinished() -> None:
	"""Launches a process for it: a job must not restart the workers that it runs in."""
	from fmx_restart.recovering import launch_guardian, ours_unfinished

	for operation in ours_unfinished():
		launch_guardian(operation)
