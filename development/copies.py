"""More benches like one that is built: tests run side by side on them, so each has processes and data of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from development import state
from development.database import run_sql, sql_command
from development.description import BENCH_FOLDERS, Bench
from development.desk_build import installed_apps, link_assets, stamp
from development.progress import Progress

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


def up_copies(first: Bench, count: int, progress: Progress) -> list[Bench]:
	"""Build what is missing and start them, all at the same time. `first` must be up."""
	from development.lifecycle import up

	def up_copy(bench: Bench) -> Bench:
		copy_environment(first, bench)
		copy_apps(first, bench)
		return up(bench, progress, template=first)

	wanted = copies_of(first, count)
	with ThreadPoolExecutor(max_workers=max(1, count)) as together:
		return list(together.map(up_copy, wanted))


def copy_environment(first: Bench, bench: Bench) -> None:
	"""
	Its packages and their compiled modules are never changed in place: one file serves all benches. The workload app
	alone is installed anew, because each bench has its own.
	"""
	target = bench.path / "env"
	if target.exists():
		return
	for folder in BENCH_FOLDERS:
		(bench.path / folder).mkdir(parents=True, exist_ok=True)
	unfinished = target.with_name(".env.new")
	shutil.rmtree(unfinished, ignore_errors=True)
	shutil.copytree(first.path / "env", unfinished, symlinks=True, copy_function=os.link)
	for file in [file for pattern in PLACED for file in unfinished.glob(pattern)]:
		put_into_place(file, f"{first.path}/", f"{bench.path}/")
	for mark in unfinished.glob("*-installed"):
		replace_file(mark, mark.read_bytes())
	(unfinished / "fmx_workload-installed").unlink(missing_ok=True)
	unfinished.rename(target)


def put_into_place(file: Path, before: str, after: str) -> None:
	content = file.read_bytes() if file.is_file() and not file.is_symlink() else b""
	if before.encode() in content:
		replace_file(file, content.replace(before.encode(), after.encode()))


def replace_file(file: Path, content: bytes) -> None:
	"""The other bench keeps what it has: the two names were one file."""
	mode = file.stat().st_mode
	file.unlink()
	file.write_bytes(content)
	file.chmod(mode)


def copy_apps(first: Bench, bench: Bench) -> None:
	for name in COPIED_APPS:
		target = bench.apps_path / name
		if not target.exists():
			unfinished = target.with_name(f".{name}.new")
			shutil.rmtree(unfinished, ignore_errors=True)
			shutil.copytree((first.apps_path / name).resolve(), unfinished, symlinks=True, copy_function=copy)
			unfinished.rename(target)


def copy(source: str, target: str) -> None:
	"""Packages from npm are never changed: one file serves all benches."""
	if "node_modules" in Path(source).parts:
		os.link(source, target)
	else:
		shutil.copy2(source, target)


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
