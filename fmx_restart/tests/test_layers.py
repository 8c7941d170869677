"""Who may import whom, and what an import costs every bench command."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import unittest
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import fmx_restart

PACKAGE = Path(fmx_restart.__file__).parent
HEAVY = {"frappe", "rich", "rq", "redis", "psutil", "supervisor"}
#: The rooms of the product, from the ground up: a room imports from its own floor and from those below
FLOORS = (
	("engine", "web", "worker", "remote_restart"),
	("adapters", "testing"),
	("doctor",),
	("console",),
	("current_bench",),
	("wiring",),
	("recover", "guardian", "leave", "site_config_process"),
	("desk",),
	("commands",),
	("install",),
	("api", "hooks", "__main__", "fmx_restart"),
)
#: Former paths, which Redis and Scheduled Job Types may still name: nothing of ours imports them
FORMER = ("record", "pill", "tick", "doctor.daily")
#: Where the name of a process manager may stand
ABOUT_A_MANAGER = ("adapters/managers/", "doctor/checks/supervisor.py", "tests/")
IMPORT = re.compile(r"\s*(from|import) ")
COMMANDS_BOUND = 0.030  # seconds that `import fmx_restart.commands` may add to one that has click already


class TestLayers(unittest.TestCase):
	def test_importing_the_engine_pulls_in_no_framework_and_nothing_of_ours_from_outside(self):
		# Given every module of the engine, imported in a fresh process
		engine = modules(PACKAGE / "engine")
		loaded = loaded_by(f"import {', '.join(engine)}")
		# Then no framework came with them, and of this app only the engine
		self.assertEqual({name.partition(".")[0] for name in loaded} & {*HEAVY, "click"}, set())
		ours = {name for name in loaded if name.startswith("fmx_restart.")}
		self.assertEqual({name for name in ours if not is_below(name, "fmx_restart.engine")}, set())

	def test_the_engine_imports_the_standard_library_and_itself(self):
		for file, name in imports("engine"):
			is_standard = name.partition(".")[0] in sys.stdlib_module_names
			self.assertTrue(is_standard or is_below(name, "fmx_restart.engine"), f"{file} imports {name}")

	def test_what_pipelines_copy_imports_the_standard_library_alone(self):
		for file, name in imports_of(PACKAGE / "remote_restart.py"):
			self.assertIn(name.partition(".")[0], sys.stdlib_module_names, f"{file} imports {name}")

	def test_what_runs_in_gunicorn_imports_the_standard_library_and_itself(self):
		for file, name in imports("web"):
			is_standard = name.partition(".")[0] in sys.stdlib_module_names or is_below(name, "gunicorn")
			self.assertTrue(is_standard or is_below(name, "fmx_restart.web"), f"{file} imports {name}")

	def test_what_runs_in_a_worker_imports_rq_and_itself_and_one_module_of_it_imports_frappe(self):
		for file, name in imports("worker"):
			package = name.partition(".")[0]
			allowed = {"redis", "rq", *(["frappe"] if file == "worker/classes.py" else [])}
			is_allowed = package in sys.stdlib_module_names or package in allowed
			self.assertTrue(is_allowed or is_below(name, "fmx_restart.worker"), f"{file} imports {name}")

	def test_adapters_know_the_engine_and_one_another_but_no_frappe_and_no_click(self):
		for file, name in imports("adapters"):
			self.assertNotIn(name.partition(".")[0], {"frappe", "click"}, file)
			if is_below(name, "fmx_restart"):
				rooms = ("engine", "adapters", "web", "worker")
				is_allowed = any(is_below(name, f"fmx_restart.{room}") for room in rooms)
				self.assertTrue(is_allowed, f"{file} imports {name}")

	def test_the_console_knows_no_adapter_and_no_frappe(self):
		for file, name in imports("console"):
			self.assertFalse(is_below(name, "fmx_restart.adapters"), f"{file} imports {name}")
			self.assertFalse(is_below(name, "frappe"), f"{file} imports {name}")

	def test_importing_every_kind_of_process_manager_pulls_in_no_client_of_one(self):
		loaded = loaded_by("from fmx_restart.adapters.managers.kinds import all_kinds; list(all_kinds())")
		self.assertEqual({name.partition(".")[0] for name in loaded} & {"docker", "kubernetes", "rq"}, set())

	def test_importing_the_doctor_and_all_its_checks_pulls_in_no_frappe_and_no_click(self):
		doctor = modules(PACKAGE / "doctor")
		loaded = loaded_by(f"import {', '.join(doctor)}")
		self.assertEqual({name.partition(".")[0] for name in loaded} & {"frappe", "click", "rich"}, set())

	def test_the_doctor_looks_at_a_bench_and_knows_in_one_place_how_it_is_wired(self):
		for file, name in imports("doctor"):
			self.assertNotIn(name.partition(".")[0], {"click", "rich"}, file)
			if is_below(name, "fmx_restart"):
				rooms = ("engine", "adapters", "doctor", "worker")
				is_allowed = file == "doctor/daily.py" or any(
					is_below(name, f"fmx_restart.{room}") for room in rooms
				)
				self.assertTrue(is_allowed, f"{file} imports {name}")

	def test_telling_what_a_journal_says_and_announcing_its_end_need_no_frappe(self):
		names = (
			"desk.projection",
			"desk.announce",
			"desk.start_order",
			"desk.start_arguments",
			"adapters.own_session",
		)
		loaded = loaded_by(f"import {', '.join(f'fmx_restart.{name}' for name in names)}")
		self.assertNotIn("frappe", {module.partition(".")[0] for module in loaded})

	def test_arrows_between_rooms_point_one_way(self):
		for module, imported in graph().items():
			for name in imported:
				self.assertLessEqual(floor_of(name), floor_of(module), f"{module} imports {name}")

	def test_no_module_imports_itself_by_a_detour(self):
		# Given every import of the product, those inside functions and those for types only included
		self.assertEqual(circles(graph()), [])

	def test_no_room_but_that_of_the_managers_names_one_of_them(self):
		# Given every line of the product outside of the managers' room and of the check that is about one of them
		for file in sorted(PACKAGE.rglob("*.py")):
			name = str(file.relative_to(PACKAGE))
			if not name.startswith(ABOUT_A_MANAGER):
				for number, line in enumerate(file.read_text().splitlines(), start=1):
					if not IMPORT.match(line):
						self.assertNotIn("supervis", line.lower(), f"{name}:{number}")

	def test_scripts_that_stand_in_strings_import_what_exists(self):
		# They run in processes of their own, so nothing else notices that a module was moved
		for file, module, name in imports_in_strings():
			source = source_of(module)
			self.assertTrue(source.exists(), f"{file} imports {module}")
			is_there = source_of(f"{module}.{name}").exists() or re.search(rf"\b{name}\b", source.read_text())
			self.assertTrue(not name or is_there, f"{file} imports {name} from {module}")

	def test_frappe_finds_the_commands_without_anything_heavy(self):
		loaded = loaded_by("import click; known = set(sys.modules); import fmx_restart.commands", "known")
		self.assertEqual({name.partition(".")[0] for name in loaded} & HEAVY, set())

	def test_finding_the_commands_is_quick(self):
		# One of five times is enough: the others may have shared the processor's caches
		measured = (seconds_to_import_the_commands() for _ in range(5))
		self.assertTrue(any(seconds < COMMANDS_BOUND for seconds in measured))


def graph() -> dict[str, set[str]]:
	"""Module of the product → the modules of ours that it imports anywhere."""
	names = {name: file for file in product() for name in [module_name(file)]}
	found: dict[str, set[str]] = {}
	for name, file in names.items():
		told = {imported for _, imported in imports_of(file)}
		found[name] = {
			it if it in names else it.rpartition(".")[0] for it in told if is_below(it, "fmx_restart")
		}
		found[name] = {it for it in found[name] if it in names and it != name}
	return found


def product() -> Iterator[Path]:
	for file in sorted(PACKAGE.rglob("*.py")):
		name = module_name(file).removeprefix("fmx_restart.")
		if not is_below(name, "tests") and not any(is_below(name, former) for former in FORMER):
			yield file


def floor_of(module: str) -> int:
	room = module.split(".")[1] if "." in module else "fmx_restart"
	return next(floor for floor, rooms in enumerate(FLOORS) if room in rooms)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
	"""Strongly connected modules. TopologicalSorter names one circle at a time, which is enough to fail."""
	try:
		list(TopologicalSorter(graph).static_order())
	except CycleError as error:
		return [error.args[1]]
	return []


def modules(folder: Path) -> list[str]:
	names = []
	for file in sorted(folder.rglob("*.py")):
		if not any(is_below(module_name(file), f"fmx_restart.{former}") for former in FORMER):
			names.append(module_name(file))
	return names


def module_name(file: Path) -> str:
	parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
	return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(layer: str) -> Iterator[tuple[str, str]]:
	"""File and full name of what it imports, for every import statement, also those inside functions."""
	for file in sorted((PACKAGE / layer).rglob("*.py")):
		if not any(is_below(module_name(file), f"fmx_restart.{former}") for former in FORMER):
			yield from imports_of(file)


def imports_of(file: Path) -> Iterator[tuple[str, str]]:
	name = str(file.relative_to(PACKAGE))
	for node in nodes(file):
		if isinstance(node, ast.Import):
			yield from ((name, alias.name) for alias in node.names)
		elif isinstance(node, ast.ImportFrom):
			yield from ((name, f"{absolute(file, node)}.{alias.name}") for alias in node.names)


@cache
def nodes(file: Path) -> list[ast.AST]:
	"""Imports and constants: what the tests here look at."""
	wanted = (ast.Import, ast.ImportFrom, ast.Constant)
	return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, wanted)]


def imports_in_strings() -> Iterator[tuple[str, str, str]]:
	"""File, module of ours, and the name that is imported from it, or none."""
	checkout = PACKAGE.parent
	for file in [*PACKAGE.rglob("*.py"), *(checkout / "development").rglob("*.py")]:
		for node in nodes(file):
			text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
			if "fmx_restart" not in text:
				continue
			for module, names in re.findall(r"from (fmx_restart[\w.]*) import (\w+(?:, \w+)*)", text):
				yield from ((file.name, module, name) for name in names.split(", "))
			for modules in re.findall(r"(?<!\w )\bimport (fmx_restart[\w.]*(?:, fmx_restart[\w.]*)*)", text):
				yield from ((file.name, module, "") for module in modules.split(", "))


def source_of(module: str) -> Path:
	path = PACKAGE.parent.joinpath(*module.split("."))
	return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def absolute(file: Path, node: ast.ImportFrom) -> str:
	"""The module an import names, in full, also for `from . import`."""
	if not node.level:
		return node.module or ""
	folder = file.parents[node.level - 1].relative_to(PACKAGE.parent)
	return ".".join([*folder.parts, *filter(None, [node.module])])


def is_below(name: str, package: str) -> bool:
	return name == package or name.startswith(f"{package}.")


def loaded_by(statement: str, known: str = "()") -> set[str]:
	"""Names of the modules that a fresh process has after the statement, without those in `known`."""
	return set(run(f"import sys; {statement}; print(*set(sys.modules) - set({known}))").split())


def seconds_to_import_the_commands() -> float:
	"""Of the processor, which others may need meanwhile."""
	clock = "import click, time; began = time.process_time()"
	return float(run(f"{clock}; import fmx_restart.commands; print(time.process_time() - began)"))


def run(code: str) -> str:
	return subprocess.check_output([sys.executable, "-c", code], text=True, cwd=PACKAGE.parent)
