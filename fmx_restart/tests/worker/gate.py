"""A module whose import takes as long as the test wants: the process of a job loads its method before the job starts."""

import time
from pathlib import Path

import fmx_restart

while not Path("gate-is-open").exists():
	time.sleep(0.01)


@fmx_restart.restartable
def through() -> None:
	"""Its name stands in jobs' arguments."""
