"""More benches like one that is built: tests run side by side on them, so each has processes and data of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from development import state
from development.database import run_sql, sql_command
from development.description import BENCH_FOLDERS, OUR_APPS, Bench
from development.desk_build import installed_apps, link_assets, stamp
from development.progress import Progress
from development.services import running_supervisord

#: None is the beginning of another: tests find a bench's processes by its path.
ORDINALS = ("second", "third", "fourth", "fifth", "sixth")
COPIED_APPS = ("frappe", "fmx_workload")  # tests change files in them
#: Of a Python environment: what may hold the path of its bench.
PLACED = (
	"bin/*",
	"pyvenv.cfg",
	"lib/*/site-packages/*.pth",
	"lib/*/site-packages/*.dist-info/direct_url.json",
)


def copies_of(first: Bench, count: int) -> list[Bench]:
	"""The benches to bring up beside the first, with ports of their own."""
	found = []
	for ordinal in ORDINALS[:count]:
		name = f"{ordinal}-{first.name}"
		bench = state.read_bench(name) or state.new_bench(
			name, frappe=first.frappe, sites=first.sites, background_workers=first.background_workers
		)
		state.remember(bench)  # before the next one chooses its ports
		found.append(bench)
	return found


def up_copies(first: Bench, wanted: list[Bench], progress: Progress) -> list[Bench]:
	"""
	Build what is missing and start them, all at the same time. `first` must be started. Returns them with their final ports.
	"""
	from development.lifecycle import up

	def up_copy(bench: Bench) -> Bench:
		copy_environment(first, bench)
		copy_apps(first, bench)
		return up(bench, progress, template=first)

	with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as together:
		return list(together.map(up_copy, wanted))


def copy_environment(first: Bench, bench: Bench) -> None:
	"""
	Its packages and their compiled modules are never changed in place, so links lead to them: to copy or to link each file
	takes longer than a bench takes to boot. Made anew at each start, because packages of the first may be others by then.
	"""
	if running_supervisord(bench):
		return
	for folder in BENCH_FOLDERS:
		(bench.path / folder).mkdir(parents=True, exist_ok=True)
	moved = {f"{first.path}/": f"{bench.path}/"}
	moved[str(OUR_APPS["fmx_workload"])] = str(bench.apps_path / "fmx_workload")
	link_environment(first.path / "env", bench.path / "env", moved)


def link_environment(source: Path, target: Path, moved: dict[str, str]) -> None:
	"""A Python environment of its own whose packages are links to those of `source`. `moved`: as for put_into_place."""
	unfinished = target.with_name(f".{target.name}.new")
	shutil.rmtree(unfinished, ignore_errors=True)
	copy_but_packages(source, unfinished)
	for file in [file for pattern in PLACED for file in unfinished.glob(pattern)]:
		put_into_place(file, moved)
	shutil.rmtree(target, ignore_errors=True)
	unfinished.rename(target)


def copy_but_packages(source: Path, target: Path) -> None:
	"""Of the packages only what may hold the path of its bench."""
	(packages,) = source.glob("lib/python*/site-packages")
	placed = {file for pattern in PLACED for file in source.glob(pattern)}
	placed = {part for part in packages.iterdir() if placed & {part, part / "direct_url.json"}}
	shutil.copytree(
		source,
		target,
		symlinks=True,
		ignore=lambda folder, _: ["site-packages"] if folder == str(packages.parent) else [],
	)
	(target / packages.relative_to(source)).mkdir()
	for part in packages.iterdir():
		place = target / part.relative_to(source)
		if part not in placed:
			place.symlink_to(part)
		elif part.is_dir():
			shutil.copytree(part, place)
		else:
			shutil.copy2(part, place)


def put_into_place(file: Path, moved: dict[str, str]) -> None:
	"""`moved`: what stands in it for the first bench → what is to."""
	if file.is_symlink() or not file.is_file():
		return
	content = file.read_bytes()
	for before, after in moved.items():
		content = content.replace(before.encode(), after.encode())
	file.write_bytes(content)


def copy_apps(first: Bench, bench: Bench) -> None:
	for name in COPIED_APPS:
		target = bench.apps_path / name
		if not target.exists():
			unfinished = target.with_name(f".{name}.new")
			shutil.rmtree(unfinished, ignore_errors=True)
			source = (first.apps_path / name).resolve()
			shutil.copytree(source, unfinished, symlinks=True, ignore=packages_from_npm(source))
			if (source / "node_modules").exists():
				(unfinished / "node_modules").symlink_to(source / "node_modules")
			unfinished.rename(target)


def packages_from_npm(app: Path) -> Callable[[str, list[str]], list[str]]:
	"""Never changed in place either."""
	return lambda folder, _: ["node_modules"] if folder == str(app) else []


def copy_assets(first: Bench, bench: Bench) -> None:
	"""Desk as the first bench has built it."""
	if (bench.sites_path / "assets" / "assets.json").exists():
		return
	for app in installed_apps(bench):
		link_assets(bench, app)
		if stamp(first, app).exists():
			shutil.copy2(stamp(first, app), stamp(bench, app))
	for file in (first.sites_path / "assets").glob("assets*.json"):
		shutil.copy2(file, bench.sites_path / "assets" / file.name)


def copy_site(first: Bench, bench: Bench, site: str) -> None:
	"""Its folder and its database, under the same names and passwords."""
	folder = bench.sites_path / site
	shutil.rmtree(folder, ignore_errors=True)
	unfinished = copied_beside(first.sites_path / site, folder)
	config = json.loads((unfinished / "site_config.json").read_text())
	name, password = config["db_name"], config["db_password"]
	statements = [
		f"DROP DATABASE IF EXISTS `{name}`",
		f"CREATE DATABASE `{name}`",
		f"CREATE OR REPLACE USER '{name}'@'%' IDENTIFIED BY '{password}'",
		f"GRANT ALL PRIVILEGES ON `{name}`.* TO '{name}'@'%'",
		"FLUSH PRIVILEGES",
	]
	run_sql(bench, "; ".join(statements))
	dump = subprocess.Popen(
		[*sql_command(first, "mysqldump"), "--single-transaction", name], stdout=subprocess.PIPE
	)
	subprocess.run([*sql_command(bench, "mysql"), name], stdin=dump.stdout, check=True)
	if dump.wait():
		raise subprocess.CalledProcessError(dump.returncode, "mysqldump")
	unfinished.rename(folder)


def copied_beside(source: Path, target: Path) -> Path:
	unfinished = target.with_name(f".{target.name}.new")
	shutil.rmtree(unfinished, ignore_errors=True)
	shutil.copytree(source, unfinished, symlinks=True)
	return unfinished
