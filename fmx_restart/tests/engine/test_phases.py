from __future__ import annotations

import unittest

from fmx_restart.engine.phases import NEXT, Phase, check_move, phase_named
from fmx_restart.engine.requests import refusal_to_cancel

#: Every move there is. What is not here is our own bug.
MOVES = """
Preflight > Fence, Restart, Aborted, Failed
Fence > Park, Aborted, Failed
Park > Drain, Backup, Migrate, Restart, Aborted, Failed
Drain > Backup, Migrate, Restart, Aborted, Failed
Backup > Migrate, Aborted, Failed
Migrate > Restart, Failed
Restart > Lift, Verify, Failed
Lift > Verify, Failed
Verify > Handover, Audit, Failed
Handover > Fence, Restart, Audit, Failed
Audit > Done, Failed
"""


def moves() -> set[tuple[Phase, Phase]]:
	found = set()
	for line in MOVES.strip().splitlines():
		current, following = line.split(" > ")
		found |= {(Phase(current), Phase(name)) for name in following.split(", ")}
	return found


class TestPhases(unittest.TestCase):
	def test_the_moves_are_these_and_no_others(self):
		for current in Phase:
			for following in Phase:
				with self.subTest(move=f"{current.value} > {following.value}"):
					if (current, following) in moves():
						check_move(current, following)
					else:
						with self.assertRaisesRegex(ValueError, f"{current.value} to {following.value}"):
							check_move(current, following)

	def test_every_phase_stands_in_the_table(self):
		self.assertEqual(NEXT.keys(), set(Phase))

	def test_four_phases_are_final(self):
		final = {phase for phase in Phase if phase.is_final}
		self.assertEqual(final, {Phase.DONE, Phase.ABORTED, Phase.FAILED, Phase.RECOVERED})

	def test_only_what_can_be_undone_ends_as_aborted(self):
		"""It may fail as well: where another operation took the bench, nobody undoes anything."""
		for phase in Phase:
			if not phase.is_final:
				endings = {Phase.ABORTED, Phase.FAILED} if phase.can_be_undone else {Phase.FAILED}
				self.assertEqual(NEXT[phase] & {Phase.ABORTED, Phase.FAILED}, endings, phase)

	def test_every_phase_can_be_reached_but_the_one_that_only_a_recovery_ends_in(self):
		reached, found = {Phase.PREFLIGHT}, {Phase.PREFLIGHT}
		while found:
			found = {following for phase in found for following in NEXT[phase]} - reached
			reached |= found
		self.assertEqual(reached, set(Phase) - {Phase.RECOVERED})

	def test_a_name_that_nobody_knows_is_no_phase(self):
		"""The doctor holds a bench as "doctor --fix"; another version may know more phases."""
		self.assertIs(phase_named("Drain"), Phase.DRAIN)
		for name in ("doctor --fix", "", "drain", "Cleanup"):
			self.assertIsNone(phase_named(name))
		self.assertEqual(refusal_to_cancel(None), "")
