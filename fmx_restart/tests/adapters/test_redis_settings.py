"""Settings of Redis that nobody can use: told by file and key before anything is changed, and with nothing of the password."""

from __future__ import annotations

import traceback
import unittest
from collections.abc import Mapping
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_restart.adapters.redis_queue.connection import connect, connection_for, credentials, redis_border
from fmx_restart.adapters.setting_rules import checked_url, url_fault
from fmx_restart.engine.errors import WrongEnvironment

BENCH = "home-anna-bench"
SECRETS = ("s3cr", "4711", "hunter2")  # parts of the passwords below
USABLE = (
	"redis://127.0.0.1:11311",
	"redis://anna:s3cr%23et@localhost:6379/0",
	"redis://:p@ss@localhost:6379/1",
	"redis://[::1]:6379/2",
	"redis://localhost:6379?socket_timeout=3",
	"rediss://localhost:6379?ssl_cert_reqs=none",
	"unix:///run/redis@bench.sock",
	"unix://anna:s3cret@/run/redis.sock?db=1",
)
ODD_URLS = (
	"anna:s3cret@localhost:6379",
	"http://:s3cret@localhost",
	4711,
	4711.5,
	True,
	["redis://:s3cret@localhost"],
	{"url": "redis://:s3cret@localhost"},
	"redis://:s3cret@localhost:sixthousand",
	"redis://:s3cret@localhost:99999",
	"redis://:s3cr#et@localhost:6379",
	"redis://:4711#et@localhost:6379",
	"redis://:4711/et@localhost:6379",
	"redis://:4711?et@localhost:6379",
	"redis://:4711?a=et@localhost:6379",
	"redis://:s3cr[et@localhost:6379",
	"redis://:s3cret@queue..internal:6379",
	f"redis://:s3cret@{'a' * 70}.internal:6379",
	"redis://:s3cret@localhost:6379?s3cret=1",
	"redis://:s3cret@localhost:6379?db=s3cret",
	"unix://:s3cr/et@/run/redis.sock",
	"unix://s3cret/redis.sock",
	"redis://:s3cret@local\nhost",
	"redis://:s3cret@local\udcffhost",
)
ODD_SETTINGS: tuple[Mapping, ...] = (
	{"use_rq_auth": 1, "rq_username": ["s3cret"]},
	{"use_rq_auth": 1, "rq_password": {"s3cret": 1}},
	{"use_rq_auth": 1, "rq_password": True},
	{"redis_queue_sentinel_enabled": 1},
	{"redis_queue_sentinel_enabled": 1, "redis_queue_sentinels": "s3cret:26379"},
	{"redis_queue_sentinel_enabled": 1, "redis_queue_sentinels": ["s3cret"]},
	{"redis_queue_sentinel_enabled": 1, "redis_queue_sentinels": [4711]},
	{"redis_queue_sentinel_enabled": 1, "redis_queue_sentinels": ["s3cret:port"]},
	{"redis_queue_sentinel_enabled": 1, "redis_queue_sentinels": ["a..b:26379"]},
	{"redis_queue_sentinel_enabled": 1, "redis_queue_sentinels": ["s3cret:"]},
	{
		"redis_queue_sentinel_enabled": 1,
		"redis_queue_sentinels": ["localhost:26379"],
		"redis_queue_master_service": ["s3cret"],
	},
)


class TestRedisSettings(unittest.TestCase):
	def assert_refused(self, config: Mapping, place: str = "sites/common_site_config.json") -> None:
		"""With exit code 7 and the place, and without a secret in anything that a person or a log could get to see."""
		with self.assertRaises(WrongEnvironment) as caught:
			connect(config, BENCH)
		error = caught.exception
		self.assertEqual((type(error), error.exit_code), (WrongEnvironment, 7))
		self.assertIn(place, str(error))
		self.assertIn("Nothing was changed.", str(error))
		self.assertIsNone(error.__context__)
		told = "".join(traceback.format_exception(error)).replace(__file__, "") + error.hint
		for secret in SECRETS:
			self.assertNotIn(secret, told)

	def test_a_url_that_cannot_be_used_is_refused_by_file_and_key(self):
		for url in ODD_URLS:
			with self.subTest(url=url):
				self.assert_refused({"redis_queue": url}, "redis_queue in sites/common_site_config.json")

	def test_so_is_one_in_the_environment(self):
		with mock.patch.dict("os.environ", {"FRAPPE_REDIS_QUEUE": "redis://:s3cr#et@localhost"}):
			self.assert_refused({}, "FRAPPE_REDIS_QUEUE in the environment")

	def test_other_settings_of_redis_are_refused_in_the_same_way(self):
		for config in ODD_SETTINGS:
			with self.subTest(config=config):
				self.assert_refused(config)

	def test_urls_that_can_be_used_stay_as_they_are(self):
		for url in USABLE:
			with self.subTest(url=url):
				self.assertEqual(checked_url(url, "redis_queue"), url)

	def test_what_is_not_set_is_frappes_default(self):
		for config in ({}, {"redis_queue": None}, {"redis_queue": ""}):
			told = connection_for(config, {}).connection_pool.connection_kwargs
			self.assertEqual((told["host"], told["port"]), ("127.0.0.1", 11311))

	def test_a_password_that_is_a_number_is_that_text(self):
		self.assertEqual(
			credentials({"use_rq_auth": 1, "rq_password": 4711}, BENCH),
			{"username": BENCH, "password": "4711"},
		)

	def test_sentinels_are_hosts_and_ports(self):
		config = {
			"redis_queue_sentinel_enabled": 1,
			"redis_queue_sentinels": ["one:26379", "10.0.0.2:26380"],
			"redis_queue_master_service": "bench",
		}
		manager = connection_for(config, {}).connection_pool.sentinel_manager
		told = [one.connection_pool.connection_kwargs for one in manager.sentinels]
		self.assertEqual([(one["host"], one["port"]) for one in told], [("one", 26379), ("10.0.0.2", 26380)])

	@settings(deadline=None)
	@given(st.text(max_size=40) | st.integers() | st.none() | st.lists(st.text(max_size=3)))
	def test_no_value_at_all_makes_more_than_a_refusal(self, value):
		for url in (value, f"redis://{value}", f"redis://:{value}@localhost:6379", f"unix://{value}"):
			self.assertIsInstance(url_fault(url), str)

	def test_a_server_that_repeats_what_it_was_sent_is_not_quoted(self):
		from redis.exceptions import DataError, ResponseError

		for error in (
			ResponseError(
				"unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `hunter2`"
			),
			DataError("Invalid input of type: 'dict': hunter2"),
		):
			with self.assertRaises(WrongEnvironment) as caught, redis_border():
				raise error
			self.assertNotIn("hunter2", str(caught.exception))
