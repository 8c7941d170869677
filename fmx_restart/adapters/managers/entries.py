"""One entry of the setting fmx_restart_managers: what entries of every kind have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fmx_restart.adapters.managers.names import MANAGERS
from fmx_restart.adapters.setting_rules import text_of_file
from fmx_restart.engine.frozen import frozen

COMMON_KEYS = ("kind", "name")
SOURCES = ("password", "password_file", "password_env")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
LONGEST = 4096  # characters of a password, or of any other text


class Odd(ValueError):
	"""What is wrong with an entry, in words that follow "entry 2"; no part of a value that may be secret."""


@frozen
class Entry:
	"""`values`: text by key, only known keys. `number`: from 1 on."""

	number: int
	values: Mapping[str, str]

	@property
	def source(self) -> str:
		"""What has named this manager."""
		return f"{MANAGERS}, entry {self.number}"

	def get(self, key: str) -> str:
		"""Empty where the entry does not have it: an empty value is refused."""
		return self.values.get(key, "")

	def name(self, default: str) -> str:
		"""As it was given, or made of `default`, which may hold any character. Raises Odd: it stands before the names of programs."""
		name = self.values.get("name")
		if name is not None and not NAME.fullmatch(name):
			raise Odd(
				"has a name with other characters than letters, digits, dots, - and _, or with more than 63"
			)
		return name or fit_name(default)


def fit_name(text: str) -> str:
	"""A name that an entry could have, of the same text; empty where nothing of it is fit."""
	return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip(".-")[:63]


def read_entry(value: Mapping[str, Any], number: int, keys: tuple[str, ...]) -> Entry:
	"""`keys`: of its kind. Raises Odd for a key that is not known, and for a value that is no text."""
	known = (*COMMON_KEYS[:1], *keys, *COMMON_KEYS[1:])
	if unknown := [key for key in value if key not in known]:
		raise Odd(f"has an unknown key: {shown(unknown[0])}; known are {', '.join(known)}")
	for key, text in value.items():
		if not isinstance(text, str) or not text or len(text) > LONGEST:
			raise Odd(f"has a value of {key} that is not text, is empty or is too long")
	return Entry(number, dict(value))


def password_from(source: str, value: str, environ: Mapping[str, str]) -> str:
	"""`source`: one of SOURCES. Raises Odd where there is no password; the names of files and variables are no secrets."""
	if source == "password":
		return value
	if source == "password_env":
		if not environ.get(value):
			raise Odd(f"takes its password from the environment variable {shown(value)}, which is not set")
		return environ[value]
	return password_in(value)


def password_in(path: str) -> str:
	"""The file's text without the line's end. Raises Odd."""
	if not path.startswith("/"):
		raise Odd("has a password_file that does not begin with /")
	try:
		text = text_of_file(Path(path)).rstrip("\n")
	except OSError as error:
		raise Odd(f"has a password_file that cannot be read: {shown(path)}: {error.strerror}") from None
	except ValueError:  # its text may show what stands there
		raise Odd(f"has a password_file that is no text file: {shown(path)}") from None
	if not text or len(text) > LONGEST or "\n" in text:
		raise Odd(f"has a password_file that does not hold one line: {shown(path)}")
	return text


def is_host(name: str) -> bool:
	"""As the command hostname prints it."""
	return name.isprintable() and not re.search(r"[\s/]", name)


def shown(value: object) -> str:
	"""A word of the setting that is no secret, as one line."""
	return repr(value)[:80]
