"""
A steady stream of real jobs. Run by Frappe's interpreter in the sites folder; ends on SIGTERM.

Usage: python producer.py '{"site", "journal", "rate", "long_share", "long_seconds", "seed"}'
"""

import json
import random
import signal
import sys
import time
from uuid import uuid4

import frappe
from fmx_workload.jobs import note
from redis.exceptions import RedisError

JOB = "fmx_workload.jobs.work"
#: How often each queue is chosen.
QUEUES = {"short": 5, "default": 4, "long": 1}
#: Seconds that an ordinary job takes, at most.
SHORT_SECONDS = 0.2


class Producer:
	def __init__(self, options: dict) -> None:
		self.options = options
		self.chance = random.Random(options["seed"])
		self.is_wanted = True

	def stop(self, *_signal) -> None:
		self.is_wanted = False

	def run(self) -> None:
		"""Keep to the clock: after a slow moment it catches up instead of becoming rarer."""
		due = time.monotonic()
		while self.is_wanted:
			self.put_one()
			due += 1 / self.options["rate"]
			time.sleep(max(0.0, due - time.monotonic()))

	def put_one(self) -> None:
		token, journal = uuid4().hex, self.options["journal"]
		queue = self.chance.choices(list(QUEUES), weights=list(QUEUES.values()))[0]
		job = {"token": token, "journal": journal, "seconds": self.seconds(), "on_queue": queue}
		try:
			frappe.enqueue(JOB, queue=queue, job_id=token, **job)
		except RedisError:
			# the caller was told: it is refused, not lost
			note(journal, token, "refused", queue)
		else:
			note(journal, token, "enqueued", queue)

	def seconds(self) -> float:
		if self.chance.random() < self.options["long_share"]:
			return self.chance.uniform(*self.options["long_seconds"])
		return self.chance.uniform(0, SHORT_SECONDS)


def main() -> None:
	producer = Producer(json.loads(sys.argv[1]))
	signal.signal(signal.SIGTERM, producer.stop)
	frappe.init(site=producer.options["site"])
	frappe.connect()
	producer.run()
	frappe.destroy()


if __name__ == "__main__":
	main()
