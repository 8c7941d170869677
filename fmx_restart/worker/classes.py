"""Frappe's worker classes, with another way to pop and to stop. A pool of Python 3.14 imports them by name."""

from __future__ import annotations

from frappe.utils import background_jobs

from fmx_restart.worker.lossless import Lossless


class Worker(Lossless, background_jobs.Worker):
	pass


if hasattr(background_jobs, "FrappeWorker"):

	class FrappeWorker(Lossless, background_jobs.FrappeWorker):
		pass


if hasattr(background_jobs, "FrappeWorkerNoFork"):

	class FrappeWorkerNoFork(Lossless, background_jobs.FrappeWorkerNoFork):
		forks = False
