"""The configuration files of sites, read by Frappe's rules and changed atomically, one key at a time."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fmx_restart.adapters.setting_rules import read_object
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Setting


def replace_text(path: Path, text: str) -> None:
	"""
	Mode and owner stay. A symlink stays one: the file it leads to is replaced. What a killed process left behind is
	overwritten by the next one, so call it under a lock. Raises OSError, e.g. on a full disk; the old file is whole then.
	"""
	target = Path(os.path.realpath(path))
	draft = target.with_name(f".{target.name}.fmx_restart")
	old = target.stat()
	file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
	try:
		write_all(file, text.encode())
		if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
			os.fchown(file, old.st_uid, old.st_gid)
		os.fchmod(file, old.st_mode & 0o7777)
		os.fsync(file)
	except BaseException:
		draft.unlink()
		raise
	finally:
		os.close(file)
	draft.replace(target)
	sync_folder(target.parent)


def write_all(file: int, data: bytes) -> None:
	"""A disk that is nearly full takes a part of the data first, and raises OSError only for the rest."""
	while data:
		data = data[os.write(file, data) :]


def sync_folder(folder: Path) -> None:
	"""So that the new name survives a power cut too."""
	file = os.open(folder, os.O_RDONLY)
	try:
		os.fsync(file)
	finally:
		os.close(file)


PATIENCE = 10.0  # seconds; less than a lease


@contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
	"""Raises WrongEnvironment when someone else keeps it, or when the file cannot be opened."""
	lock = FileLock(path, timeout=timeout)
	try:
		path.parent.mkdir(exist_ok=True)
		lock.acquire()
	except Timeout as error:
		raise WrongEnvironment(f"another process keeps {path} locked.") from error
	except OSError as error:
		raise WrongEnvironment(f"{path} cannot be locked: {error.strerror}.") from error
	try:
		yield
	finally:
		lock.release()


def is_held(path: Path) -> bool:
	"""By whom does not matter. A lock file that was never made is not held."""
	if not path.exists():
		return False
	try:
		with FileLock(path, timeout=0):
			return False
	except Timeout:
		return True
	except OSError as error:
		raise WrongEnvironment(f"{path} cannot be locked: {error.strerror}.") from error


HINT = "Check it, e.g. with python3 -m json.tool {path}, correct it, then try again."


class SiteConfigFiles:
	"""An empty site means the common file. Both kinds are locked as Frappe locks them."""

	def __init__(self, bench_path: str, *, patience: float = PATIENCE) -> None:
		self.bench, self.patience = Path(bench_path), patience

	def read(self, site: str, key: str) -> Setting:
		return setting_in(parsed(self.path(site))[0], site, key)

	def replace(self, old: Setting, new: Setting) -> bool:
		with file_lock(self.lock(old.site), self.patience):
			path = self.path(old.site)
			config, text = parsed(path)
			now = setting_in(config, old.site, old.key)
			if not is_one_of(now, old, new):
				return False
			if not is_one_of(now, new):
				write(path, changed(config, new), text)
			return True

	def path(self, site: str) -> Path:
		"""The file of a site, or of all sites for an empty name."""
		folder = self.bench / "sites"
		return folder / site / "site_config.json" if site else folder / "common_site_config.json"

	def lock(self, site: str) -> Path:
		"""The file that Frappe itself locks while it writes this configuration."""
		folder = self.bench / "sites" / site / "locks" if site else self.bench / "config"
		return folder / "site_config.lock"


def setting_in(config: dict, site: str, key: str) -> Setting:
	"""A setting as found, which tells null from absent."""
	return Setting(site, key, config.get(key), key in config)


def is_one_of(now: Setting, *settings: Setting) -> bool:
	"""JSON tells 0 from false, Python's == does not."""
	return any(now == setting and type(now.value) is type(setting.value) for setting in settings)


def changed(config: dict, new: Setting) -> dict:
	"""In the order in which the file has it; a new key comes last."""
	if new.is_present:
		return {**config, new.key: new.value}
	return {key: value for key, value in config.items() if key != new.key}


def parsed(path: Path) -> tuple[dict, str]:
	"""
	The settings and the file's text. Raises WrongEnvironment for a file that cannot be read: it is never written then.
	"""
	try:
		return read_object(path)
	except (OSError, ValueError) as error:
		raise WrongEnvironment(
			f"{path} cannot be read: {error}. It was not touched.", hint=HINT.format(path=path)
		) from error


def write(path: Path, config: dict, old_text: str) -> None:
	"""In the style of the old text, so that a restored file differs in nothing."""
	indent = re.match(r"\{\r?\n([ \t]+)", old_text)
	text = json.dumps(config, indent=indent[1] if indent else None, ensure_ascii=old_text.isascii())
	try:
		replace_text(path, text + old_text[len(old_text.rstrip()) :])
	except OSError as error:
		raise WrongEnvironment(
			f"{path} cannot be written: {error.strerror}. It is unchanged.",
			hint="Check the free space and the owner of the file and its folder.",
		) from error


OVERRIDES = ("db_host", "db_name", "db_password", "db_port", "db_socket", "db_type", "db_user")


def site_settings(bench_path: Path, site: str, environ: Mapping[str, str] = os.environ) -> dict:
	"""The site's own over the common ones, the environment over both. Raises WrongEnvironment for a broken file."""
	sites = Path(bench_path, "sites")
	common = sites / "common_site_config.json"
	settings = parsed(common)[0] if common.exists() else {}
	settings = {**settings, **parsed(sites / site / "site_config.json")[0]}
	named = {
		name: environ[f"FRAPPE_{name.upper()}"] for name in OVERRIDES if environ.get(f"FRAPPE_{name.upper()}")
	}
	return {**settings, **named}


def database_address(config: Mapping) -> str:
	"""As people write it: host:port, or a socket's path."""
	port = 5432 if config.get("db_type") == "postgres" else 3306
	host = config.get("db_host") or "127.0.0.1"
	return str(config.get("db_socket") or f"{host}:{config.get('db_port') or port}")
