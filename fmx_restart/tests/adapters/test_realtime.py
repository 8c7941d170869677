"""Live messages that are published while socketio restarts, with a real Redis and real connections."""

from __future__ import annotations

import json
import socket
import unittest

from fmx_restart.adapters.realtime import (
	CHANNEL,
	CLIENTS_RETURN,
	LISTENS_AGAIN,
	MOST,
	PAUSE,
	KeptMessages,
	PauseNotices,
)
from fmx_restart.engine.ports import LiveMessages
from fmx_restart.testing.clock import FakeClock
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.waiting import eventually

SITE = "erp.example.com"


def message(number: int, site: str = SITE) -> str:
	return json.dumps({"event": "progress", "message": {"number": number}, "room": "all", "namespace": site})


class Socketio:
	"""What counts of it: a subscription, and a port that browsers connect to."""

	def __init__(self, case: RedisTestCase, port: int = 0) -> None:
		self._case, self.heard = case, []
		self._connection = case.server.connection()
		self._subscription = self._connection.pubsub(ignore_subscribe_messages=True)
		self._subscription.subscribe(CHANNEL)
		self._subscription.get_message(timeout=5)
		self.server = socket.create_server(("127.0.0.1", port))
		self.port = self.server.getsockname()[1]
		self.browsers: list[socket.socket] = []
		case.addCleanup(self.end)

	def accept(self) -> None:
		"""A browser that is back."""
		self.browsers += [socket.create_connection(("127.0.0.1", self.port)), self.server.accept()[0]]

	def messages(self) -> list[dict]:
		while told := self._subscription.get_message(timeout=0.05):
			self.heard.append(json.loads(told["data"]))
		return self.heard

	def end(self) -> None:
		for browser in (*self.browsers, self.server):
			browser.close()
		self._connection.close()
		self._subscription.close()


class RealtimeCase(RedisTestCase):
	def setUp(self):
		super().setUp()
		self.clock, self.old = FakeClock(), Socketio(self)
		self.port = self.old.port

	def kept(self, user: str | None = None, **config) -> KeptMessages:
		connection = self.server.connection(user)
		self.addCleanup(connection.close)
		kept = KeptMessages(connection, [SITE], {"socketio_port": self.port, **config}, self.clock.now)
		self.addCleanup(kept.end)
		return kept

	def away(self, kept: KeptMessages) -> None:
		"""The old socketio ends, and that is seen."""
		self.old.end()
		eventually(lambda: self.admin.pubsub_numsub(CHANNEL)[0][1] == 1, "it is no longer subscribed")
		self.assertFalse(kept.is_settled())

	def replaced(self, kept: KeptMessages, *texts: str | bytes) -> Socketio:
		"""The new one, after a restart in which these came while nobody heard them."""
		kept.keep()
		self.away(kept)
		self.publish(*texts)
		return Socketio(self, self.port)

	def publish(self, *texts: str | bytes) -> None:
		for text in texts:
			self.admin.publish(CHANNEL, text)

	def settle(self, kept: KeptMessages) -> None:
		def look() -> bool:
			self.clock.sleep(0.1)
			return kept.is_settled()

		eventually(look, "browsers are back, or are given up")

	def numbers(self, socketio: Socketio) -> list[int]:
		return [told["message"]["number"] for told in socketio.messages()]


class TestKept(RealtimeCase):
	def test_what_nobody_heard_goes_out_once_in_order_when_browsers_are_back(self):
		self.old.accept()
		kept = self.kept()
		kept.keep()
		self.publish(message(0))  # the old one has heard it
		self.assertFalse(kept.is_settled())
		self.away(kept)
		self.publish(message(1), message(2))
		self.assertFalse(kept.is_settled() or kept.hears_again())
		new = Socketio(self, self.port)
		self.publish(message(3))  # it is up, but no browser is back
		self.assertFalse(kept.is_settled())
		self.assertTrue(kept.hears_again())
		self.assertEqual(self.numbers(new), [3])
		new.accept()
		self.settle(kept)
		self.assertEqual(self.numbers(new), [3, 1, 2, 3])
		self.assertEqual(kept.result(), LiveMessages(sent=3))

	def test_what_comes_when_the_first_browser_is_back_is_not_sent_twice(self):
		self.old.accept()
		self.old.accept()
		kept = self.kept()
		new = self.replaced(kept, message(1))
		self.assertFalse(kept.is_settled())
		new.accept()
		self.clock.sleep(1.0)
		self.assertFalse(kept.is_settled())  # one of two
		self.publish(message(2))
		new.accept()
		self.settle(kept)
		self.assertEqual(self.numbers(new), [2, 1])

	def test_what_came_right_before_the_first_browser_was_seen_may_have_been_heard_and_is_not_sent_again(
		self,
	):
		self.old.accept()
		kept = self.kept()
		new = self.replaced(kept, message(1))
		self.assertFalse(kept.is_settled())  # no browser yet
		new.accept()
		self.publish(message(2))  # it hears that
		self.settle(kept)
		self.assertEqual(self.numbers(new), [2, 1])

	def test_what_came_while_nobody_listened_is_kept_however_soon_the_first_browser_is_back(self):
		self.old.accept()
		kept = self.kept()
		kept.keep()
		self.away(kept)
		self.publish(message(1))
		self.assertFalse(kept.is_settled())  # nobody listens yet
		new = Socketio(self, self.port)
		new.accept()
		self.settle(kept)
		self.assertEqual(self.numbers(new), [1])

	def test_browsers_that_stay_away_are_waited_for_a_few_seconds(self):
		self.old.accept()
		kept = self.kept()
		new = self.replaced(kept, message(1))
		began = self.clock.now()
		self.settle(kept)
		self.assertAlmostEqual(self.clock.now() - began, CLIENTS_RETURN, delta=0.5)
		self.assertEqual(self.numbers(new), [1])

	def test_with_no_browser_or_no_message_nothing_is_waited_for(self):
		for browsers, texts in ((0, [message(1)]), (1, [])):
			with self.subTest(browsers=browsers):
				for _ in range(browsers):
					self.old.accept()
				kept = self.kept()
				new = self.replaced(kept, *texts)
				self.assertTrue(kept.is_settled())
				self.assertEqual(kept.result(), LiveMessages(sent=len(texts)))
				self.old = new

	def test_another_benchs_messages_and_odd_ones_are_not_sent_again(self):
		kept = self.kept()
		kept.keep()
		self.away(kept)
		odd = [
			b"\xff",
			"[1]",
			"{",
			"[" * 100_000,
			json.dumps({"event": "x"}),
			json.dumps({"namespace": [SITE]}),
		]
		self.publish(message(1, "other.example.com"), *odd, message(2))
		Socketio(self, self.port)
		self.settle(kept)
		self.assertEqual(kept.result().sent, 1)

	def test_too_many_are_counted(self):
		kept = self.kept()
		self.replaced(kept, *(message(number) for number in range(MOST + 7)))
		self.settle(kept)
		self.assertEqual(kept.result(), LiveMessages(MOST, 7))


