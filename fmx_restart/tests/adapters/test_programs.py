"""Which programs are the bench's. The folders are real, because symlinks decide."""

from __future__ import annotations

import sys
import unittest

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.programs import Program, kinds_of
from fmx_restart.adapters.managers.supervisor.programs import program_of
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.tests.adapters.benches import make_bench, short_folder, worker_in_terminal


class ProgramsCase(unittest.TestCase):
	def setUp(self):
		self.home = short_folder(self)
		self.bench = make_bench(self.home / "bench")
		self.other = make_bench(self.home / "bench2")  # its path begins like ours

	def kinds(self, *programs: Program, bench: str = "") -> dict[str, ProcessKind]:
		found = kinds_of(programs, BenchFolder(bench or str(self.bench)))
		return {program.name: kind for program, kind in found.items()}


class TestBenchFolder(ProgramsCase):
	def test_a_bench_owns_what_lies_in_it_and_nothing_that_merely_begins_like_it(self):
		bench = BenchFolder(str(self.bench))
		for path, expected in (
			(self.bench, True),
			(self.bench / "sites", True),
			(self.bench / "env/bin/missing", True),
			(self.bench / "../bench/logs", True),
			(self.other, False),
			(self.other / "sites", False),
			(self.bench / "../bench2/logs", False),
			(self.home, False),
			("/", False),
		):
			with self.subTest(path):
				self.assertIs(bench.owns(str(path)), expected)

	def test_a_bench_is_itself_through_a_symlink(self):
		link = self.home / "current"
		link.symlink_to(self.bench)
		self.assertTrue(BenchFolder(str(link)).owns(str(self.bench / "sites")))
		self.assertTrue(BenchFolder(str(self.bench)).owns(str(link / "env/bin/bench")))
		self.assertFalse(BenchFolder(str(link)).owns(str(self.other)))

	def test_sites_on_another_volume_belong_to_the_bench(self):
		(self.bench / "sites").rename(self.home / "volume")
		(self.bench / "sites").symlink_to(self.home / "volume")
		self.assertTrue(BenchFolder(str(self.bench)).owns(str(self.home / "volume")))

	def test_a_file_that_is_a_symlink_to_elsewhere_belongs_to_the_bench_it_stands_in(self):
		(self.bench / "env/bin/python").symlink_to(sys.executable)
		self.assertTrue(BenchFolder(str(self.bench)).owns(str(self.bench / "env/bin/python")))


class TestWhosePrograms(ProgramsCase):
	def test_two_benches_under_one_supervisord_are_not_mixed(self):
		# Given the same programs for two benches
		programs = [
			program
			for name, bench in (("one", self.bench), ("two", self.other))
			for program in (
				Program(f"{name}-web:gunicorn", f"{name}-web", "gunicorn frappe.app:app", f"{bench}/sites"),
				Program(f"{name}-workers:short", f"{name}-workers", "bench worker", str(bench)),
				Program(f"{name}-workers:schedule", f"{name}-workers", "bench schedule", str(bench)),
			)
		]
		# Then each has its own
		self.assertEqual(
			self.kinds(*programs),
			{
				"one-web:gunicorn": ProcessKind.WEB,
				"one-workers:short": ProcessKind.WORKER,
				"one-workers:schedule": ProcessKind.SCHEDULER,
			},
		)
		self.assertEqual(
			set(self.kinds(*programs, bench=str(self.other))),
			{"two-web:gunicorn", "two-workers:short", "two-workers:schedule"},
		)

	def test_the_name_of_a_program_says_nothing(self):
		# Given a program called like ours in another bench, and one of ours with a name that says nothing
		theirs = Program("bench-web:bench-frappe-web", "bench-web", "gunicorn", str(self.other))
		ours = Program("x", "x", "bench worker", str(self.bench))
		self.assertEqual(self.kinds(theirs, ours), {"x": ProcessKind.WORKER})

	def test_without_a_directory_the_paths_in_the_command_tell(self):
		for command in (
			f"{self.bench}/env/bin/gunicorn frappe.app:application",
			f"gunicorn --chdir={self.bench}/sites frappe.app:application",
			f"bash -c 'cd {self.bench} && exec bench serve'",
		):
			with self.subTest(command):
				self.assertEqual(self.kinds(Program("w", "w", command)), {"w": ProcessKind.WEB})

	def test_a_program_that_runs_in_another_bench_is_not_ours_though_it_names_a_path_of_ours(self):
		command = f"bench worker --log {self.bench}/logs/worker.log"
		self.assertEqual(self.kinds(Program("w", "w", command, f"{self.other}/sites")), {})

	def test_where_nothing_else_tells_the_logfile_does(self):
		program = Program("w", "w", "bench worker", logfiles=(f"{self.bench}/logs/worker.log",))
		self.assertEqual(self.kinds(program), {"w": ProcessKind.WORKER})

	def test_where_supervisor_tells_nothing_the_running_process_does(self):
		# Given a worker whose configuration supervisor does not report (any more)
		process = worker_in_terminal(self, self.bench)
		# Then it is known by its command line and its folder
		info = {"name": "w", "group": "g", "pid": process.pid, "stdout_logfile": ""}
		self.assertEqual(self.kinds(program_of(info, {})), {"g:w": ProcessKind.WORKER})
		self.assertEqual(self.kinds(program_of(info, {}), bench=str(self.other)), {})

	def test_supervisors_words_for_an_absent_setting_are_no_paths(self):
		info = {"name": "w", "group": "w", "pid": 0}
		config = {"directory": "none", "command": "bench worker", "stdout_logfile": "auto"}
		program = program_of(info, config)
		self.assertEqual((program.name, program.directory, program.logfiles), ("w", "", ()))


class TestGroups(ProgramsCase):
	def test_a_program_of_unknown_kind_goes_with_the_group_of_our_workers(self):
		worker = Program("g:worker", "g", "bench worker", str(self.bench))
		helper = Program("g:helper", "g", "/opt/helper --verbose")
		alone = Program("h:helper", "h", "/opt/helper --verbose", str(self.bench))
		self.assertEqual(
			self.kinds(worker, helper, alone),
			{"g:worker": ProcessKind.WORKER, "g:helper": ProcessKind.OTHER},
		)

	def test_in_a_group_that_two_benches_share_only_what_is_surely_ours_goes_along(self):
		programs = [
			Program("g:ours", "g", "bench worker", str(self.bench)),
			Program("g:our-helper", "g", "/opt/helper", str(self.bench)),
			Program("g:theirs", "g", "bench worker", str(self.other)),
			Program("g:whose", "g", "/opt/helper"),
		]
		self.assertEqual(
			self.kinds(*programs), {"g:ours": ProcessKind.WORKER, "g:our-helper": ProcessKind.OTHER}
		)

	def test_a_unit_that_runs_honcho_is_none_as_honcho_has_the_programs(self):
		for command in ("/usr/local/bin/bench start", "/usr/bin/python3 /usr/local/bin/honcho start"):
			unit = Program("bench.service", "bench.service", command, str(self.bench))
			self.assertEqual(self.kinds(unit), {}, command)

	def test_redis_and_databases_are_never_listed_even_in_the_workers_group(self):
		programs = [
			Program("g:worker", "g", "bench worker", str(self.bench)),
			Program("g:redis", "g", f"redis-server {self.bench}/config/redis_queue.conf", str(self.bench)),
			Program("g:db", "g", "/usr/sbin/mariadbd", str(self.bench)),
		]
		self.assertEqual(self.kinds(*programs), {"g:worker": ProcessKind.WORKER})
