"""A worker with threads finishes what it has accepted before it leaves: gunicorn up to 23 closes such connections unread."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

LOOK = 0.05  # seconds
LONGEST = 5.0  # seconds that idle connections are waited for


def drain_on_term(worker: object) -> None:
	"""From the first SIGTERM on: accept nothing, keep no connection alive, and go when none is left."""
	if not hasattr(worker, "nr_conns") or hasattr(worker, "set_accept_enabled"):
		return  # sync workers have none, and gunicorn 24 and later drain by themselves
	leave, begun = worker.handle_exit, []

	def handle_exit(signum: int, frame: object) -> None:
		if not begun:
			begun.append(True)
			stop_accepting(worker)
			threading.Thread(target=drain, name="fmx-drain", daemon=True).start()

	def drain() -> None:
		until = time.monotonic() + min(worker.cfg.keepalive + 1, LONGEST)
		while worker.nr_conns > 0 and time.monotonic() < until:
			time.sleep(LOOK)
		leave(signal.SIGTERM, None)

	signal.signal(signal.SIGTERM, handle_exit)


def stop_accepting(worker: object) -> None:
	"""In the main thread, which holds the lock in none of the calls that a signal may break into (it is reentrant)."""
	with worker._lock:
		for listener in worker.sockets:
			with suppress(KeyError, ValueError):
				worker.poller.unregister(listener)
	worker.max_keepalived = 0
