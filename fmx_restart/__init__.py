from typing import Any

__version__ = "0.1.0"

#: What an app's jobs use: name → module. Loaded when it is first asked for, as every part of this app imports this
_OF_JOBS = {
	"restartable": "fmx_restart.worker.jobs",
	"resume_later": "fmx_restart.worker.resume",
	"should_stop": "fmx_restart.worker.jobs",
}


def __getattr__(name: str) -> Any:
	if name not in _OF_JOBS:
		raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
	from importlib import import_module

	globals()[name] = found = getattr(import_module(_OF_JOBS[name]), name)
	return found