class TestNotKept(RealtimeCase):
	def test_with_another_socketio_at_the_same_redis_they_would_show_twice(self):
		Socketio(self)
		kept = self.kept()
		kept.keep()
		self.assertTrue(kept.is_settled())
		self.assertIn("would show twice", kept.result().refusal)

	def test_without_any_socketio_there_is_nothing_to_keep(self):
		self.old.end()
		eventually(lambda: self.admin.pubsub_numsub(CHANNEL)[0][1] == 0, "nobody is subscribed")
		kept = self.kept()
		kept.keep()
		self.assertTrue(kept.is_settled())
		self.assertEqual(kept.result(), LiveMessages())

	def test_what_redis_refuses_is_told(self):
		self.admin.execute_command("ACL", "SETUSER", "mute", "reset", "on", ">secret", "+@all", "~*")
		connection = self.server.connection("mute", "secret")
		self.addCleanup(connection.close)
		kept = KeptMessages(connection, [SITE], {}, self.clock.now)
		kept.keep()
		self.assertTrue(kept.is_settled())
		self.assertIn("Redis refuses", kept.result().refusal)
		self.assertNotIn("secret", kept.result().refusal)

	def test_a_socketio_that_stays_away_is_given_up(self):
		kept = self.kept()
		kept.keep()
		self.away(kept)
		self.publish(message(1))
		began = self.clock.now()
		self.clock.sleep(LISTENS_AGAIN - 1.0)
		self.assertFalse(kept.is_settled())
		self.settle(kept)
		self.assertAlmostEqual(self.clock.now() - began, LISTENS_AGAIN, delta=0.5)
		self.assertIn("has not listened again", kept.result().refusal)

	def test_a_redis_that_goes_away_ends_it(self):
		kept = self.kept()
		kept.keep()
		self.server.stop()
		self.addCleanup(self.server.start)
		self.assertTrue(kept.is_settled())
		self.assertTrue(kept.result().refusal)

	def test_nothing_listens_any_more_after_the_end(self):
		kept = self.kept()
		kept.keep()
		kept.end()
		eventually(lambda: self.admin.pubsub_numsub(CHANNEL)[0][1] == 1, "only socketio is subscribed")
		self.assertTrue(kept.is_settled())


class TestNotices(RealtimeCase):
	"""What pages of Desk hear before web stops, and when it is back."""

	def notices(self, user: tuple[str, ...] = (), **config) -> PauseNotices:
		connection = self.server.connection(*user)
		self.addCleanup(connection.close)
		return PauseNotices(connection, [SITE, "shop.example.com"], config)

	def told(self) -> list[tuple[str, str, str]]:
		messages = [message for message in self.old.messages() if message["event"] == PAUSE]
		return [(told["namespace"], told["room"], told["message"]["state"]) for told in messages]

	def test_every_desk_user_of_each_site_is_told_and_nobody_else(self):
		notices = self.notices()
		self.assertEqual(notices.pause(), "")
		sites = (SITE, "shop.example.com")
		self.assertEqual(self.told(), [(site, "all", "pause") for site in sites])
		notices.back()
		self.assertEqual(self.told()[2:], [(site, "all", "back") for site in sites])

	def test_where_it_is_switched_off_nothing_is_published(self):
		for off in (False, 0, "0", None, "false"):
			notices = self.notices(fmx_restart_pause_notices=off)
			self.assertEqual(notices.pause(), "")
			notices.back()
		self.assertEqual(self.told(), [])

	def test_what_redis_refuses_is_told_and_no_end_is_announced(self):
		self.admin.execute_command(
			"ACL", "SETUSER", "mute", "reset", "on", ">secret", "resetchannels", "+@all", "~*"
		)
		notices = self.notices(("mute", "secret"))
		reason = notices.pause()
		self.assertIn("Redis refuses", reason)
		self.assertNotIn("secret", reason)
		notices.back()
		self.assertEqual(self.told(), [])

	def test_a_redis_that_is_away_is_told(self):
		notices = self.notices()
		self.server.stop()
		self.addCleanup(self.server.start)
		self.assertTrue(notices.pause())


if __name__ == "__main__":
	unittest.main()
