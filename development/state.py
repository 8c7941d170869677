"""What is remembered between two calls: which benches exist, their ports and sockets, and who may build now."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

from development.description import ROOT, Bench, Ports
from development.progress import Progress

CURRENT = ROOT / "current"
#: Below the range that the kernel hands out to outgoing connections, which could take a port while we are down.
PORT_RANGE = range(12_000, 32_000)


def read_bench(name: str | None = None) -> Bench | None:
	"""The remembered bench of that name, or the current one."""
	name = name or (CURRENT.read_text().strip() if CURRENT.exists() else "")
	state_file = ROOT / "private" / name / "state.json"
	if not name or not state_file.exists():
		return None
	kept = json.loads(state_file.read_text())
	return Bench(
		name=name,
		ports=Ports(**kept["ports"]),
		sockets=Path(kept["sockets"]),
		sites=tuple(kept["sites"]),
		frappe=kept["frappe"],
		background_workers=kept["background_workers"],
	)


def new_bench(name: str, *, frappe: str, sites: tuple[str, ...], background_workers: int) -> Bench:
	"""A bench with free ports. Its sockets' folder is made when it starts."""
	ports = Ports(*free_ports(len(fields(Ports))))
	return Bench(
		name=name,
		ports=ports,
		sockets=Path(),
		sites=sites,
		frappe=frappe,
		background_workers=background_workers,
	)


def remember(bench: Bench) -> None:
	"""Keep where its parts are. Copies of a bench do so side by side."""
	kept = {
		"ports": asdict(bench.ports),
		"sockets": str(bench.sockets),
		"sites": bench.sites,
		"frappe": bench.frappe,
		"background_workers": bench.background_workers,
	}
	write_atomically(bench.state_file, json.dumps(kept, indent=1) + "\n")


def make_current(bench: Bench) -> None:
	"""The one that commands mean which name no other."""
	write_atomically(CURRENT, bench.name + "\n")


def forget(bench: Bench) -> None:
	"""Delete the bench and all that belongs to it. Download caches stay."""
	for folder in (bench.path, bench.private_path):
		if folder.exists():
			shutil.rmtree(folder)
	if CURRENT.exists() and CURRENT.read_text().strip() == bench.name:
		CURRENT.unlink()


def all_benches() -> list[Bench]:
	names = sorted(path.parent.name for path in (ROOT / "private").glob("*/state.json"))
	return [bench for name in names if (bench := read_bench(name))]


def with_fresh_places(bench: Bench) -> Bench:
	"""The bench with a new folder for its sockets, and new ports for those that someone took meanwhile."""
	taken = [name for name, port in asdict(bench.ports).items() if not is_free(port)]
	ports = replace(bench.ports, **dict(zip(taken, free_ports(len(taken)), strict=True)))
	# mkdtemp makes it 0700: whoever reaches the sockets can run commands as us
	return replace(bench, ports=ports, sockets=Path(tempfile.mkdtemp(prefix="fmx-")))


def remove_sockets(bench: Bench) -> None:
	if bench.sockets.name.startswith("fmx-") and bench.sockets.is_dir():
		shutil.rmtree(bench.sockets)


def free_ports(count: int) -> list[int]:
	"""That many different ports nobody listens on, nor another bench of this checkout means to."""
	kept = {port for bench in all_benches() for port in asdict(bench.ports).values()}
	found: list[int] = []
	for port in random.sample(PORT_RANGE, k=len(PORT_RANGE)):
		if len(found) == count:
			break
		if port not in kept and is_free(port):
			found.append(port)
	return found


def is_free(port: int) -> bool:
	with socket.socket() as probe:
		probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		try:
			probe.bind(("127.0.0.1", port))
		except OSError:
			return False
	return True


def write_atomically(path: Path, text: str) -> None:
	path.parent.mkdir(parents=True, exist_ok=True)
	with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
		new.write(text)
	Path(new.name).replace(path)


@contextmanager
def exclusively(progress: Progress | None = None) -> Iterator[None]:
	"""One build, start or stop at a time in this checkout. The lock ends with its process, however that ends."""
	ROOT.mkdir(exist_ok=True)
	with (ROOT / "lock").open("w") as lock:
		try:
			fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
		except BlockingIOError:
			(progress or Progress()).say("waiting: another one is at work in this checkout")
			fcntl.flock(lock, fcntl.LOCK_EX)
		yield
