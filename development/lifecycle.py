"""The story of each subcommand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from development import state
from development.apps import ensure_frappe, ensure_frappe_source, ensure_our_apps
from development.configuration import write_bench_configuration, write_supervisord_configuration
from development.copies import copy_assets
from development.database import ensure_data_folder, write_database_settings
from development.description import Bench
from development.desk_build import ensure_desk, ensure_realtime, has_packages
from development.nginx import ensure_nginx, has_nginx_configuration, write_nginx_configuration
from development.progress import Progress
from development.services import (
	end_leftovers,
	restart_workers_and_web,
	running_supervisord,
	start_redis,
	start_supervisord,
	start_workers_and_web,
	stop_everything,
	wait_until_ready,
)
from development.sites import ensure_sites
from development.system_packages import ensure_packages
from development.tools import ensure_tools


def up(bench: Bench, progress: Progress, *, desk: bool = True, template: Bench | None = None) -> Bench:
	"""
	Install what is missing, build what is not built, start what does not run. Returns it with its final ports.
	`template`: a bench whose sites are copied instead of made.
	"""
	bench = start(bench, progress, desk=desk, template=template)
	wait_until_ready(bench)
	return bench


def start(bench: Bench, progress: Progress, *, desk: bool = True, template: Bench | None = None) -> Bench:
	"""As up, but workers and web may still boot when it returns."""
	log = bench.log_path / "build.log"
	state.remember(bench)
	if template is None:
		state.make_current(bench)
	has_new_apps = build(bench, progress, log, desk=desk)
	was_running = running_supervisord(bench) is not None
	if not was_running:
		bench = start_database(bench, progress, log)
	start_redis(bench)
	has_new_schema = fill(bench, progress, desk=desk, template=template)
	if not was_running or not has_nginx_configuration(
		bench
	):  # a build that failed half-way leaves supervisord running
		progress.say("workers, web, realtime and nginx")
		write_nginx_configuration(bench, log)
	start_workers_and_web(bench)
	if was_running and (has_new_apps or has_new_schema):
		restart_workers_and_web(bench, progress, log)
	return bench


def fill(bench: Bench, progress: Progress, *, desk: bool, template: Bench | None = None) -> bool:
	"""
	Sites and Desk's assets know nothing of each other, and either keeps one core busy. True when a site was migrated, so
	that running processes know less than its database.
	"""
	if template:
		copy_assets(template, bench)
	with ThreadPoolExecutor(max_workers=1) as aside:
		built = [aside.submit(ensure_desk, bench, progress, bench.log_path / "desk.log")] if desk else []
		is_migrated = ensure_sites(bench, progress, bench.log_path / "build.log", template)
		for task in built:
			task.result()
	return is_migrated


def build(bench: Bench, progress: Progress, log: Path, *, desk: bool = True) -> bool:
	"""Everything that needs nothing running. True when an app was installed, so that running code is not the newest."""
	ensure_packages(progress, log, for_a_checkout=bool(bench.frappe))
	ensure_nginx(progress, log)
	ensure_tools(progress, log)
	ensure_frappe_source(bench, progress, log)
	with ThreadPoolExecutor(
		max_workers=1
	) as aside:  # packages of Node and of Python: mostly a wait for the network
		node = aside.submit(ensure_node_packages, bench, progress, desk=desk)
		ensure_frappe(bench, progress, log)
		has_new_apps = ensure_our_apps(bench, progress, log)
		node.result()
	return has_new_apps


def ensure_node_packages(bench: Bench, progress: Progress, *, desk: bool) -> None:
	log = bench.log_path / "desk.log"
	ensure_realtime(bench, progress, log)
	if desk:
		has_packages(bench, progress, log)


def start_database(bench: Bench, progress: Progress, log: Path) -> Bench:
	"""Start supervisord with the database alone, in places that are free now."""
	end_leftovers(bench, progress)
	state.remove_sockets(bench)
	bench = state.with_fresh_places(bench)
	state.remember(bench)
	ensure_data_folder(bench, progress, log)
	write_database_settings(bench)
	write_supervisord_configuration(bench)
	write_bench_configuration(bench, log)
	start_supervisord(bench, progress, log)
	return bench


def down(bench: Bench, progress: Progress) -> None:
	stop_everything(bench, progress)
	state.remove_sockets(bench)


def reset(bench: Bench, progress: Progress) -> None:
	"""Stop the bench and delete it. Download caches stay, so the next `up` needs no network."""
	down(bench, progress)
	progress.say(f"deleting {bench.path} and {bench.private_path}")
	state.forget(bench)
