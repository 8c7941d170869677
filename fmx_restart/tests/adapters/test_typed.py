"""What a person pastes to reach the bench's Redis: the whole address, and never a password."""

from __future__ import annotations

import unittest

from redis import Redis

from fmx_restart.adapters.redis_queue.typed import address, redis_cli


class TestTyped(unittest.TestCase):
	def test_the_command_leads_to_the_server_and_asks_for_its_password(self):
		for url, command in {
			"redis://127.0.0.1:11000": "redis-cli -p 11000",
			"redis://localhost:11000/2": "redis-cli -p 11000 -n 2",
			"redis://cache.internal:6380": "redis-cli -h cache.internal -p 6380",
			"redis://ada:secret@10.0.0.9:11000": "redis-cli -h 10.0.0.9 -p 11000 --user ada --askpass",
			"rediss://:secret@10.0.0.9:11000": "redis-cli -h 10.0.0.9 -p 11000 --tls --askpass",
			"unix:///run/my redis.sock?db=1": "redis-cli -s '/run/my redis.sock' -n 1",
		}.items():
			with self.subTest(url=url):
				self.assertEqual(redis_cli(Redis.from_url(url)), command)

	def test_the_address_is_one_that_leads_to_the_same_server_without_the_password(self):
		for url in ("redis://10.0.0.9:11000/2", "unix:///run/redis.sock?db=1", "rediss://10.0.0.9:11000/0"):
			with self.subTest(url=url):
				found = Redis.from_url(address(Redis.from_url(url, password="secret")))
				asked = Redis.from_url(url)
				self.assertEqual(
					found.connection_pool.connection_kwargs, asked.connection_pool.connection_kwargs
				)
