"""Whose the benches of a checkout are: root who types a command there becomes that user, and touches nothing else."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
NOBODY = "nobody"
BECOME = "import os; from development.owner import become_owner; become_owner(); print(os.geteuid(), os.environ['HOME'])"
GIVE = "import sys; from development.owner import {0}; {0}(sys.argv[1])"


@unittest.skipUnless(
	(CHECKOUT / "development").is_dir(), "the development bench is not part of an installation"
)
@unittest.skipIf(os.geteuid(), "only root can become another user")
class TestDevelopmentUser(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-checkout-")
		self.addCleanup(folder.cleanup)
		self.checkout = Path(folder.name)
		self.checkout.chmod(0o755)
		(self.checkout / "setup.py").touch()
		(self.checkout / "fmx_restart" / "public").mkdir(parents=True)
		(self.checkout / "development").mkdir()
		for file in (CHECKOUT / "development").glob("*.py"):
			shutil.copy(file, self.checkout / "development")
		self.user = pwd.getpwnam(NOBODY)

	def run_python(self, code: str, *words: str) -> subprocess.CompletedProcess:
		command = [sys.executable, "-c", code, *words]
		return subprocess.run(command, cwd=self.checkout, capture_output=True, text=True)

	def output(self, code: str, *words: str) -> str:
		done = self.run_python(code, *words)
		self.assertEqual(done.returncode, 0, done.stderr)
		return done.stdout.strip()

	def owners(self) -> dict[str, int]:
		return {
			str(path.relative_to(self.checkout)): path.lstat().st_uid for path in self.checkout.rglob("*")
		}

	def test_what_the_builds_write_is_given_away_and_nothing_else(self):
		(self.checkout / "elsewhere").touch()
		(self.checkout / ".development").mkdir()
		(self.checkout / ".development" / "cache").symlink_to(self.checkout / "elsewhere")
		before = self.owners()
		self.output(GIVE.format("give_to"), NOBODY)
		given = {path for path, owner in self.owners().items() if owner == self.user.pw_uid}
		self.assertEqual(
			given, {".development", ".development/home", ".development/cache", "fmx_restart/public/dist"}
		)
		self.assertEqual(
			{path: self.owners()[path] for path in before.keys() - given},
			dict.fromkeys(before.keys() - given, 0),
		)

	def test_root_becomes_the_owner_also_from_a_python_that_is_closed_to_that_user(self):
		self.output(GIVE.format("give_to"), NOBODY)
		home = self.checkout / ".development" / "home"
		self.assertEqual(self.output(BECOME), f"{self.user.pw_uid} {home}")

	def test_root_stays_root_where_nothing_was_given_away_and_where_the_owner_is_unknown(self):
		self.assertEqual(self.output(BECOME).split()[0], "0")
		(self.checkout / ".development").mkdir()
		self.assertEqual(self.output(BECOME).split()[0], "0")
		os.chown(self.checkout / ".development", 54321, 54321)
		self.assertEqual(self.output(BECOME).split()[0], "0")

	def test_a_checkout_that_the_user_cannot_read_is_refused(self):
		self.checkout.chmod(0o700)
		done = self.run_python(GIVE.format("check_may_be_given"), "daemon")
		self.assertIn("daemon cannot read", done.stderr)
		self.assertFalse((self.checkout / ".development").exists())

	def test_a_user_whom_bench_or_the_machine_does_not_know_is_refused(self):
		for name, why in (
			(NOBODY, "has no group nobody"),
			("fmx-nobody-at-all", "has no user"),
			("54321", "has no user"),
		):
			with self.subTest(name):
				done = self.run_python(GIVE.format("check_may_be_given"), name)
				self.assertIn(why, done.stderr)
