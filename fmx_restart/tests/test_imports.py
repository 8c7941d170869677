"""Every name that a module of ours imports from another one is there, also in modules that only a site can load."""

from __future__ import annotations

import ast
import unittest
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fmx_restart.tests.test_layers import PACKAGE, absolute, is_below, nodes, source_of


class TestImports(unittest.TestCase):
	def test_each_name_exists_in_the_module_that_it_is_imported_from(self):
		imported = list(imported_names())
		self.assertGreater(len(imported), 1000)
		for file, module, name in imported:
			is_there = source_of(f"{module}.{name}").exists() or name in defined(source_of(module))
			self.assertTrue(is_there, f"{file.relative_to(PACKAGE)} imports {name} from {module}")


def imported_names() -> Iterator[tuple[Path, str, str]]:
	"""File, module of ours, name; imports inside of functions, too."""
	for file in sorted(PACKAGE.rglob("*.py")):
		for node in nodes(file):
			if isinstance(node, ast.ImportFrom) and is_below(module := absolute(file, node), "fmx_restart"):
				yield from ((file, module, alias.name) for alias in node.names if alias.name != "*")


@cache
def defined(file: Path) -> frozenset[str]:
	"""Names of a module: what is defined, assigned or imported outside of functions and classes."""
	return frozenset(names_in(ast.parse(file.read_text()).body))


def names_in(body: list[ast.stmt]) -> Iterator[str]:
	for node in body:
		if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
			yield node.name
		elif isinstance(node, (ast.Import, ast.ImportFrom)):
			yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
		else:
			yield from (it.id for it in ast.walk(node) if isinstance(it, ast.Name))
			yield from names_in([it for it in ast.iter_child_nodes(node) if isinstance(it, ast.stmt)])


if __name__ == "__main__":
	unittest.main()
