"""A bench on the disk: its folder, its configuration, its sites, its queues' limits, and when its code last changed."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from fmx_restart.adapters.setting_rules import (
	odd_settings,
	port_fault,
	port_number,
	read_object,
	text_or_number_fault,
	whole_number,
)
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.file_faults import NOT_SERVED, hint_of
from fmx_restart.engine.frozen import frozen


class BenchFolder:
	"""
	A bench's folder. Paths are compared after following symlinks, so a bench that is reached through one,
	or whose sites lie on another volume, is still itself; and /home/x/bench2 is no part of /home/x/bench.
	"""

	def __init__(self, path: str) -> None:
		self.path = os.path.realpath(path)
		self.sites = os.path.realpath(Path(path, "sites"))

	def owns(self, path: str) -> bool:
		"""Whether an absolute path lies in this bench. A file that is a symlink to elsewhere lies in it too."""
		# env/bin/python is such a symlink, so each folder above is resolved, not the file
		lexical = Path(os.path.normpath(path))
		return any(
			os.path.realpath(folder) in {self.path, self.sites} for folder in [lexical, *lexical.parents]
		)

	def is_other_bench(self, path: str) -> bool:
		"""Whether a folder is another bench, or lies directly in one as sites does."""
		folders = [Path(path), Path(path).parent]
		return not self.owns(path) and any(looks_like_a_bench(folder) for folder in folders)


def looks_like_a_bench(folder: Path) -> bool:
	"""It has the folders `sites` and `apps`."""
	return (folder / "sites").is_dir() and (folder / "apps").is_dir()


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
		return read_object(path)[0]
	except (OSError, ValueError) as error:
		hint = f"Correct it, then type the same command again. This names the place: python3 -m json.tool sites/{COMMON}"
		if isinstance(error, OSError) and error.errno in NOT_SERVED:
			hint = hint_of(error)
		raise WrongEnvironment(
			f"sites/{COMMON} cannot be read: {error}. Nothing was changed.", hint=hint
		) from error


def bench_path() -> str:
	"""By frappe.utils.get_bench_path: the folder three above the package, wherever Python would find that."""
	if root := os.environ.get("FRAPPE_BENCH_ROOT"):
		return root
	spec = importlib.util.find_spec("frappe")  # finds it, and runs nothing of it
	if spec is None or spec.origin is None:
		return os.path.realpath("..")
	return os.path.realpath(Path(spec.origin).parent / ".." / ".." / "..")


def bench_folder(frappes: str, sites: Path = Path()) -> str:
	"""
	The folder of the bench whose sites folder we are in: nearly always the one that Frappe goes by (`frappes`). Where
	apps/frappe is a link, Frappe counts from where it leads to, and finds a folder without these sites.
	"""
	above = os.path.realpath(sites / "..")
	is_bench = is_same(Path(above, "sites"), sites) and Path(above, "apps").is_dir()
	return above if is_bench and not is_same(Path(frappes, "sites"), sites) else frappes


def is_same(one: Path, other: Path) -> bool:
	"""One folder under two names, as through a symbolic link. False where one of them is gone."""
	try:
		return one.samefile(other)
	except OSError:
		return False


def bench_id(config: dict, path: str) -> str:
	"""By frappe.utils.get_bench_id: the prefix of every queue of this bench. Raises WrongEnvironment."""
	if "bench_id" not in config:
		return path.strip("/").replace("/", "-")
	value = config["bench_id"]
	if value in (None, "", False) or text_or_number_fault(value):
		raise odd("bench_id", "is not a name, and the names of this bench's queues begin with it")
	return str(value)


def web_port(config: Mapping) -> int:
	"""Where gunicorn listens; bench's own default is 8000. Raises WrongEnvironment."""
	value = config.get("webserver_port") or 8000
	if port := port_number(value):
		return port
	raise odd("webserver_port", port_fault(value), "Correct it: bench set-config -gp webserver_port 8000")


def check_workers(config: Mapping) -> None:
	"""Raises WrongEnvironment where Frappe's own workers could not start any more."""
	for setting in odd_settings(config, "workers"):
		raise odd(
			"workers",
			f"{setting.reason}, and with that no worker of Frappe's can start",
			'Write it as {"my-queue": {"timeout": 600}}, or remove the line, then type the same command again.',
		)


def odd(key: str, what: str, hint: str = "Correct it, then type the same command again.") -> WrongEnvironment:
	"""The error for a setting of common_site_config.json that cannot be used. `what` follows the key: "is not text"."""
	return WrongEnvironment(f"{key} in sites/{COMMON} {what}. Nothing was changed.", hint=hint)


