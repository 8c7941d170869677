"""Redis' exceptions end here: by class, and where redis-py has no class by Redis' own error code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from fmx_restart.engine.errors import QueueUnreachable, WrongEnvironment
from fmx_restart.engine.plain_text import printable

# redis-py makes AuthenticationError a ConnectionError: the narrower one comes first
REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
#: Redis answers but writes nothing: it is full, a replica, cannot save, or waits for its replicas. That may pass.
WRITES_NOTHING = re.compile(r"\b(OOM|READONLY|MISCONF|NOREPLICAS) ")
CODES = {"OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY"}  # where redis-py takes the code away


@contextmanager
def redis_border() -> Iterator[None]:
	try:
		yield
	except REFUSED as error:
		raise WrongEnvironment(
			f"Redis refuses what this bench needs: {told(error)}.",
			hint="Check use_rq_auth, rq_username and rq_password in sites/common_site_config.json"
			" against config/redis_queue.acl.",
		) from error
	except AWAY as error:
		raise QueueUnreachable(
			f"Redis does not answer: {told(error)}.",
			hint="Check redis_queue in sites/common_site_config.json, and that Redis runs:"
			" supervisorctl status, or redis-cli -u <redis_queue> ping.",
		) from error
	except exceptions.ResponseError as error:
		if code := writes_nothing(error):
			raise QueueUnreachable(
				f"Redis refuses to write ({code}): {told(error)}.",
				hint="Look at Redis' memory (OOM: maxmemory), role (READONLY: it is a replica) or disk (MISCONF):"
				" redis-cli -u <redis_queue in sites/common_site_config.json> info.",
			) from error
		raise WrongEnvironment(
			f"Redis cannot do what this bench needs: {told(error)}.",
			hint="Check redis_queue in sites/common_site_config.json, then Redis' memory, role and version"
			" (6.0.6 or newer): redis-cli -u <redis_queue> info.",
		) from error
	except (exceptions.RedisError, UnicodeError) as error:  # its text may hold what was to be sent
		raise WrongEnvironment(
			f"Redis cannot be used ({type(error).__name__}).",
			hint="Check the settings that begin with redis_queue and rq_ in sites/common_site_config.json.",
		) from None


def told(error: Exception) -> str:
	"""One line without what was sent: a server that does not know a command repeats its arguments, a password too."""
	return printable(str(error).partition(", with args beginning with")[0])


def writes_nothing(error: exceptions.ResponseError) -> str | None:
	"""The code; None for any other refusal. A script or a pipeline puts words before it."""
	if code := CODES.get(type(error).__name__):
		return code
	found = WRITES_NOTHING.search(f"{error} ")
	return found and found[1]
