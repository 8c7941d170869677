"""
env/bin/python -m fmx_restart: the same commands without Frappe, for a bench whose Frappe cannot be imported.

Works from anywhere inside a bench; elsewhere the bench of this environment is meant. Root becomes the bench's user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fmx_restart.adapters.user import become_owner_of
from fmx_restart.commands import commands


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
	"""Restart a Frappe bench safely, also when Frappe itself is broken."""
	for folder in benches():
		if (folder / "sites" / "apps.txt").exists():
			os.chdir(folder / "sites")
			become_owner_of(folder / "sites")
			return


def benches() -> Iterator[Path]:
	"""Folders that may be the bench: where we are and above, then the one that this environment lies in."""
	here = Path.cwd()
	yield from (here, *here.parents, Path(sys.prefix).parent)


for command in commands:
	main.add_command(command)

if __name__ == "__main__":
	main(prog_name="python -m fmx_restart")