def sites(folder: Path = Path()) -> list[str]:
	"""By frappe.utils.get_sites: every folder, not a link, that has a configuration."""
	folders = (file.parent for file in folder.glob("*/site_config.json"))
	return sorted(site.name for site in folders if not site.is_symlink())


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


def named_sites(names: Iterable[str], folder: Path = Path()) -> tuple[str, ...]:
	"""Each once, in the order of the names; `all` stands for every site. Raises WrongEnvironment as refuse_unknown_sites."""
	chosen = [site for name in names for site in (sites(folder) if name == "all" else [name])]
	refuse_unknown_sites(chosen, folder)
	return tuple(dict.fromkeys(chosen))


def apps() -> list[str]:
	"""By frappe.get_all_apps: what is installed on the bench, whatever its sites have of it. Raises OSError and WrongEnvironment."""
	return apps_in(Path("apps.txt"))


def apps_in(file: Path) -> list[str]:
	"""By frappe.get_file_items: a line that begins with # is a comment, and so are the byte order marks that editors leave."""
	try:
		content = file.read_text()
	except UnicodeDecodeError as error:
		raise WrongEnvironment(
			f"{file} cannot be read: byte {error.start} is not text. Nothing was changed.",
			hint="Write the names of the bench's apps into it, one a line.",
		) from None
	lines = content.replace("\ufeff", "").replace("\u200b", "").strip().splitlines()
	return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


DEFAULT = 300  # seconds
STANDARD = {"short": DEFAULT, "default": DEFAULT, "long": 1500}


def queue_limits(config: Mapping) -> dict[str, int]:
	"""
	Queue → seconds. `config`: common_site_config.json (frappe.utils.background_jobs.get_queues_timeout). What cannot be
	read is left out, or has Frappe's default.
	"""
	custom = config.get("workers")
	if not isinstance(custom, Mapping):
		return dict(STANDARD)
	return {**STANDARD, **{str(name): limit_of(settings) for name, settings in custom.items()}}


def limit_of(settings: object) -> int:
	"""Seconds that a job of the queue may run; Frappe's default where no whole number above 0 is set."""
	timeout = whole_number(settings.get("timeout")) if isinstance(settings, Mapping) else None
	return timeout if timeout and timeout > 0 else DEFAULT


def served_queues(words: Sequence[str], limits: Mapping[str, int]) -> tuple[str, ...]:
	"""Of a command line such as bench worker --queue short,default. Without --queue it serves all of them."""
	for word, following in pairwise([*words, ""]):
		if word == "--queue":
			return split(following)
		if word.startswith("--queue="):
			return split(word.partition("=")[2])
	return tuple(limits)


def split(names: str) -> tuple[str, ...]:
	"""The queues of `--queue a,b`, also with the quotes that configuration files have around them."""
	return tuple(name.strip() for name in names.strip("\"'").split(",") if name.strip())


PASSED_OVER = {"node_modules", "public", "tests", "__pycache__"}  # what no worker imports
BUDGET = 0.7  # seconds for all apps
AHEAD = 60.0  # seconds; a change in a future farther away than this is a wrong clock's


@frozen
class Change:
	app: str
	file: str  # relative to the app
	time: float  # seconds since the epoch


def last_change(bench: Path) -> Change | None:
	"""The newest Python file of all apps in sites/apps.txt, as far as the time suffices. None when there is none."""
	deadline = time.monotonic() + BUDGET
	newest = None
	for app in known_apps(bench):
		root = bench / "apps" / app
		for path, changed in sources(root / app, deadline):
			if (newest is None or changed > newest.time) and changed < time.time() + AHEAD:
				newest = Change(app, os.path.relpath(path, root), changed)
	return newest


def known_apps(bench: Path) -> list[str]:
	"""The bench's apps by sites/apps.txt; none where it cannot be read."""
	try:
		return apps_in(bench / "sites" / "apps.txt")
	except (OSError, WrongEnvironment):
		return []


def sources(folder: Path, deadline: float) -> Iterator[tuple[str, float]]:
	"""Python files but for tests, with the time of their last change. What cannot be read is passed over."""
	waiting = [str(folder)]
	while waiting and time.monotonic() < deadline:
		try:
			with os.scandir(waiting.pop()) as entries:
				for entry in entries:
					if entry.is_dir(follow_symlinks=False):
						if entry.name not in PASSED_OVER and not entry.name.startswith("."):
							waiting.append(entry.path)
					elif entry.name.endswith(".py") and not entry.name.startswith("test_"):
						yield entry.path, entry.stat().st_mtime
		except OSError:
			continue
