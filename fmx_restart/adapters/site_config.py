"""The sites' site_config.json, changed as Frappe's update_site_config does, but atomically and one key only."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fmx_restart.adapters.atomic_file import replace_text
from fmx_restart.adapters.file_lock import PATIENCE, file_lock
from fmx_restart.adapters.json_file import read_object
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Setting

HINT = "Look at it, e.g. with python3 -m json.tool {path}, put it right, then try again."


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
		folder = self.bench / "sites"
		return folder / site / "site_config.json" if site else folder / "common_site_config.json"

	def lock(self, site: str) -> Path:
		folder = self.bench / "sites" / site / "locks" if site else self.bench / "config"
		return folder / "site_config.lock"


def setting_in(config: dict, site: str, key: str) -> Setting:
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
			f"{path} cannot be written: {error.strerror}. It is as it was.",
			hint="Look at the free space, and at who owns the file and its folder.",
		) from error
