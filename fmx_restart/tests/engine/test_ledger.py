from __future__ import annotations

import unittest

from fmx_restart.engine.ledger import Account, Ids, Inventory, Ledger, Place, Places


def closed(before: dict, after: dict, statuses: dict | None = None, seen_running=()) -> Account:
	"""`before` and `after`: job id → place. `statuses`: what the hashes of the others say."""
	ledger = Ledger(inventory(100.0, before))
	ledger.seen_running |= set(seen_running)
	return ledger.close(ledger.compare(inventory(200.0, after)), statuses or {})


def inventory(time: float, places: dict[str, Place]) -> Inventory:
	return Inventory(time, Places(places))


class TestLedger(unittest.TestCase):
	def assert_outcome(self, account: Account, **expected) -> None:
		"""Every other number is zero, and the sum is right."""
		self.assertTrue(account.is_balanced, account)
		self.assertEqual(account, Account(**expected))

	def test_a_bench_without_jobs_has_a_balanced_account(self):
		self.assert_outcome(closed({}, {}))

	# jobs that were there before

	def test_a_job_that_waited_and_still_waits_is_waiting(self):
		account = closed({"a": Place.WAITING}, {"a": Place.WAITING})
		self.assert_outcome(account, before=1, waiting=1)

	def test_a_job_that_ran_and_finished_is_finished(self):
		account = closed({"a": Place.RUNNING}, {"a": Place.FINISHED})
		self.assert_outcome(account, before=1, finished=1)

	def test_a_job_that_ran_and_failed_is_failed(self):
		account = closed({"a": Place.RUNNING}, {"a": Place.FAILED})
		self.assert_outcome(account, before=1, failed=1)

	def test_a_job_that_still_runs_is_running(self):
		account = closed({"a": Place.RUNNING}, {"a": Place.RUNNING})
		self.assert_outcome(account, before=1, running=1)

	def test_a_job_that_asked_to_be_tried_later_is_waiting(self):
		account = closed({"a": Place.RUNNING}, {"a": Place.LATER})
		self.assert_outcome(account, before=1, waiting=1)

	def test_a_job_that_somebody_canceled_is_removed(self):
		account = closed({"a": Place.WAITING}, {"a": Place.CANCELED})
		self.assert_outcome(account, before=1, removed=1)

	def test_jobs_that_had_ended_before_are_not_ours_to_count(self):
		ended = {"a": Place.FINISHED, "b": Place.FAILED, "c": Place.CANCELED, "d": Place.LATER}
		self.assert_outcome(closed(ended, ended))
		self.assert_outcome(closed(ended, {}))

	def test_a_job_whose_worker_had_been_killed_before_is_told_and_not_counted_as_ours(self):
		for after in ({"a": Place.RUNNING}, {"a": Place.FAILED}, {}):
			ledger = Ledger(inventory(100.0, {"a": Place.RUNNING}), abandoned={"a"})
			account = ledger.close(ledger.compare(inventory(200.0, after)), {})
			self.assert_outcome(account, older_interrupted=["a"])

	# jobs that came meanwhile

	def test_a_job_that_came_and_waits_has_arrived(self):
		self.assert_outcome(closed({}, {"a": Place.WAITING}), arrived=1, waiting=1)

	def test_a_job_that_came_and_ran_before_the_fence_held_has_arrived_and_finished(self):
		self.assert_outcome(closed({}, {"a": Place.FINISHED}), arrived=1, finished=1)

	def test_a_failed_job_that_somebody_enqueued_again_has_arrived(self):
		account = closed({"a": Place.FAILED}, {"a": Place.WAITING})
		self.assert_outcome(account, arrived=1, waiting=1)

	def test_a_scheduled_job_whose_time_came_has_arrived(self):
		account = closed({"a": Place.LATER}, {"a": Place.WAITING})
		self.assert_outcome(account, arrived=1, waiting=1)

	# jobs that stand in no list: their hashes must tell

	def test_a_job_whose_hash_says_queued_is_lost_until_it_is_put_back(self):
		account = closed({"a": Place.WAITING}, {}, {"a": "queued"})
		self.assert_outcome(account, before=1, lost=["a"])

	def test_a_job_whose_hash_says_started_was_interrupted(self):
		account = closed({"a": Place.RUNNING}, {}, {"a": "started"})
		self.assert_outcome(account, before=1, interrupted=["a"])

	def test_a_job_whose_hash_says_how_it_ended_has_ended_so(self):
		for status, outcome in (("finished", "finished"), ("failed", "failed"), ("stopped", "failed")):
			with self.subTest(status=status):
				account = closed({"a": Place.RUNNING}, {}, {"a": status})
				self.assert_outcome(account, before=1, **{outcome: 1})

	def test_a_job_that_left_no_hash_has_finished_if_it_was_seen_running(self):
		account = closed({"a": Place.WAITING}, {}, {"a": None}, seen_running=["a"])
		self.assert_outcome(account, before=1, finished=1)

	def test_a_job_that_left_no_hash_and_was_never_seen_running_was_removed(self):
		account = closed({"a": Place.WAITING, "b": Place.WAITING}, {}, {"a": None})
		self.assert_outcome(account, before=2, removed=2)

	def test_a_job_whose_hash_says_canceled_was_removed(self):
		account = closed({"a": Place.WAITING}, {}, {"a": "canceled"})
		self.assert_outcome(account, before=1, removed=1)

	def test_a_stranded_job_is_lost_until_it_is_put_back(self):
		account = closed({"a": Place.WAITING}, {"a": Place.STRANDED}, {"a": "queued"})
		self.assert_outcome(account, before=1, lost=["a"])

	def test_a_stranded_job_that_came_meanwhile_has_arrived(self):
		account = closed({}, {"a": Place.STRANDED}, {"a": "queued"})
		self.assert_outcome(account, arrived=1, lost=["a"])

	def test_the_hashes_asked_for_are_those_of_jobs_in_no_list(self):
		# Given a job of every kind
		ledger = Ledger(inventory(100.0, {"gone": Place.WAITING, "ran": Place.RUNNING, "old": Place.FAILED}))
		after = {"ran": Place.FINISHED, "stranded": Place.STRANDED, "new": Place.WAITING}
		# Then only those that no list tells about are asked for
		self.assertEqual(ledger.compare(inventory(200.0, after)).unplaced, {"gone", "stranded"})

	def test_of_all_hashes_those_are_looked_at_that_did_not_wait_before_and_stand_nowhere_now(self):
		before = {"a": Place.WAITING, "b": Place.RUNNING, "c": Place.STRANDED}
		ledger, hashes = Ledger(inventory(0, before)), Ids()
		hashes.add([b"a", b"b", b"c", b"new", b"ghost"])
		ledger.discard_known(hashes)
		after = inventory(1, {"b": Place.FINISHED, "new": Place.WAITING})
		self.assertEqual(set(ledger.unlisted(hashes, after)), {"c", "ghost"})

	def test_every_place_has_an_outcome_before_and_after(self):
		for before in (None, *Place):
			for after in (None, *Place):
				for status in ("queued", "started", "finished", None):
					places = ({"a": before} if before else {}, {"a": after} if after else {})
					self.assertTrue(closed(*places, {"a": status}).is_balanced, (before, after, status))


class TestAccount(unittest.TestCase):
	def test_the_total_is_what_was_there_and_what_came(self):
		self.assertEqual(Account(before=400, arrived=12).total, 412)

	def test_every_outcome_counts_once(self):
		outcomes = ("finished", "failed", "waiting", "running", "requeued", "removed")
		account = Account(before=8, **dict.fromkeys(outcomes, 1), interrupted=["a"], lost=["b"])
		self.assertTrue(account.is_balanced)

	def test_a_job_without_an_outcome_is_noticed(self):
		self.assertFalse(Account(before=1).is_balanced)

	def test_an_outcome_without_a_job_is_noticed(self):
		self.assertFalse(Account(finished=1).is_balanced)

	def test_older_ghosts_are_told_beside_the_sum(self):
		self.assertTrue(Account(older_ghosts=3).is_balanced)
