"""How a person reaches one of the bench's Redis servers: a command to paste, never with a password in it."""

from __future__ import annotations

from shlex import join

from redis import Redis, SSLConnection

LOCAL = ("localhost", "127.0.0.1")


def redis_cli(server: Redis) -> str:
	"""
	redis-cli with the address of this server. It asks for the password where one is needed. Without an address where sentinels
	know it.
	"""
	known = server.connection_pool.connection_kwargs
	words = ["redis-cli"]
	if path := known.get("path"):
		words += ["-s", path]
	elif port := known.get("port"):
		words += [] if known.get("host") in LOCAL else ["-h", str(known.get("host"))]
		words += ["-p", str(port)]
	words += ["-n", str(known["db"])] if known.get("db") else []
	words += ["--tls"] if issubclass(server.connection_pool.connection_class, SSLConnection) else []
	words += ["--user", str(known["username"])] if known.get("username") else []
	words += ["--askpass"] if known.get("password") else []
	return join(words)


def address(server: Redis) -> str:
	"""Its URL, for tools that take one, without user and password."""
	known = server.connection_pool.connection_kwargs
	if path := known.get("path"):
		return f"unix://{path}?db={known.get('db') or 0}"
	is_safe = issubclass(server.connection_pool.connection_class, SSLConnection)
	place = f"{known.get('host', 'localhost')}:{known.get('port', 6379)}/{known.get('db') or 0}"
	return f"redis{'s' if is_safe else ''}://{place}"
