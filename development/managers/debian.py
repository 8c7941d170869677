"""Files of a Debian package for a nested machine, without its installation: nothing of it is started, or written elsewhere."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from development.description import ROOT
from development.errors import CommandFailed

CACHE = ROOT / "cache" / "packages"
#: The rest would hide links of the machine below: /lib and /bin lead into /usr
KEPT = ("etc", "usr")


def unpacked(package: str) -> Path:
	"""A folder with its files, to be copied into the layer of a machine. It is kept. Raises CommandFailed."""
	CACHE.mkdir(parents=True, exist_ok=True)
	folder = CACHE / package
	with (CACHE / "lock").open("w") as lock:
		fcntl.flock(lock, fcntl.LOCK_EX)
		if not folder.exists():
			with tempfile.TemporaryDirectory(dir=CACHE) as place:
				unpack(package, Path(place)).rename(folder)
	return folder


def put_into(layer: Path, packages: Iterable[str]) -> None:
	"""Their files into the layer of a machine that is not up yet. Raises CommandFailed."""
	for package in packages:
		# a lower layer of its own would lie in that of this machine, which overlayfs refuses
		shutil.copytree(unpacked(package), layer / "files", symlinks=True, dirs_exist_ok=True)


def unpack(package: str, place: Path) -> Path:
	"""Below this folder; what `apt-get update` has not brought yet is asked for once."""
	if run("apt-get", "download", package, cwd=place):
		run("apt-get", "update", cwd=place)
		if error := run("apt-get", "download", package, cwd=place):
			raise CommandFailed(f"the package {package} cannot be had: {error}")
	(archive,) = place.glob("*.deb")
	files = place / "files"
	if error := run("dpkg-deb", "--extract", archive, files, cwd=place):
		raise CommandFailed(f"the package {package} cannot be unpacked: {error}")
	for other in [folder for folder in files.iterdir() if folder.name not in KEPT]:
		shutil.rmtree(other)
	return files


def run(*words: str | Path, cwd: Path) -> str:
	"""What it said where it failed, else nothing."""
	done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
	return (done.stderr or f"exit code {done.returncode}") if done.returncode else ""
