"""Which Python of this machine our environments are made with."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

DISTRIBUTION = Path("/usr/bin/python3")
#: pip, and headers for packages that are compiled
IS_ABLE = """
import ensurepip, pathlib, sys, sysconfig
has_headers = pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()
sys.exit(not has_headers or sys.version_info < (3, 10))
"""


@cache
def interpreter() -> str:
	"""
	The distribution's own where environments can be made with it: it is built with all that makes Python fast, and one that
	pyenv has built without takes a quarter longer for everything. Else the one that we run on.
	"""
	if not DISTRIBUTION.exists():
		return sys.executable
	done = subprocess.run([DISTRIBUTION, "-c", IS_ABLE], capture_output=True)
	return str(DISTRIBUTION) if done.returncode == 0 else sys.executable
