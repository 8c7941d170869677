"""The sites of a bench: made once, with the setup wizard done and our apps installed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from development.copies import copy_site
from development.description import OUR_APPS, Bench
from development.progress import Progress
from development.running import run_logged

FINISH_SETUP = Path(__file__).with_name("finish_setup.py")


def ensure_sites(bench: Bench, progress: Progress, log: Path, template: Bench | None = None) -> bool:
	"""True when a site that was there already was migrated, so that running processes know less than its database."""
	is_migrated = False
	for site in bench.sites:
		if not (bench.sites_path / site / "finished").exists():
			if template:
				progress.say(f"site: {site} of {bench.name}, copied")
				copy_site(template, bench, site)
			else:
				make_site(bench, site, progress, log)
		ensure_apps_on_site(bench, site, progress, log)
		is_migrated = ensure_migrated(bench, site, progress, log) or is_migrated
	return is_migrated


def make_site(bench: Bench, site: str, progress: Progress, log: Path) -> None:
	apps = apps_for_sites(bench)
	progress.say(f"site: {site} with {', '.join(apps)}" if apps else f"site: {site}")
	bench_command(
		bench,
		log,
		"new-site",
		site,
		"--db-root-username=root",
		f"--db-root-password={bench.database_root_password}",
		f"--admin-password={bench.admin_password}",
		login_from_any_host(bench),
		# what an interrupted build left of it
		"--force",
		*(f"--install-app={name}" for name in apps),
	)
	note_installed(bench, site, apps)
	note_migrated(bench, site)
	on_site(bench, site, log, FINISH_SETUP, site)
	bench_command(bench, log, "--site", site, "enable-scheduler")
	bench_command(bench, log, "--site", site, "clear-cache")
	(bench.sites_path / site / "finished").touch()


def login_from_any_host(bench: Bench) -> str:
	"""The option for a database user that may come over TCP; newer Frappes call it otherwise."""
	explained = bench.run_bench_command("new-site", "--help").stdout
	is_newer = "--mariadb-user-host-login-scope" in explained
	return "--mariadb-user-host-login-scope=%" if is_newer else "--no-mariadb-socket"


def ensure_apps_on_site(bench: Bench, site: str, progress: Progress, log: Path) -> None:
	installed = json.loads(installed_note(bench, site).read_text())
	for name in apps_for_sites(bench):
		if name not in installed:
			progress.say(f"site: {name} into {site}")
			bench_command(bench, log, "--site", site, "install-app", name)
			installed.append(name)
			note_installed(bench, site, installed)


def ensure_migrated(bench: Bench, site: str, progress: Progress, log: Path) -> bool:
	"""As soon as a DocType, a page or a hook of ours is another one than when the site was last migrated."""
	note = migrated_note(bench, site)
	if note.exists() and note.read_text() == schema(bench):
		return False
	progress.say(f"site: migrating {site}")
	bench_command(bench, log, "--site", site, "migrate")
	note_migrated(bench, site)
	return True


def note_migrated(bench: Bench, site: str) -> None:
	migrated_note(bench, site).write_text(schema(bench))


def migrated_note(bench: Bench, site: str) -> Path:
	return bench.sites_path / site / "migrated-schema"


def schema(bench: Bench) -> str:
	"""Of all that a migration brings into a site from our apps."""
	found = hashlib.sha256()
	for name in apps_for_sites(bench):
		package = OUR_APPS[name] / name
		for file in sorted([*package.rglob("*.json"), package / "hooks.py", package / "patches.txt"]):
			found.update(str(file).encode() + file.read_bytes())
	return found.hexdigest()


def apps_for_sites(bench: Bench) -> list[str]:
	return [name for name in OUR_APPS if (bench.apps_path / name).exists()]


def installed_note(bench: Bench, site: str) -> Path:
	"""Kept beside the site: asking Frappe itself would take seconds at every start."""
	return bench.sites_path / site / "installed-apps.json"


def note_installed(bench: Bench, site: str, apps: list[str]) -> None:
	installed_note(bench, site).write_text(json.dumps(apps))


def bench_command(bench: Bench, log: Path, *args: str) -> None:
	run_logged([bench.tools / "bench", *args], log, cwd=bench.path, env=bench.environment)


def on_site(bench: Bench, site: str, log: Path, script: Path, *args: str) -> None:
	"""Run a script of ours with Frappe's interpreter where Frappe expects to be: in the sites folder."""
	run_logged([bench.python, script, *args], log, cwd=bench.sites_path, env=bench.environment)
