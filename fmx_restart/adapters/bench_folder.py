"""Which paths belong to one bench."""

from __future__ import annotations

import os
from pathlib import Path


class BenchFolder:
	"""
	A bench's folder. Paths are compared after following symlinks, so a bench that is reached through one,
	or whose sites lie on another volume, is still itself; and /home/x/bench2 is no part of /home/x/bench.
	"""

	def __init__(self, path: str) -> None:
		self.path = os.path.realpath(path)
		self.sites = os.path.realpath(Path(path, "sites"))

	def owns(self, path: str) -> bool:
		"""Whether an absolute path lies in this bench. A file that is a symlink to elsewhere lies in it too."""
		# env/bin/python is such a symlink, so each folder above is resolved, not the file
		lexical = Path(os.path.normpath(path))
		return any(
			os.path.realpath(folder) in {self.path, self.sites} for folder in [lexical, *lexical.parents]
		)

	def is_other_bench(self, path: str) -> bool:
		"""Whether a folder is another bench, or lies directly in one as sites does."""
		folders = [Path(path), Path(path).parent]
		return not self.owns(path) and any(looks_like_a_bench(folder) for folder in folders)


def looks_like_a_bench(folder: Path) -> bool:
	return (folder / "sites").is_dir() and (folder / "apps").is_dir()
