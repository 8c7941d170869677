"""A Kubernetes of one node by hand: python3 -m development.managers.kubernetes up, and in another terminal shell, or down."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from development.description import CHECKOUT, ROOT
from development.errors import DevelopmentError, NotReady
from development.managers.kubernetes.build import ensure_programs
from development.managers.kubernetes.node import Kubernetes
from development.progress import Progress
from development.running import wait_until

STATE = ROOT / "kubernetes.json"  # locked by the process that has the node
HINT = "bring it up first, in another terminal: python3 -m development.managers.kubernetes up"


def main(argv: list[str]) -> int:
	options = parser().parse_args(argv)
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that a machine goes down then, too
	try:
		{"build": build, "up": up, "down": down, "shell": shell}[options.what](options.words)
	except DevelopmentError as error:
		print(f"{error}\n{error.hint}", file=sys.stderr)
		return 1
	return 0


def parser() -> argparse.ArgumentParser:
	top = argparse.ArgumentParser(
		prog="python3 -m development.managers.kubernetes",
		description="Run a real Kubernetes of one node in a machine inside of this one. This needs root.",
		epilog="build: build the programs that the cache lacks. up: bring the node up, until Ctrl-C or `down`. shell [COMMAND ...]: "
		"run a command in it, by default bash; kubectl is in its PATH. down: take the node down.",
	)
	top.add_argument("what", choices=("build", "up", "shell", "down"))
	top.add_argument(
		"words", nargs=argparse.REMAINDER, help="of shell: a command; of up: folders whose files it shares"
	)
	return top


def build(_: list[str]) -> None:
	ensure_programs(Progress())


def up(folders: list[str]) -> None:
	"""`folders`: whose files are the outer machine's own."""
	progress = Progress()
	ROOT.mkdir(exist_ok=True)
	with STATE.open("a+") as state, TemporaryDirectory(prefix="kubernetes-", dir=ROOT) as folder:
		if not is_locked(state):
			raise NotReady("another process has the node of this checkout", hint="take it down with: down")
		node = Kubernetes(Path(folder), [Path(it) for it in folders], progress)
		try:
			remember(pid=os.getpid())
			node.up()
			remember(pid=os.getpid(), enter=node.machine.command(), **node.environment)
			progress.say("the node is up; Ctrl-C takes it down")
			signal.pause()
		except KeyboardInterrupt:
			progress.say("going down")
		finally:
			STATE.write_text("")
			node.down()


def remember(**about: object) -> None:
	"""For `shell` and `down`."""
	STATE.write_text(json.dumps(about))


def remembered() -> dict:
	"""Raises NotReady when no process has a node, or makes one."""
	text = STATE.read_text() if STATE.exists() else ""
	if text:
		with STATE.open("a+") as state:
			if not is_locked(state):
				return json.loads(text)
	raise NotReady("no Kubernetes of this checkout is up", hint=HINT)


def shell(command: list[str]) -> None:
	"""Becomes the command, in the folder of the checkout."""
	node = remembered()
	if "enter" not in node:
		raise NotReady("the node is not up yet", hint="wait until `up` says so")
	here = [
		sys.executable,
		"-c",
		"import os, sys; os.chdir(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])",
	]
	variables = {"KUBECONFIG": node["KUBECONFIG"], "PATH": node["PATH"], "PYTHONPATH": str(CHECKOUT)}
	words = [*node["enter"], *here, str(CHECKOUT), *(command or ["bash"])]
	os.execvpe(words[0], words, {**os.environ, **variables})


def down(_: list[str]) -> None:
	"""Returns when nothing of it is left."""
	os.kill(remembered()["pid"], signal.SIGTERM)
	with STATE.open("a+") as state:
		wait_until(lambda: is_locked(state), "the node is down", timeout=120)


def is_locked(state: TextIO) -> bool:
	try:
		fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
	except BlockingIOError:
		return False
	return True


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
