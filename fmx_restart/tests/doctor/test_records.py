from __future__ import annotations

from fmx_restart.tests.doctor.support import DoctorTestCase


class TestUnreadableRecords(DoctorTestCase):
	def test_sound_records_are_no_finding(self):
		self.rq.enqueue("good")
		self.rq.register("short")
		self.assert_clean(["unreadable-records"])

	def test_those_that_cannot_be_read_are_counted_and_named_and_hide_no_other_finding(self):
		# Given two odd jobs in the queue, one of which is no text, and an odd worker
		for id in (b"a\xff", b"b"):
			self.admin.hset(
				b"rq:job:" + id, mapping={"origin": self.rq.queue("short").name, "enqueued_at": "now"}
			)
			self.admin.rpush(self.rq.queue("short").key, id)
		worker = self.rq.register("short", name="odd")
		self.admin.hset(worker.key, "birth", "long ago")
		# Then one finding tells it, and no check fails
		finding = self.finding("unreadable-records")
		text = finding.text
		self.assertRegex(finding.remedy, r"hgetall rq:(job:b|worker:odd);")
		self.assertTrue(text.startswith("3 records in Redis cannot be read"), text)
		for name in (r"job a\xff (", "job b (", "worker odd ("):
			self.assertIn(name, text)
		checks = {found.check for found in self.findings()}
		self.assertNotIn("check-failed", checks)

	def test_a_queue_whose_key_is_no_list_has_no_record_to_look_at(self):
		self.admin.set(self.rq.queue("short").key, "odd")
		self.admin.sadd("rq:queues", self.rq.queue("short").key)
		self.assertIn("--scan --pattern 'rq:*'; delete", self.finding("unreadable-records").remedy)
