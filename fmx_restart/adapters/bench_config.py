"""What Frappe would read from the bench's configuration, by its rules, without importing it: it may be broken."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fmx_restart.engine.errors import WrongEnvironment

COMMON = "common_site_config.json"
SITES_NAMED = 20  # in one message


def read_config(folder: Path = Path()) -> dict:
	"""
	common_site_config.json of a sites folder, read strictly: Frappe 15 goes on with an empty one when it cannot be
	read. Raises WrongEnvironment.
	"""
	path = folder / COMMON
	if not (folder / "apps.txt").exists() and not path.exists():
		raise WrongEnvironment(
			"This is not the sites folder of a bench. Nothing was changed.",
			hint="Type the command inside a bench: cd frappe-bench, then bench safe-restart --wait-workers.",
		)
	try:
		config = json.loads(path.read_text())
		if not isinstance(config, dict):
			raise ValueError("it holds no settings")
		return config
	except (OSError, ValueError) as error:
		raise WrongEnvironment(
			f"sites/{COMMON} cannot be read: {error}. Nothing was changed, the file least of all.",
			hint=f"Put it right, e.g. by a look with python3 -m json.tool sites/{COMMON}, then try again.",
		) from error


def bench_path() -> str:
	"""By frappe.utils.get_bench_path: the folder three above the package, wherever Python would find that."""
	if root := os.environ.get("FRAPPE_BENCH_ROOT"):
		return root
	spec = importlib.util.find_spec("frappe")  # finds it, and runs nothing of it
	if spec is None or spec.origin is None:
		return os.path.realpath("..")
	return os.path.realpath(Path(spec.origin).parent / ".." / ".." / "..")


def bench_id(config: dict, path: str) -> str:
	"""By frappe.utils.get_bench_id: the prefix of every queue of this bench."""
	return config.get("bench_id", path.strip("/").replace("/", "-"))


def web_port(config: Mapping) -> int:
	"""Where gunicorn listens; bench's own default is 8000."""
	port = config.get("webserver_port") or 8000
	try:
		return int(port)
	except (TypeError, ValueError) as error:
		raise WrongEnvironment(
			f"webserver_port in sites/common_site_config.json is no number: {port!r}. Nothing was changed.",
			hint="Put it right, e.g. bench set-config -gp webserver_port 8000, then try again.",
		) from error


def sites(folder: Path = Path()) -> list[str]:
	"""By frappe.utils.get_sites: every folder, not a link, that has a configuration."""
	found = (file.parent for file in folder.glob("*/site_config.json"))
	return sorted(site.name for site in found if not site.is_symlink())


def is_site(name: str, folder: Path = Path()) -> bool:
	"""A folder right here, or a link to one, that has a configuration. No path is one, and no empty name."""
	if name in ("", ".", "..") or "/" in name:
		return False
	try:
		return (folder / name / "site_config.json").exists()
	except (OSError, ValueError):  # longer than a file's name may be; a null byte
		return False


def refuse_unknown_sites(names: Iterable[str], folder: Path = Path()) -> None:
	"""Raises WrongEnvironment where one of them is no site of this bench. Only its hint names other sites."""
	if unknown := [name for name in names if not is_site(name, folder)]:
		read_config(folder)  # where this is no bench, that is the fault
		known = sites(folder)
		more = f" and {len(known) - SITES_NAMED} more" if len(known) > SITES_NAMED else ""
		raise WrongEnvironment(
			f"This bench has no site {', '.join(map(repr, unknown))}. Nothing was changed.",
			hint=f"Its sites: {', '.join(known[:SITES_NAMED]) or 'none'}{more}.",
		)


def apps() -> list[str]:
	"""As Frappe lists them: what is installed on the bench, whatever its sites have of it."""
	return [line.strip() for line in Path("apps.txt").read_text().splitlines() if line.strip()]
