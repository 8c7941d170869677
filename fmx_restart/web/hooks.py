"""
gunicorn's hooks. sites/gunicorn.conf.py calls install(globals()) last: gunicorn reads that file from the folder where it
starts (its own default), so bench's programs need no other setting.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import suppress

from fmx_restart.web.master import Master
from fmx_restart.web.worker import become_ready, begin

MASTER = Master()  # gunicorn reads its configuration anew on SIGHUP; this stays


def install(configuration: MutableMapping[str, object]) -> None:
	"""Each hook of the file goes on being called, after ours. Ours never raises."""
	own = {
		name: configuration.get(name)
		for name in ("on_starting", "when_ready", "post_fork", "post_worker_init", "on_exit")
	}
	on_starting = chained(lambda server: MASTER.adopt(server), own["on_starting"])
	when_ready = chained(lambda server: MASTER.serve(server), own["when_ready"])
	post_fork = chained(lambda server, worker: begin(MASTER, worker), own["post_fork"])
	post_worker_init = chained(lambda worker: become_ready(MASTER, worker), own["post_worker_init"])
	on_exit = chained(lambda server: MASTER.exit(), own["on_exit"])
	# gunicorn counts the parameters of each hook
	configuration["on_starting"] = lambda server: on_starting(server)
	configuration["when_ready"] = lambda server: when_ready(server)
	configuration["post_fork"] = lambda server, worker: post_fork(server, worker)
	configuration["post_worker_init"] = lambda worker: post_worker_init(worker)
	configuration["on_exit"] = lambda server: on_exit(server)


def chained(ours: Callable, own: Callable | None) -> Callable:
	"""A gunicorn hook that calls ours, then the one that the person had. An error of ours is logged and ends nothing."""

	def hook(*arguments: object) -> None:
		try:
			ours(*arguments)
		except Exception as error:  # noqa: BLE001  web starts without it then
			with suppress(Exception):
				arguments[0].log.warning("fmx_restart: web restarts as usual, for a hook failed: %r", error)
		if own:
			own(*arguments)

	return hook
