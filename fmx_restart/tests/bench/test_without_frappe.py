"""A bench whose Frappe cannot be imported is restarted all the same, and comes up once Frappe is right again."""

from __future__ import annotations

from pathlib import Path

from fmx_restart.tests.bench.command import Command, Finished
from fmx_restart.tests.bench.support import BenchTestCase, own_programs

BREAK = "raise ImportError('broken on purpose, by a test')\n"
NOT_BACK = 4  # exit code


class TestWithoutFrappe(BenchTestCase):
	def run_module(self, *options: str, cwd: Path | None = None) -> Finished:
		words = [
			str(self.bench.path / "env" / "bin" / "python"),
			"-m",
			"fmx_restart",
			"safe-restart",
			*options,
		]
		command = Command(words, cwd=cwd or self.bench.path, env=self.bench.environment)
		self.addCleanup(command.end)
		return command.finish()

	def bring_back(self, before: dict[str, int]) -> None:
		"""Where the test failed before it did that itself."""
		after = self.pids()
		if any(pid in (0, before[name]) for name, pid in after.items() if self.is_own(name)):
			self.run_module("--wait-workers")

	def is_own(self, name: str) -> bool:
		return name.partition(":")[0] in own_programs(self.bench)

	def test_a_broken_frappe_keeps_nobody_from_restarting(self):
		package = self.bench.apps_path / "frappe" / "frappe" / "__init__.py"
		text, before = package.read_text(), self.pids()
		self.assert_queue_moves()  # whoever puts the jobs has imported Frappe now
		self.addCleanup(self.bring_back, before)
		self.addCleanup(package.write_text, text)
		# Given a Frappe that cannot be imported
		package.write_text(BREAK + text)
		self.assertNotEqual(self.run_command("status").code, 0, "bench itself cannot")
		# Then one can look, from anywhere in the bench, and restart: what does not come up is told, with the traceback
		self.assertIn(
			"No operation holds this bench", self.run_module("status", cwd=self.bench.apps_path).output
		)
		done = self.run_module("--wait-workers", "--no-web")
		self.assertEqual(done.code, NOT_BACK, done.text)
		self.assertIn("broken on purpose, by a test", done.text)
		# And when it is right again, everything comes up
		package.write_text(text)
		done = self.run_module("--wait-workers")
		self.assertEqual(done.code, 0, done.text)
		self.assert_restarted(before)
		self.assert_queue_moves()
