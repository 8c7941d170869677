"""development/bench: up, down, status, reset."""

from __future__ import annotations

import argparse
import os
import re
import sys

from development import state
from development.description import DEFAULT_NAME, ROOT, Bench
from development.errors import DevelopmentError, NotBuilt
from development.lifecycle import down, reset, up
from development.owner import become_owner, check_may_be_given, give_to, is_of
from development.progress import Progress, write
from development.services import process_info, running_supervisord
from development.system_packages import ensure_packages, ensure_test_packages


def main(argv: list[str] | None = None) -> int:
	options = parser().parse_args(argv)
	try:
		if not getattr(options, "user", ""):
			become_owner()
		options.run(options, Progress())
	except DevelopmentError as error:
		write(f"\n{error}", sys.stderr)
		if error.hint:
			write(error.hint, sys.stderr)
		return 1
	except KeyboardInterrupt:
		return 130
	except BrokenPipeError:
		# whoever read our lines has gone; the interpreter must not stumble over them at its end
		os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
		return 1
	return 0


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(
		prog="development/bench", description="A real Frappe bench to work on this app."
	)
	commands = top.add_subparsers(required=True, metavar="up | down | status | reset")
	for run, explained in (
		(run_up, "build what is missing and start it; seconds when it is built"),
		(run_down, "stop exactly what was started"),
		(run_status, "what runs, and where"),
		(run_reset, "stop and delete the bench; downloads are kept"),
	):
		command = commands.add_parser(
			run.__name__.removeprefix("run_"), help=explained, description=explained
		)
		command.set_defaults(run=run)
		command.add_argument("--name", help="which bench; default: the current one")
		if run is run_down:
			command.add_argument("--all", action="store_true", help="all benches of this checkout")
		if run is run_up:
			add_up_options(command)
	return top


def add_up_options(command: argparse.ArgumentParser) -> None:
	command.add_argument(
		"--frappe", default="", metavar="PATH_OR_URL[@BRANCH]", help="a Frappe of your own, instead of PyPI's"
	)
	command.add_argument(
		"--user", default="", help="for root: let this user build and run everything in .development/"
	)
	command.add_argument("--no-desk", dest="desk", action="store_false", help="do not build Desk's assets")
	command.add_argument("--sites", type=int, default=1, choices=(1, 2), help="how many sites; default 1")
	command.add_argument("--workers", type=int, default=1, help="workers per queue program; default 1")


def run_up(options: argparse.Namespace, progress: Progress) -> None:
	with state.exclusively(progress):
		if options.user:
			hand_over(options.user, progress, for_a_checkout=bool(options.frappe))
		bench = up(wanted_bench(options), progress, desk=options.desk)
	progress.say("ready")
	print_status(bench)


def hand_over(user: str, progress: Progress, *, for_a_checkout: bool) -> None:
	"""Root installs what only root can, makes `.development/` that user's, and becomes that user."""
	running = [bench.name for bench in state.all_benches() if running_supervisord(bench)]
	if running and not is_of(user):
		raise DevelopmentError(f"{running[0]} is running", hint="type first: development/bench down --all")
	check_may_be_given(user)
	if os.geteuid() == 0:
		ensure_packages(progress, ROOT / "packages.log", for_a_checkout=for_a_checkout)
		ensure_test_packages(progress, ROOT / "packages.log")
	give_to(user)
	become_owner()


def wanted_bench(options: argparse.Namespace) -> Bench:
	"""The bench to bring up: a remembered one where there is one of that name."""
	name = options.name or (name_for(options.frappe) if options.frappe else None)
	known = state.read_bench(name)
	if known:
		return known
	return state.new_bench(
		name or DEFAULT_NAME,
		frappe=options.frappe,
		sites=("dev.localhost", "two.localhost")[: options.sites],
		background_workers=options.workers,
	)


def name_for(frappe: str) -> str:
	"""fmx-bench-<last part of the path or URL, and the branch>"""
	words = re.findall(r"[a-z0-9]+", frappe.removesuffix(".git").rpartition("/")[2].lower())
	return "-".join([DEFAULT_NAME, *words])


def run_down(options: argparse.Namespace, progress: Progress) -> None:
	with state.exclusively(progress):
		for bench in state.all_benches() if options.all else [known_bench(options)]:
			down(bench, progress)
	progress.say("down")


def run_reset(options: argparse.Namespace, progress: Progress) -> None:
	with state.exclusively(progress):
		reset(known_bench(options), progress)
	progress.say("deleted")


def run_status(options: argparse.Namespace, _progress: Progress) -> None:
	print_status(known_bench(options))


def known_bench(options: argparse.Namespace) -> Bench:
	bench = state.read_bench(options.name)
	if bench is None:
		raise NotBuilt("there is no such bench", hint="build one with: development/bench up")
	return bench


def print_status(bench: Bench) -> None:
	is_running = running_supervisord(bench) is not None
	for info in process_info(bench) if is_running else []:
		name = f"{info['group']}:{info['name']}"
		pid = f"pid {info['pid']}" if info["pid"] else ""
		write(f"  {name:50} {info['statename']:8} {pid}")
	facts = {
		"bench": f"{bench.name} ({'running' if is_running else 'down'})",
		"path": bench.path,
		"Desk": f"{bench.desk_url}  user Administrator, password {bench.admin_password}",
		"web": f"{bench.web_url}  with header Host: {bench.site}",
		"queue": bench.redis_queue_url,
		"supervisor": f"{bench.tools / 'supervisorctl'} -c {bench.supervisor_config}",
		"bench command": f"cd {bench.path} && {bench.tools / 'bench'} …",
		"logs": f"{bench.path / 'logs'} and {bench.log_path}",
		"other benches": " ".join(other.name for other in state.all_benches() if other.name != bench.name),
	}
	for name, value in facts.items():
		if value:
			write(f"{name:>14}  {value}")
