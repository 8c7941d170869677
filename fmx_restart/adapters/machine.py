"""Which machine, or container, we are on."""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from fmx_restart.adapters.process_stat import clock, numbering, read_stat
from fmx_restart.engine.machine import Machine

MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
MOUNTS = Path("/proc/self/mountinfo")
UPPER = re.compile(r"(?:^|,)upperdir=([^,]+)")


@cache
def this_machine() -> Machine:
	return Machine(socket.gethostname(), machine_id(), numbering(), up_since())


def up_since() -> float:
	"""When the first process of our pid namespace began: that of the machine, or of the container. Seconds since the epoch."""
	init = read_stat(1)
	return time.time() - clock() + (init.began if init else 0.0)


def machine_id() -> str:
	"""
	Hashed: machine-id(5) asks for that where it leaves the machine. Containers of one image have the same file or none, so
	that the folder that holds a container's own changes counts too. Empty where neither is known.
	"""
	file = next(filter(None, map(text_of, MACHINE_IDS)), "")
	known = "\0".join(filter(None, [file, writable_layer(lines_of(MOUNTS))]))
	return hashlib.sha256(f"fmx_restart\0{known}".encode()).hexdigest()[:16] if known else ""


def writable_layer(mounts: Iterable[str]) -> str:
	"""The folder below an overlay that is mounted as /; "" where / is something else. `mounts`: proc(5), mountinfo."""
	for line in mounts:
		words = line.split()
		if len(words) > 4 and words[4] == "/" and (found := UPPER.search(words[-1])):
			return found[1]
	return ""


def text_of(path: Path) -> str:
	try:
		return path.read_text(errors="replace").strip()
	except OSError:
		return ""


def lines_of(path: Path) -> list[str]:
	return text_of(path).splitlines()
