"""The bench at this moment, for a site that does not command it."""

from __future__ import annotations

import json
import unittest

from fmx_restart.desk.own_view import own_findings, own_workers

OWN, OTHER = "own.example.com", "secret.example.com"


def job(site: str) -> dict:
	return {
		"id": f"{site}::1",
		"site": site,
		"method": f"{site}.method",
		"queue": "long",
		"elapsed": 1.0,
		"most_left": 2.0,
	}


def worker(site: str | None) -> dict:
	told = {"name": "secret-name", "host": "secret-host", "pid": 4711, "queues": ["long"], "state": "busy"}
	told |= {"is_alive": True, "is_leaving": False, "born": 1.0, "heartbeat": 2.0, "memory": 3}
	return {**told, "job": job(site) if site else None}


class TestOwnLive(unittest.TestCase):
	def test_workers_and_jobs_of_others_are_counted_and_not_named(self):
		told = {
			**{"time": 1.0, "bench": "home-secret-bench", "suspension": "secret", "suspended_by_us": False},
			**{
				"holder": "secret@host",
				"operation": "20261122-120000-d0c7",
				"queues": [{"queue": "long", "failed": 1}],
			},
			**{"workers": [worker(OWN), worker(OTHER), worker(None)], "failed_jobs": [job(OTHER)]},
			**{"other_benches": {"secret": 1}, "scheduler": [{"site": OWN}], "of a later version": "secret"},
		}
		hold = {
			"bench": "home-secret-bench",
			"owner": "secret",
			"reason": "secret",
			"by": "secret@host",
			"x": "secret",
		}
		told["holds"] = [{**hold, "since": 1.0, "until": 2.0, "is_beginning": False, "has_stood": True}]
		told |= {"verdict": {"level": "info", "text": "Safe now"}, "recommended": "rolling", "why": "because"}
		shown = own_workers(told, OWN, [job(OWN)], "20261122-120000-d0c7, waiting for running jobs")
		self.assertNotIn("secret", json.dumps(shown))
		self.assertNotIn("4711", json.dumps(shown))
		self.assertEqual([bool(one["job"]) for one in shown["workers"]], [True, True, False])
		self.assertEqual(shown["workers"][0]["job"], job(OWN))
		self.assertTrue(shown["suspension"])
		self.assertEqual([(one["owner"], one["until"]) for one in shown["holds"]], [("someone", 2.0)])

	def test_findings_about_others_are_counted(self):
		found = [
			{"subject": OWN, "text": "mine"},
			{"subject": OTHER, "text": "secret"},
			{"subject": "", "text": "secret"},
		]
		shown = own_findings(
			{"findings": found, "web": [{"program": "w"}], "error": None, "seconds": 1.0}, OWN
		)
		self.assertEqual(shown["web"], [])
		self.assertEqual((shown["findings"], shown["others"]), (found[:1], 2))
		failed = own_findings({"findings": [], "web": [], "error": "redis://secret", "seconds": 1.0}, OWN)
		self.assertNotIn("secret", failed["error"])


if __name__ == "__main__":
	unittest.main()
