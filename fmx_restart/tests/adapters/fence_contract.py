"""
What every Fence must do. Mixed into one test case per implementation, which brings new_fence, plant (what a stranger writes;
None: what `rq resume` leaves), value, forget_owners and eventually; `short` is a lease that a test can wait for (seconds).
"""

from __future__ import annotations

from itertools import permutations

from fmx_restart.engine.ports import Hold

ANNA, BEN, CARL = (f"fmx_restart:bench-of-{name}:operation-1" for name in ("anna", "ben", "carl"))
STRANGERS = ("1", "", "anything", "fmx_restart:bench-of-dora:operation-9 an older version wrote it")


class FenceContract:
	# one owner

	def test_it_is_taken_then_kept_and_the_queue_moves_after_its_release(self):
		fence = self.new_fence(ANNA)
		self.assertIsNone(fence.holder())
		self.assertEqual([fence.hold(), fence.hold(), fence.hold()], [Hold.TAKEN, Hold.KEPT, Hold.KEPT])
		self.assertEqual((fence.release(), fence.holder(), fence.release()), (True, None, False))
		self.assertIs(fence.hold(), Hold.TAKEN)

	def test_the_holder_is_told_by_its_owner_and_its_latest_note(self):
		fence = self.new_fence(ANNA)
		fence.hold()
		self.assertEqual(self.new_fence(BEN).holder(), ANNA)
		fence.hold("by anna, Drain")
		fence.hold("by anna, Restart")
		self.assertEqual(self.new_fence(BEN).holder(), f"{ANNA} by anna, Restart")

	def test_it_ends_by_itself_and_its_owner_learns_that_it_had_lapsed(self):
		fence = self.new_fence(ANNA, seconds=self.short)
		fence.hold()
		self.eventually(lambda: fence.holder() is None, "it has expired")
		self.assertIs(fence.hold(), Hold.TAKEN)
		self.eventually(lambda: fence.holder() is None, "it has expired")
		self.assertFalse(fence.release())

	def test_one_that_someone_lifted_has_lapsed_and_stands_again(self):
		fence = self.new_fence(ANNA)
		fence.hold()
		self.plant(None)
		self.assertEqual([fence.hold(), fence.hold()], [Hold.TAKEN, Hold.KEPT])

	def test_an_owner_whose_name_begins_like_ours_is_another(self):
		first, second = self.new_fence(ANNA), self.new_fence(f"{ANNA}2")
		self.assertEqual([first.hold(), second.hold()], [Hold.TAKEN, Hold.TAKEN])
		self.assertEqual((first.release(), second.hold()), (True, Hold.KEPT))

	# owners add up

	def test_in_whatever_order_owners_come_and_go_it_stands_until_the_last_one_has_left(self):
		for comes in permutations((ANNA, BEN, CARL)):
			for goes in permutations((ANNA, BEN, CARL)):
				with self.subTest(comes=comes, goes=goes):
					fences = {owner: self.new_fence(owner) for owner in comes}
					self.assertEqual([fences[owner].hold() for owner in comes], [Hold.TAKEN] * 3)
					self.assertEqual([fences[owner].hold() for owner in goes], [Hold.KEPT] * 3)
					for owner in goes:
						self.assertIsNotNone(self.value())
						self.assertTrue(fences[owner].release())
						self.assertFalse(fences[owner].release())
					self.assertIsNone(self.value())

	def test_it_names_its_first_owner_and_then_one_that_is_left(self):
		first, second = self.new_fence(ANNA), self.new_fence(BEN)
		first.hold("one")
		second.hold("two")
		self.assertEqual(second.holder(), f"{ANNA} one")
		first.hold("one, later")
		self.assertEqual(second.holder(), f"{ANNA} one, later")
		first.release()
		self.assertEqual(second.holder(), f"{BEN} two")

	def test_one_that_ends_by_itself_leaves_the_others_and_never_a_gap(self):
		# Given two owners, one of which dies
		dead, living = self.new_fence(ANNA, seconds=self.short), self.new_fence(BEN)
		dead.hold()
		living.hold("two")
		# When its time is over, then the other one's has stood all the while, and names it
		self.eventually(
			lambda: living.hold("two") and living.holder() == f"{BEN} two", "the dead one is gone"
		)
		self.assertEqual((living.hold(), dead.release()), (Hold.KEPT, False))
		self.assertIsNotNone(self.value())
		# And who comes back after it has expired cannot know whether it stood all the time
		self.assertIs(dead.hold(), Hold.TAKEN)

	def test_the_longest_owner_decides_when_it_ends_by_itself(self):
		long, brief = self.new_fence(ANNA), self.new_fence(BEN, seconds=self.short)
		long.hold()
		brief.hold()
		self.assertTrue(long.release())
		self.eventually(lambda: self.value() is None, "the brief one has expired")

	def test_after_a_release_the_other_one_has_its_remaining_time_and_no_more(self):
		brief, long = self.new_fence(ANNA, seconds=self.short), self.new_fence(BEN)
		brief.hold()
		long.hold()
		long.release()
		self.assertIsNotNone(self.value())
		self.eventually(lambda: self.value() is None, "the brief one has expired")

	def test_whoever_puts_it_up_again_tells_all_others_that_it_had_lapsed(self):
		# Given two owners, and someone who lifts the suspension
		for again in ("hold", "release"):
			with self.subTest(again=again):
				first, second, third = (self.new_fence(owner) for owner in (ANNA, BEN, CARL))
				for fence in (first, second, third):
					fence.hold()
				self.plant(None)
				# When one of them notices, by renewing or by leaving
				getattr(first, again)()
				self.assertIsNotNone(self.value())
				# Then each other one learns it too, once
				self.assertEqual([second.hold(), second.hold()], [Hold.TAKEN, Hold.KEPT])
				self.assertEqual([third.hold(), third.hold()], [Hold.TAKEN, Hold.KEPT])
				for fence in (first, second, third):
					fence.release()

	# strangers

	def test_a_strangers_suspension_is_foreign_and_stays(self):
		for value in STRANGERS:
			with self.subTest(value=value):
				self.plant(value)
				fence = self.new_fence(ANNA)
				self.assertEqual([fence.hold(), fence.hold()], [Hold.FOREIGN, Hold.FOREIGN])
				self.assertEqual((self.value(), fence.release(), self.value()), (value, True, value))
				self.plant(None)

	def test_it_is_ours_as_soon_as_a_stranger_has_lifted_theirs_and_that_was_a_lapse(self):
		self.plant("1")
		fence = self.new_fence(ANNA)
		self.assertIs(fence.hold(), Hold.FOREIGN)
		self.plant(None)
		self.assertEqual([fence.hold("mine"), fence.hold("mine")], [Hold.TAKEN, Hold.KEPT])
		self.assertEqual(fence.holder(), f"{ANNA} mine")

	def test_a_stranger_who_suspends_over_ours_is_left_and_nothing_has_lapsed(self):
		fence, neighbour = self.new_fence(ANNA), self.new_fence(BEN)
		fence.hold()
		neighbour.hold()
		self.plant("1")
		self.assertEqual([fence.hold(), neighbour.hold()], [Hold.FOREIGN, Hold.FOREIGN])
		self.assertEqual((fence.release(), neighbour.release(), self.value()), (True, True, "1"))

	def test_who_lapsed_while_a_stranger_suspended_the_queue_is_told_so(self):
		# Given an owner that slept too long, and a stranger who has suspended the queue since some moment
		fence = self.new_fence(ANNA, seconds=self.short)
		fence.hold()
		self.eventually(lambda: self.value() is None, "it has expired")
		self.plant("1")
		# Then it had lapsed, and stays a stranger's
		self.assertEqual([fence.hold(), fence.hold(), self.value()], [Hold.TAKEN, Hold.FOREIGN, "1"])

	# what a Redis that forgets leaves

	def test_without_the_record_of_owners_our_own_name_is_enough(self):
		fence = self.new_fence(ANNA)
		fence.hold()
		self.forget_owners()
		self.assertIs(fence.hold(), Hold.KEPT)
		self.forget_owners()
		self.assertEqual((fence.release(), self.value()), (True, None))

	def test_without_the_record_of_owners_a_neighbours_is_respected_and_all_are_recorded_again(self):
		# Given two owners, and a record that was evicted
		named, other = self.new_fence(ANNA), self.new_fence(BEN)
		named.hold("one")
		other.hold("two")
		self.forget_owners()
		# When both renew, then the one that cannot know is told so, and nothing is taken from the other
		self.assertEqual([other.hold("two"), self.value()], [Hold.TAKEN, f"{ANNA} one"])
		self.assertIs(named.hold("one"), Hold.KEPT)
		# And they add up again
		self.assertEqual((named.release(), other.hold("two")), (True, Hold.KEPT))
		self.assertEqual(self.value(), f"{BEN} two")

	def test_an_older_versions_fence_that_names_itself_is_released_by_its_own_name_only(self):
		self.plant(f"{ANNA} ")
		self.assertEqual((self.new_fence(BEN).release(), self.value()), (False, f"{ANNA} "))
		self.assertEqual((self.new_fence(ANNA).release(), self.value()), (True, None))

	# the dead of the same bench

	def test_what_an_operation_of_the_same_bench_left_is_replaced(self):
		dead = self.new_fence("fmx_restart:bench:operation-1")
		dead.hold("old note")
		heir = self.new_fence("fmx_restart:bench:operation-2", replaces="fmx_restart:bench:")
		self.assertEqual([heir.hold("new"), heir.hold("new")], [Hold.TAKEN, Hold.KEPT])
		self.assertEqual(heir.holder(), "fmx_restart:bench:operation-2 new")
		# And the dead one owns nothing any more
		self.assertFalse(dead.release())
		self.assertEqual((heir.release(), self.value()), (True, None))

	def test_a_fence_of_the_same_bench_that_an_older_version_left_is_replaced(self):
		self.plant("fmx_restart:bench:operation-1 old note")
		heir = self.new_fence("fmx_restart:bench:operation-2", replaces="fmx_restart:bench:")
		self.assertEqual([heir.hold("new"), heir.holder()], [Hold.TAKEN, "fmx_restart:bench:operation-2 new"])

	def test_what_another_bench_holds_is_never_replaced(self):
		for owner in ("fmx_restart:bench-2:operation-1", "fmx_restart:ben:operation-1"):
			with self.subTest(owner=owner):
				neighbour = self.new_fence(owner)
				neighbour.hold()
				heir = self.new_fence("fmx_restart:bench:operation-2", replaces="fmx_restart:bench:")
				heir.hold()
				heir.release()
				self.assertEqual((neighbour.hold(), neighbour.release()), (Hold.KEPT, True))
