"""
What holds of the queue must do. Mixed into one test case per implementation, which brings new_holds (of a bench), new_fence (as
FenceContract), plant, value, lose_all_data and eventually; `short` is a hold that a test can wait for (seconds).
"""

from __future__ import annotations

from fmx_restart.engine.ports import Hold, ReleaseEnd

OPERATION, COMMAND = "fmx_restart:bench:operation-1", "fmx_restart::hold:bench:ada/command"
OTHER = "fmx_restart:other-bench:operation-1"


class HoldContract:
	def make(self, owner="ada", seconds=60.0, *, reason="", bench="bench", holds=None):
		"""As the command does: under a fence of its own, which it gives back."""
		holds, fence = holds or self.new_holds(bench), self.new_fence(COMMAND)
		fence.hold("{}")
		try:
			return holds.make(owner, seconds, fence, reason=reason, by=f"{owner}@a.example")
		finally:
			fence.release()

	def names(self, holds):
		return [hold.owner for hold in holds.standing()]

	def test_it_stands_after_its_command_and_tells_who_why_and_until_when(self):
		holds = self.new_holds()
		made = self.make(reason="deploy 12: ü {}")
		(hold,) = holds.standing()
		self.assertEqual((hold.owner, hold.reason, hold.by), ("ada", "deploy 12: ü {}", "ada@a.example"))
		self.assertEqual((hold.bench, hold.is_beginning, hold.has_stood), ("bench", False, True))
		self.assertAlmostEqual(hold.until - hold.since, 60, delta=2)
		self.assertAlmostEqual(hold.until, made.until, delta=0.1)
		self.assertIsNotNone(self.value())

	def test_a_release_lifts_it_and_a_second_one_says_when_that_was(self):
		holds = self.new_holds()
		self.make()
		first, second = holds.release("ada", "ben"), holds.release("ada", "ben")
		self.assertEqual((first.end, first.hold.owner), (ReleaseEnd.LIFTED, "ada"))
		self.assertEqual((second.end, second.hold.owner), (ReleaseEnd.RELEASED_BEFORE, "ada"))
		self.assertAlmostEqual(first.ended, second.ended, delta=0.01)
		self.assertEqual((self.value(), holds.standing()), (None, []))

	def test_it_ends_by_itself_and_a_release_says_when(self):
		holds = self.new_holds()
		hold = self.make(seconds=self.short)
		self.eventually(lambda: self.value() is None, "it has expired")
		done = holds.release("ada", "ada")
		self.assertEqual((done.end, holds.standing()), (ReleaseEnd.EXPIRED, []))
		self.assertAlmostEqual(done.ended, hold.until, delta=0.01)

	def test_nothing_is_known_of_one_that_was_never_made_or_that_redis_has_lost(self):
		holds = self.new_holds()
		self.assertIs(holds.release("ada", "ada").end, ReleaseEnd.UNKNOWN)
		self.make()
		self.lose_all_data()
		done = holds.release("ada", "ada")
		self.assertEqual((done.end, done.hold), (ReleaseEnd.UNKNOWN, None))
		self.assertIsNone(self.value())

	def test_the_same_owner_extends_it_and_never_shortens_it(self):
		holds = self.new_holds()
		first = self.make(seconds=60, reason="deploy")
		longer, shorter = self.make(seconds=90), self.make(seconds=5, reason="again")
		self.assertAlmostEqual(longer.until - first.until, 30, delta=2)
		self.assertAlmostEqual(shorter.until, longer.until, delta=0.1)
		self.assertEqual((longer.reason, shorter.reason), ("deploy", "again"))
		self.assertAlmostEqual(shorter.since, first.since, delta=0.01)
		self.assertEqual(self.names(holds), ["ada"])
		self.assertIs(holds.release("ada", "ada").end, ReleaseEnd.LIFTED)
		self.assertIsNone(self.value())

	def test_another_owner_adds_one_and_each_lifts_only_its_own(self):
		holds = self.new_holds()
		for order in (("ada", "ben"), ("ben", "ada")):
			self.make("ada", 60)
			self.make("ben", 90)
			self.assertEqual(self.names(holds), ["ada", "ben"])
			self.assertIs(holds.release(order[0], "x").end, ReleaseEnd.LIFTED)
			self.assertEqual((self.names(holds), self.value() is None), ([order[1]], False))
			self.assertIs(holds.release(order[1], "x").end, ReleaseEnd.LIFTED)
			self.assertIsNone(self.value())

	def test_names_that_begin_alike_or_have_odd_characters_are_told_apart(self):
		holds, odd = self.new_holds(), ("ada", "ada b", "ada/b", "ada:b", "ada%2Fb", "ädä {", "a" * 140)
		for owner in odd:
			self.make(owner)
		self.assertEqual(sorted(self.names(holds)), sorted(odd))
		for number, owner in enumerate(odd, start=1):
			self.assertIs(holds.release(owner, "x").end, ReleaseEnd.LIFTED, owner)
			self.assertEqual(len(holds.standing()), len(odd) - number)
		self.assertIsNone(self.value())

	def test_benches_on_one_redis_see_each_others_holds_and_lift_their_own(self):
		ours, theirs = self.new_holds(), self.new_holds("other-bench")
		self.make("ada")
		self.make("ada", bench="other-bench")
		self.assertEqual({hold.bench for hold in ours.standing()}, {"bench", "other-bench"})
		self.assertIs(theirs.release("ada", "x").end, ReleaseEnd.LIFTED)
		self.assertEqual([hold.bench for hold in ours.standing()], ["bench"])
		self.assertIsNotNone(self.value())

	# beside operations

	def test_an_operation_during_a_hold_comes_and_goes_and_the_hold_stands(self):
		holds = self.new_holds()
		self.make()
		operation = self.new_fence(OPERATION, replaces="fmx_restart:bench:")
		self.assertEqual([operation.hold("note"), operation.hold("note")], [Hold.TAKEN, Hold.KEPT])
		self.assertTrue(operation.release())
		self.assertEqual((self.names(holds), self.value() is None), (["ada"], False))
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.LIFTED)

	def test_a_hold_during_an_operation_stays_when_that_ends_or_dies(self):
		holds, operation = self.new_holds(), self.new_fence(OPERATION, seconds=self.short)
		operation.hold("note")
		self.make()
		self.eventually(lambda: operation.holder() is not None, "it is suspended")
		if self.short < 1:
			self.eventually(lambda: not operation.release(), "the operation's lease is over")
		self.assertEqual((self.names(holds), self.value() is None), (["ada"], False))
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.LIFTED)
		self.assertIsNone(self.value())

	def test_a_hold_that_ends_during_an_operation_leaves_the_operation_its_fence(self):
		holds, operation = self.new_holds(), self.new_fence(OTHER)
		self.make(seconds=self.short)
		operation.hold()
		self.eventually(lambda: not holds.standing(), "the hold has expired")
		self.assertIs(operation.hold(), Hold.KEPT)
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.EXPIRED)
		self.assertTrue(operation.release())
		self.assertIsNone(self.value())

	def test_a_release_during_an_operation_leaves_the_operation_its_fence(self):
		holds, operation = self.new_holds(), self.new_fence(OPERATION)
		self.make()
		operation.hold()
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.LIFTED)
		self.assertIs(operation.hold(), Hold.KEPT)

	# what others do to the suspension

	def test_one_that_someone_lifted_does_not_stand_and_its_release_says_so(self):
		holds = self.new_holds()
		self.make()
		self.plant(None)
		(hold,) = holds.standing()
		self.assertFalse(hold.has_stood)
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.BROKEN)
		self.assertEqual(holds.standing(), [])

	def test_one_that_someone_lifted_is_put_up_again_by_the_next_operation_and_has_not_stood(self):
		holds, operation = self.new_holds(), self.new_fence(OPERATION)
		self.make()
		self.plant(None)
		operation.hold()
		operation.release()
		self.assertIsNotNone(self.value())
		self.assertFalse(holds.standing()[0].has_stood)
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.BROKEN)

	def test_an_extension_does_not_forget_that_someone_had_lifted_it(self):
		holds = self.new_holds()
		self.make()
		self.plant(None)
		self.assertFalse(self.make(seconds=90).has_stood)
		self.assertFalse(self.make(seconds=120).has_stood)
		self.assertIsNotNone(self.value())
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.BROKEN)
		# and one made anew afterwards has
		self.assertTrue(self.make().has_stood)
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.LIFTED)

	def test_none_is_made_where_the_commands_own_fence_has_not_stood(self):
		holds, fence = self.new_holds(), self.new_fence(COMMAND)
		self.assertIsNone(holds.make("ada", 60, fence, reason="", by=""))
		fence.hold()
		self.plant(None)
		self.assertIsNone(holds.make("ada", 60, fence, reason="", by=""))
		fence.hold()
		self.assertIsNotNone(holds.make("ada", 60, fence, reason="", by=""))

	def test_none_is_made_beside_a_strangers_suspension(self):
		holds, fence = self.new_holds(), self.new_fence(COMMAND)
		self.plant("1")
		fence.hold()
		self.assertIsNone(holds.make("ada", 60, fence, reason="", by=""))
		fence.release()
		self.assertEqual((self.value(), holds.standing()), ("1", []))

	def test_a_stranger_who_suspends_over_it_keeps_theirs_when_it_is_lifted(self):
		holds = self.new_holds()
		self.make()
		self.plant("1")
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.LIFTED)
		self.assertEqual(self.value(), "1")
