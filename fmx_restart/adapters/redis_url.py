"""
Redis URLs as people write them into settings. They may hold a password, and what a parser says of a wrong one may hold a part
of it: whatever is wrong is told by the setting's name alone.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import redis

from fmx_restart.engine.errors import WrongEnvironment

COMMON = "sites/common_site_config.json"
SCHEMES = ("redis", "rediss", "unix")
ESCAPE = "in a user name or password, / ? # [ ] @ and % must be escaped (%2F %3F %23 %5B %5D %40 %25)"


def checked_url(url: object, key: str, place: str = COMMON) -> str:
	"""The same URL, which redis-py can use. Raises WrongEnvironment with nothing of it."""
	if fault := url_fault(url):
		raise WrongEnvironment(
			f"{key} in {place} {fault}. Nothing was changed.",
			hint=f"Write it as redis://user:password@host:port; {ESCAPE}.",
		)
	return str(url)


def url_fault(url: object) -> str:
	"""What is wrong with it; empty for one that can be used. Holds no part of it."""
	if not isinstance(url, str):
		return "is not text"
	if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
		return "does not begin with redis://, rediss:// or unix://"
	try:
		parts = urlsplit(url)
		check_address(parts)
		redis.ConnectionPool.from_url(url).make_connection()  # opens nothing yet
	except Exception:  # noqa: BLE001  redis-py hands an option on to whatever class, and each has its own errors
		return "cannot be read as a Redis URL"
	return "holds a character that must be escaped" if has_stray_characters(url, parts) else ""


def check_address(parts: SplitResult) -> None:
	"""Raises ValueError for a port or a host that cannot exist."""
	_ = parts.port
	host = parts.hostname or ""
	if ":" not in host:  # an IPv6 address has no labels
		host.encode("idna")  # as the resolver does; it cannot do that with db..internal


def has_stray_characters(url: str, parts: SplitResult) -> bool:
	"""
	A part of a password would be taken for the host, the port or the database, and shown in the next error: everything
	behind a / ? or # that should have been escaped, up to the @ that ends the password.
	"""
	is_path = parts.scheme == "unix" and not parts.netloc
	later = parts.query if is_path else parts.path + parts.query
	if parts.scheme == "unix" and parts.netloc and not parts.netloc.endswith("@"):
		return True  # a socket's path begins with a third /
	return "#" in url or "@" in later or not url.isprintable()
