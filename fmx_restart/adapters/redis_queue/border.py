"""Redis' exceptions end here: by class, never by message text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from fmx_restart.engine.errors import QueueUnreachable, WrongEnvironment

# redis-py makes AuthenticationError a ConnectionError: the narrower one comes first
REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)


@contextmanager
def redis_border() -> Iterator[None]:
	try:
		yield
	except REFUSED as error:
		raise WrongEnvironment(
			f"Redis refuses what this bench needs: {error}.",
			hint="Check use_rq_auth, rq_username and rq_password in sites/common_site_config.json"
			" against config/redis_queue.acl.",
		) from error
	except AWAY as error:
		raise QueueUnreachable(
			f"Redis does not answer: {error}.",
			hint="Check redis_queue in sites/common_site_config.json, and that Redis runs:"
			" supervisorctl status, or redis-cli -u <redis_queue> ping.",
		) from error
	except exceptions.ResponseError as error:
		raise WrongEnvironment(
			f"Redis cannot do what this bench needs: {error}.",
			hint="Check redis_queue in sites/common_site_config.json, then Redis' memory, role and version"
			" (6.0.6 or newer): redis-cli -u <redis_queue> info.",
		) from error
