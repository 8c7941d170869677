"""
What every Lease must do. Mixed into one test case per implementation, which brings new_lease, plant, value and
eventually; `short` is a lease that a test can wait for (seconds).
"""

from __future__ import annotations

from fmx_restart.engine.ports import Hold


class LeaseContract:
	def test_a_free_lease_is_taken_and_then_kept(self):
		lease = self.new_lease("operation-1")
		self.assertEqual([lease.hold(), lease.hold(), lease.hold()], [Hold.TAKEN, Hold.KEPT, Hold.KEPT])

	def test_nobody_holds_a_free_lease(self):
		self.assertIsNone(self.new_lease("operation-1").holder())

	def test_whoever_asks_is_told_the_owner_and_the_latest_note(self):
		# Given a lease that was renewed with another note
		lease = self.new_lease("operation-1")
		lease.hold("by anna, Drain")
		lease.hold("by anna, Restart")
		# Then that one is told
		self.assertEqual(self.new_lease("operation-2").holder(), "operation-1 by anna, Restart")

	def test_a_lease_without_a_note_is_told_by_its_owner(self):
		self.new_lease("operation-1").hold()
		self.assertEqual(self.new_lease("operation-2").holder(), "operation-1")

	def test_somebody_elses_lease_is_foreign_and_nothing_is_written(self):
		# Given a lease of another operation
		self.new_lease("operation-1").hold("by anna")
		before = self.value()
		# When we want it
		self.assertIs(self.new_lease("operation-2").hold("by ben"), Hold.FOREIGN)
		# Then it is as it was
		self.assertEqual(self.value(), before)

	def test_being_refused_does_not_prolong_the_other_ones_lease(self):
		self.new_lease("operation-1", seconds=self.short).hold()
		other = self.new_lease("operation-2")
		self.eventually(lambda: other.hold() is Hold.TAKEN, "it is free, though someone kept asking")

	def test_a_released_lease_is_free(self):
		lease = self.new_lease("operation-1")
		lease.hold()
		self.assertEqual((lease.release(), lease.holder(), lease.release()), (True, None, False))
		self.assertIs(self.new_lease("operation-2").hold(), Hold.TAKEN)

	def test_only_the_owner_can_release(self):
		self.new_lease("operation-1").hold()
		self.assertFalse(self.new_lease("operation-2").release())
		self.assertEqual(self.new_lease("operation-3").holder(), "operation-1")

	def test_a_lease_ends_by_itself(self):
		lease = self.new_lease("operation-1", seconds=self.short)
		lease.hold()
		self.eventually(lambda: lease.holder() is None, "it has expired")
		self.assertFalse(lease.release())

	def test_a_lease_that_ran_out_is_taken_anew_which_tells_the_owner_so(self):
		lease = self.new_lease("operation-1", seconds=self.short)
		lease.hold()
		self.eventually(lambda: lease.holder() is None, "it has expired")
		self.assertIs(lease.hold(), Hold.TAKEN)

	def test_an_owner_that_slept_too_long_neither_takes_nor_releases_the_next_ones(self):
		# Given a lease that ran out and was taken by someone else
		slow, next_one = self.new_lease("slow", seconds=self.short), self.new_lease("next")
		slow.hold()
		self.eventually(lambda: next_one.hold() is Hold.TAKEN, "the next one has it")
		# When the first owner wakes up
		self.assertIs(slow.hold(), Hold.FOREIGN)
		self.assertFalse(slow.release())
		# Then the next one's stays
		self.assertIs(next_one.hold(), Hold.KEPT)

	def test_a_value_of_somebody_who_knows_no_leases_is_foreign_and_stays(self):
		# Given a value without an owner
		self.plant("1")
		lease = self.new_lease("operation-1", seconds=self.short)
		# Then it is neither taken nor released
		self.assertEqual((lease.hold(), lease.release(), lease.holder()), (Hold.FOREIGN, False, "1"))

	def test_an_owner_whose_name_begins_like_ours_is_another(self):
		self.new_lease("operation-12").hold()
		lease = self.new_lease("operation-1")
		self.assertEqual((lease.hold(), lease.release()), (Hold.FOREIGN, False))

	def test_what_an_operation_of_the_same_bench_left_is_replaced(self):
		# Given the fence of an operation whose process died
		self.new_lease("fmx_restart:bench:operation-1").hold("old note")
		# When another operation of the same bench takes it
		lease = self.new_lease("fmx_restart:bench:operation-2", replaces="fmx_restart:bench:")
		self.assertEqual([lease.hold("new"), lease.hold("new")], [Hold.TAKEN, Hold.KEPT])
		# Then it is his alone
		self.assertEqual(lease.holder(), "fmx_restart:bench:operation-2 new")
		self.assertFalse(self.new_lease("fmx_restart:bench:operation-1").release())

	def test_what_another_bench_set_is_never_replaced(self):
		for value in ("fmx_restart:bench-2:operation-1 ", "fmx_restart:ben", "1", ""):
			with self.subTest(value=value):
				self.plant(value)
				lease = self.new_lease("fmx_restart:bench:operation-2", replaces="fmx_restart:bench:")
				self.assertIs(lease.hold(), Hold.FOREIGN)
