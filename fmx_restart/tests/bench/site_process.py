"""on_site.py as a process that answers one question after the other: to start a Frappe for each would take seconds."""

from __future__ import annotations

import atexit
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
	from development.description import Bench

SCRIPT = Path(__file__).with_name("on_site.py")
_processes: dict[str, SiteProcess] = {}


class SiteProcess:
	def __init__(self, bench: Bench) -> None:
		self._process = subprocess.Popen(
			[str(bench.python), str(SCRIPT), bench.site],
			cwd=bench.sites_path,
			env=bench.environment,
			stdin=subprocess.PIPE,
			stdout=subprocess.PIPE,
			stderr=subprocess.DEVNULL,
			text=True,
		)
		atexit.register(self.close)

	def ask(self, function: str, **given) -> None:
		self._process.stdin.write(json.dumps([function, given]) + "\n")
		self._process.stdin.flush()

	def answer(self) -> Any:
		"""Of the oldest question that was not answered yet."""
		told = json.loads(self._process.stdout.readline())
		if "error" in told:
			raise AssertionError(told["error"])
		return told["answer"]

	def close(self) -> None:
		if self._process.poll() is None:
			self._process.communicate(timeout=60)


def on_site(bench: Bench, function: str, **given) -> Any:
	"""What that function of on_site.py returns."""
	if bench.name not in _processes:
		_processes[bench.name] = SiteProcess(bench)
	_processes[bench.name].ask(function, **given)
	return _processes[bench.name].answer()


def close_shared() -> None:
	"""Those that tests of this process share."""
	for process in _processes.values():
		process.close()
