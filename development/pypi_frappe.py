"""
Frappe from PyPI, for machines that reach no git host.

Frappe itself is not published there. A whole framework of mid 2023 (15.0.0-dev) is, in one wheel, under another name
and the MIT licence. Undoing its renaming gives an importable `frappe`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from pathlib import Path

from development.description import ROOT
from development.errors import DevelopmentError
from development.progress import Progress
from development.running import run_logged
from development.tools import ENVIRONMENT

PACKAGE, VERSION = "criscostack", "1.0.0"
WHEEL = ROOT / "cache" / "wheels" / f"{PACKAGE}-{VERSION}-py3-none-any.whl"
SHA256 = "dc58aaf29c59b7666edc953596e5b31f77d7286b2ed6b14c6a205b217c210349"
#: Longest first: the short names are parts of the long ones.
NAMES = [
	(b"criscostackclient", b"frappeclient"),
	(b"criscostack", b"frappe"),
	(b"CRISCOSTACK", b"FRAPPE"),
	(b"criscoerp", b"erpnext"),
	(b"Criscoerp", b"ERPNext"),
	(b"Crisco", b"Frappe"),
]
RENAMED_FILES = {"frappe/utils/brik_helper.py": "frappe/utils/bench_helper.py"}
PYPROJECT = """\
[build-system]
requires = ["flit_core >=3.4,<4"]
build-backend = "flit_core.buildapi"

[project]
name = "frappe"
description = "Frappe for development, from PyPI"
dynamic = ["version"]
requires-python = ">=3.10,<3.13"
dependencies = [
{dependencies}
]
"""


def build_frappe(app: Path, progress: Progress, log: Path) -> None:
	"""Put Frappe's tree and a pyproject.toml into the app folder."""
	download(progress, log)
	progress.say("Frappe: undoing the wheel's renaming")
	unfinished = app.with_name(".frappe.new")
	shutil.rmtree(unfinished, ignore_errors=True)
	with zipfile.ZipFile(WHEEL) as wheel:
		unpack(wheel, unfinished)
		metadata = wheel.read(f"{PACKAGE}-{VERSION}.dist-info/METADATA").decode()
	(unfinished / "pyproject.toml").write_text(pyproject(metadata))
	unfinished.rename(app)


def download(progress: Progress, log: Path) -> None:
	if not is_genuine(WHEEL):
		progress.say(f"Frappe: the wheel {PACKAGE} {VERSION} from PyPI")
		pip = [ENVIRONMENT / "bin" / "pip", "download", "--quiet", "--no-deps", "--dest", WHEEL.parent]
		run_logged([*pip, f"{PACKAGE}=={VERSION}"], log)
	if not is_genuine(WHEEL):
		raise DevelopmentError(f"{WHEEL} is not the wheel we know", hint="its sha256 differs; do not use it")


def is_genuine(wheel: Path) -> bool:
	return wheel.exists() and hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256


def unpack(wheel: zipfile.ZipFile, destination: Path) -> None:
	for entry in wheel.infolist():
		if entry.is_dir() or not entry.filename.startswith(f"{PACKAGE}/"):
			continue
		name = with_names_undone(entry.filename.encode()).decode()
		path = destination / RENAMED_FILES.get(name, name)
		path.parent.mkdir(parents=True, exist_ok=True)
		path.write_bytes(with_names_undone(wheel.read(entry)))


def with_names_undone(content: bytes) -> bytes:
	if b"\0" in content:  # a picture, font or archive
		return content
	for theirs, original in NAMES:
		content = content.replace(theirs, original)
	return content


def pyproject(metadata: str) -> str:
	requirements = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
	return PYPROJECT.format(dependencies="\n".join(f"\t{quoted(line)}," for line in requirements))


def quoted(text: str) -> str:
	"""As a TOML string that may itself hold double quotes."""
	return f"'{text}'"
