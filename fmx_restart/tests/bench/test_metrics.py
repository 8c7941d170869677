"""Metrics over real HTTP: who gets them, what they are, and what they cost."""

from __future__ import annotations

import json
import statistics
import time

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fmx_restart.desk.open_metrics import CONTENT_TYPE
from fmx_restart.tests.bench.http_client import Client
from fmx_restart.tests.bench.test_api_operations import ApiTestCase

TOKEN = "a-token-of-the-monitoring-system"
MILLISECONDS = 0.1  # seconds that the numbers may take on a busy machine; 5 ms on a quiet one


class TestMetrics(ApiTestCase):
	address = "10.2.0.11"

	def setUp(self) -> None:
		super().setUp()
		path = self.bench.sites_path / "common_site_config.json"
		self.config, self.found = path, path.read_text()
		self.addCleanup(path.write_text, self.found)
		self.configure(fmx_restart_metrics_token=TOKEN)

	def configure(self, **settings: object) -> None:
		self.config.write_text(json.dumps({**json.loads(self.found), **settings}, indent=1))

	def scrape(self, authorization: str = f"Bearer {TOKEN}", verb: str = "GET"):
		client = Client(self.bench)
		client.headers["Accept"] = CONTENT_TYPE
		if authorization:
			client.headers["Authorization"] = authorization
		return client.request(verb, "/api/method/fmx_restart.api.metrics")

	def samples(self) -> dict[tuple[str, ...], float]:
		answer = self.scrape()
		self.assertEqual(answer.status, 200, answer.text)
		families = text_string_to_metric_families(answer.text)
		return {(it.name, *it.labels.values()): it.value for family in families for it in family.samples}

	def test_only_who_has_the_token_gets_them_and_no_token_of_a_user_does(self):
		manager = self.client.headers["Authorization"]
		for wrong in (
			"",
			"Bearer",
			"Bearer ",
			f"Bearer {TOKEN}x",
			f"Bearer {TOKEN[:-1]}",
			f"token {TOKEN}",
			manager,
		):
			with self.subTest(authorization=wrong):
				answer = self.scrape(wrong)
				self.assertEqual(answer.status, 401, answer.text)
				self.assertNotIn("fmx_restart_", answer.text)
		self.assertEqual(self.scrape(f"bearer {TOKEN}").status, 200)
		self.assertIn(self.scrape(verb="POST").status, {401, 403, 405})

	def test_there_are_none_while_no_token_is_set_or_the_site_commands_nothing(self):
		for settings in (
			{"fmx_restart_metrics_token": ""},
			{"fmx_restart_metrics_token": 5},
			{"fmx_restart_control_sites": []},
		):
			with self.subTest(settings=settings):
				self.configure(**{"fmx_restart_metrics_token": TOKEN, **settings})
				self.assertEqual(self.scrape().status, 404)

	def test_they_tell_workers_queues_and_the_last_operation(self):
		self.jobs.hold("long")
		self.jobs.work("default")
		now = self.samples()
		self.assertEqual(now["fmx_restart_redis_up",], 1)
		self.assertEqual(now["fmx_restart_workers", "busy"] + now["fmx_restart_workers", "idle"], 2)
		self.assertGreaterEqual(now["fmx_restart_workers", "busy"], 1)
		self.assertIn(("fmx_restart_queue_jobs", "default"), now)
		self.assertIn(("fmx_restart_queue_oldest_job_age_seconds", "short"), now)
		self.assertEqual((now["fmx_restart_queue_suspended",], now["fmx_restart_operation_running",]), (0, 0))
		# Given an operation, which is then cancelled
		operation = self.client.post("start", wait_workers_timeout=100).message["operation"]
		self.addCleanup(self.wait_for_end, operation)
		self.addCleanup(self.jobs.let_all_go)
		self.wait_for_fact(operation, "StillRunning")
		now = self.samples()
		self.assertEqual((now["fmx_restart_queue_suspended",], now["fmx_restart_operation_running",]), (1, 1))
		self.client.post("cancel", operation=operation)
		self.wait_for_end(operation)
		now = self.samples()
		self.assertEqual(now["fmx_restart_last_operation_status", "Cancelled"], 1)
		self.assertEqual(now["fmx_restart_last_operation_status", "Done"], 0)
		self.assertEqual(now["fmx_restart_last_operation_lost_jobs",], 0)
		self.assertGreater(now["fmx_restart_last_operation_duration_seconds",], 0)
		self.assertAlmostEqual(
			now["fmx_restart_last_operation_finished_timestamp_seconds",], time.time(), delta=120
		)

	def test_a_scrape_costs_milliseconds(self):
		seconds = [self.samples()["fmx_restart_scrape_duration_seconds",] for _ in range(15)]
		self.assertLess(statistics.median(seconds), MILLISECONDS, seconds)
