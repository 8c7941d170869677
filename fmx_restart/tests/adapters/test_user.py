"""Root types a command in a bench of another user; and that user meets what root has left there."""

from __future__ import annotations

import os
import tempfile
import time
import unittest
from contextlib import closing
from pathlib import Path

from fmx_restart.__main__ import main
from fmx_restart.adapters.history import past_operations
from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.journals import OthersAtWork, not_ours, prune, unfinished, unfinished_sites
from fmx_restart.adapters.user import become_owner_of
from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import JournalUnreadable
from fmx_restart.engine.phases import Phase
from fmx_restart.recover import recover_unfinished_operations
from fmx_restart.tests.adapters.ordinary_user import USER, as_ordinary_user, give, in_child
from fmx_restart.tests.adapters.test_journal import ended

CLOSED, OPEN, OWN = "20260101-120000-aaaa", "20260101-120100-bbbb", "20260101-120200-cccc"
YEAR = 365 * 86400.0  # seconds


class UserTest(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory(prefix="fmx-user-")
		self.addCleanup(folder.cleanup)
		self.bench = Path(folder.name)
		self.folder = self.bench / "logs" / "fmx_restart"

	def write(self, operation: str, *facts: events.Event) -> Path:
		with closing(Journal(self.folder, operation)) as journal:
			for fact in facts:
				journal(fact)
		return journal.path


@unittest.skipIf(os.geteuid(), "only root can become another user")
class TestRoot(UserTest):
	def test_it_becomes_the_owner_of_the_bench_and_writes_as_that_user(self):
		give(self.bench)

		def work() -> tuple:
			become_owner_of(self.bench)
			self.write(OWN, events.PhaseEntered(Phase.FENCE))
			return os.getresuid(), os.getresgid(), os.getgroups()

		users, groups, others = in_child(work)
		self.assertEqual((users, groups, others), ((USER,) * 3, (USER,) * 3, []))
		for path in (self.folder, *self.folder.iterdir()):
			self.assertEqual((path.stat().st_uid, path.stat().st_mode & 0o077), (USER, 0), path)

	def test_a_user_of_the_machine_has_its_groups_and_its_home(self):
		import pwd

		user = next(user for user in pwd.getpwall() if user.pw_uid)
		give(self.bench, user.pw_uid)

		def work() -> tuple:
			become_owner_of(self.bench)
			return os.geteuid(), os.getegid(), os.environ["HOME"]

		self.assertEqual(in_child(work), (user.pw_uid, user.pw_gid, user.pw_dir))

	def test_it_stays_root_in_a_bench_of_roots_own(self):
		self.assertEqual(in_child(lambda: become_owner_of(self.bench) or os.geteuid()), 0)

	def test_python_m_fmx_restart_does_so_before_anything_else(self):
		sites = self.bench / "sites"
		sites.mkdir()
		(sites / "apps.txt").write_text("frappe\n")
		give(self.bench)

		def work() -> int:
			os.chdir(sites)
			with self.assertRaises(SystemExit):
				main(["safe-restart", "history"], prog_name="python -m fmx_restart")
			return os.geteuid()

		self.assertEqual(in_child(work), USER)


@unittest.skipIf(os.geteuid(), "only root can write what another user may not read")
class TestWhatRootHasLeft(UserTest):
	"""Journals that the bench's user may not read end nothing of what that user does."""

	def setUp(self):
		super().setUp()
		self.write(OWN, events.OperationStarted(OWN, "bench", "wait-workers", "", None))
		give(self.bench)
		self.write(CLOSED, ended())
		self.write(OPEN, events.PhaseEntered(Phase.FENCE))

	def test_they_are_named_with_what_to_type(self):
		others = as_ordinary_user(lambda: not_ours(self.folder))
		self.assertEqual(others.operations, (CLOSED, OPEN))
		self.assertIn(
			f"may not read and write 2 journals of this bench, the last one of operation {OPEN}",
			others.reason,
		)
		self.assertIn(f"sudo chown --reference={self.folder} {self.folder}/*.jsonl", others.remedy)
		self.assertIsNone(not_ours(self.folder))

	def test_the_next_operation_says_so_and_goes_on(self):
		sites = self.bench / "sites"
		sites.mkdir(mode=0o755)
		(sites / "common_site_config.json").write_text("{}")
		(self.folder / f"{OWN}.jsonl").unlink()

		def work() -> tuple:
			os.chdir(sites)
			os.environ["FRAPPE_BENCH_ROOT"] = str(self.bench)
			told: list[events.Event] = []
			return recover_unfinished_operations(told.append), told

		died, told = as_ordinary_user(work)
		self.assertEqual((died, [fact.operations for fact in told]), (0, [(CLOSED, OPEN)]))
		self.assertIn("Warning: 54321 may not read", sentence(told[0]))

	def test_what_died_beside_them_is_found(self):
		found = as_ordinary_user(lambda: [left.operation for left in unfinished(self.folder)])
		self.assertEqual(found, [OWN])

	def test_one_that_may_be_read_but_not_written_is_not_recovered_either(self):
		(self.folder / f"{OPEN}.jsonl").chmod(0o644)
		(self.folder / f"{CLOSED}.jsonl").chmod(0o644)
		self.assertEqual(as_ordinary_user(lambda: not_ours(self.folder)).operations, (OPEN,))
		found = as_ordinary_user(lambda: [left.operation for left in unfinished(self.folder)])
		self.assertEqual(found, [OWN])

	def test_whether_another_one_is_at_work_is_asked_of_the_others(self):
		self.assertIsNone(as_ordinary_user(lambda: OthersAtWork(self.folder, OWN).at_work()))

	def test_they_are_kept_when_old_ones_are_deleted(self):
		long_ago = time.time() - YEAR
		for path in self.folder.iterdir():
			os.utime(path, (long_ago, long_ago))
		self.assertEqual(as_ordinary_user(lambda: prune(self.folder)), [])

	def test_history_says_why_they_are_not_told(self):
		outcomes = as_ordinary_user(lambda: [it.outcome for it in past_operations(self.folder, 10)])
		self.assertEqual(outcomes[1:], ["unreadable: Permission denied"] * 2)

	def test_which_sites_are_left_to_migrate_is_unknown(self):
		with self.assertRaisesRegex(
			JournalUnreadable, f"{OPEN}.jsonl cannot be read: Permission denied. It is unknown"
		):
			as_ordinary_user(lambda: unfinished_sites(self.folder))
