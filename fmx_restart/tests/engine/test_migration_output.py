from __future__ import annotations

import unittest

from fmx_restart.engine.migration import LAST_LINES, LONGEST_LINE, Output

SITE = "a.localhost"


class TestOutput(unittest.TestCase):
	def setUp(self):
		self.output = Output(SITE)

	def feed(self, *lines: str) -> list[str]:
		return self.output.feed("".join(f"{line}\n" for line in lines), now=0)

	def test_lines_come_out_whole_however_they_went_in(self):
		shown = [
			line for piece in ("Migr", "ating\nse", "cond\n\n") for line in self.output.feed(piece, now=0)
		]
		self.assertEqual(shown, ["Migrating", "second"])

	def test_a_progress_bar_shows_a_few_of_its_states_and_the_last(self):
		shown = []
		for step in range(100):
			shown += self.output.feed(f"\rUpdating DocTypes for app: {step}%", now=step / 10)
		shown += self.output.feed("\n", now=10)
		self.assertEqual([line.split()[-1] for line in shown], ["0%", "20%", "40%", "60%", "80%", "99%"])

	def test_the_patch_that_did_not_end_is_the_culprit(self):
		self.feed(f"Executing app.one in {SITE} (_db)", "Success: Done in 0.01s")
		self.assertEqual(self.output.culprit, "")
		self.feed(f"Executing app.two #2026-01-01 in {SITE} (_db)", "\tWhat it does", "Traceback")
		self.assertEqual(self.output.culprit, "app.two #2026-01-01")

	def test_a_patch_that_reloads_a_doctype_is_the_culprit_itself(self):
		self.feed(f"Executing app.one in {SITE} (_db)", f"Executing {{'module': 'x'}} in {SITE} (_db)")
		self.assertEqual(self.output.culprit, "app.one")
		self.feed("Success: Done in 0.01s")
		self.assertEqual(self.output.culprit, "app.one")

	def test_a_patch_that_was_skipped_is_not_the_culprit(self):
		self.feed(f"Executing app.one in {SITE} (_db)", "Failed to execute patch", "Traceback")
		self.assertEqual(self.output.culprit, "")

	def test_another_sites_patch_and_talk_about_patches_prove_nothing(self):
		self.feed("Executing app.one in b.localhost (_db)", "now Executing app.two in a.localhost")
		self.assertEqual(self.output.culprit, "")

	def test_the_doctype_is_told_where_the_traceback_names_its_file(self):
		path = "/bench/apps/app/app/core/doctype/thing/thing.json"
		self.feed('  File "sync.py", line 115, in sync_for', f"      doc_path = '{path}'")
		self.assertEqual(self.output.culprit, path)

	def test_secrets_are_hidden(self):
		shown = self.feed(
			"db_password = 'hunter2'",
			"conf = {'db_password': 'hunter2', 'db_name': '_a', \"encryption_key\": \"hunter2=\"}",
			"admin_password: hunter2",
			"Patch about password resets",
		)
		self.assertNotIn("hunter2", " ".join([*shown, *self.output.last_lines]))
		self.assertIn("'db_name': '_a'", shown[1])
		self.assertEqual(shown[3], "Patch about password resets")

	def test_only_the_end_is_kept_and_long_lines_are_cut(self):
		self.feed(*(f"line {number}" for number in range(100)), "x" * 10_000)
		self.assertEqual(len(self.output.last_lines), LAST_LINES)
		self.assertEqual(len(self.output.last_lines[-1]), LONGEST_LINE)

	def test_a_last_line_without_an_end_is_not_lost(self):
		self.feed("first")
		self.output.feed("Killed", now=0)
		self.assertEqual(self.output.close(), ["Killed"])
		self.assertEqual(list(self.output.last_lines), ["first", "Killed"])
