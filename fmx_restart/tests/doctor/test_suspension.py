"""Who holds the queue back."""

from __future__ import annotations

from rq.suspension import suspend

from fmx_restart.tests.doctor.support import DoctorTestCase


class TestSuspension(DoctorTestCase):
	def test_somebody_elses_suspension_is_found(self):
		suspend(self.admin)
		self.assertEqual(self.finding("queue-suspended").severity, "error")

	def test_a_queue_that_moves_is_fine(self):
		self.assert_clean(["queue-suspended"])
