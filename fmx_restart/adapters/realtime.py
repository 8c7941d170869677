"""What Frappe publishes for browsers while socketio is away: kept, and published once more when they are back."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from redis import Redis
from redis.client import PubSub

from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.adapters.web.addresses import connections_to
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.ports import LiveMessages

CHANNEL = "events"  # frappe/realtime.py publishes there, on the queue's Redis, and socketio alone listens
MOST = 1000  # messages that are kept
LARGEST = 1_000_000  # bytes of all of them
PARTS = 100  # Redis writes 64 KB of messages to a client before it turns to others
CLIENTS_RETURN = 6.0  # seconds: socket.io tries again after 0.5 to 1.5 s, then after 1 to 3 s
LISTENS_AGAIN = 20.0  # seconds within which a new socketio is subscribed
JOINS = 0.5  # seconds that a browser takes to say who it is and to join its rooms, once it is connected
LOOK_AT_CLIENTS = 0.05  # seconds; a look takes the kernel some milliseconds


PAUSE = "fmx_restart_pause"  # the event; public/js/restart/pause.js hears it
NOTICES = "fmx_restart_pause_notices"  # in common_site_config.json; false: nobody is told
EVERYBODY = "all"  # Frappe's room of a site's Desk users (frappe.realtime.get_site_room)


class PauseNotices:
	"""
	Published as Frappe does it, without Frappe. As its web and workers publish, too, unless the bench has a user of its own
	in Redis: such a user may write to no channel, and then nobody is told.
	"""

	def __init__(self, connection: Redis, sites: Collection[str], config: Mapping) -> None:
		self._connection, self._sites = connection, sorted(sites)
		self._is_on = are_notices_on(config)
		self._is_told = False

	def pause(self) -> str:
		if not self._is_on:
			return ""
		try:
			with redis_border():
				self._is_told = self._publish("pause")
		except OperationError as error:
			return str(error).rstrip(".")
		return ""

	def back(self) -> None:
		if self._is_told:
			with suppress(OperationError), redis_border():
				self._publish("back")

	def _publish(self, state: str) -> bool:
		"""Whether socketio, or anybody, has heard it."""
		pipe = self._connection.pipeline(transaction=False)
		for site in self._sites:
			message = {"event": PAUSE, "message": {"state": state}, "room": EVERYBODY, "namespace": site}
			pipe.publish(CHANNEL, json.dumps(message))
		return any(pipe.execute())


def are_notices_on(config: Mapping) -> bool:
	"""Unless someone has switched them off, in any of the ways in which Frappe's settings say no."""
	return config.get(NOTICES, True) not in (False, 0, "0", "false", None, "")


class KeptMessages:
	"""
	Only what certainly nobody has heard: from the moment when no socketio was subscribed any more until the first browser was
	back. What is published after that may miss a browser that returns later, and would show twice in the others; and so
	what came between two looks, of which the second saw the first browser.
	"""

	def __init__(
		self, connection: Redis, sites: Collection[str], config: Mapping, now: Callable[[], float]
	) -> None:
		self._connection, self._sites, self._now = connection, frozenset(sites), now
		self._port = whole_number(config.get("socketio_port"))
		self._is_local = not config.get("socketio_uds")
		self._subscription: PubSub | None = None
		self._kept: list[bytes] = []
		self._fresh: list[bytes] = []  # of those, what came since the last look at browsers
		self._size = self._dropped = self._sent = self._before = 0
		self._is_deaf = self._is_lively = False  # nobody is subscribed; some browser is back
		self._began_at = 0.0
		self._heard_at: float | None = None
		self._back_at: float | None = None
		self._looked_at = float("-inf")
		self._refusal = ""

	def keep(self) -> None:
		self._began_at = self._now()
		try:
			self._subscribe()
		except OperationError as error:
			self._give_up(error)
		else:
			self._before = self._clients()

	def _subscribe(self) -> None:
		with redis_border():
			listeners = self._listeners()
			if listeners > 1:
				self._refusal = "another socketio listens at the same Redis, so they would show twice"
			if listeners != 1:
				return
			self._subscription = self._connection.pubsub(ignore_subscribe_messages=True)
			self._subscription.subscribe(CHANNEL)
			self._subscription.get_message(timeout=1.0)  # that it is subscribed

	def is_settled(self) -> bool:
		if self._subscription is None:
			return True
		try:
			with redis_border():
				return self._look()
		except OperationError as error:
			self._give_up(error)
			return True

	def _give_up(self, error: OperationError) -> None:
		self._refusal = str(error).rstrip(".")
		self.end()

	def _look(self) -> bool:
		self._read()
		listeners = self._listeners() - 1
		self._is_deaf = self._is_deaf or listeners == 0
		if not listeners:
			self._keep_fresh()
		if self._is_deaf and listeners > 0 and self._heard_at is None:
			self._heard_at = self._now()
		if self._heard_at is None:
			return self._is_given_up()
		self._look_at_clients()
		if not self._are_back():
			return False
		self._keep_fresh()
		self._publish()
		return True

	def _is_given_up(self) -> bool:
		if self._now() - self._began_at < LISTENS_AGAIN:
			return False
		if self._is_deaf:
			self._refusal = f"socketio has not listened again within {LISTENS_AGAIN:.0f} s"
		self.end()
		return True

	def _read(self) -> None:
		"""All that was published before. When Redis answers, it has written a part of that at least."""
		for _ in range(PARTS):
			self._connection.ping()
			if not self._take():
				return

	def _take(self) -> bool:
		"""What has arrived; False where nothing has."""
		has_any = False
		while message := self._subscription.get_message():
			has_any, text = True, message.get("data")
			if self._is_deaf and not self._is_lively and isinstance(text, bytes) and self._is_ours(text):
				self._add(text)
		return has_any

	def _add(self, text: bytes) -> None:
		self._size += len(text)
		if len(self._kept) + len(self._fresh) < MOST and self._size <= LARGEST:
			self._fresh.append(text)
		else:
			self._dropped += 1

	def _keep_fresh(self) -> None:
		self._kept, self._fresh = self._kept + self._fresh, []

	def _is_ours(self, text: bytes) -> bool:
		"""Other benches may publish there, whose socketio has heard it."""
		with suppress(ValueError, RecursionError, TypeError):
			message = json.loads(text)
			return isinstance(message, dict) and message.get("namespace") in self._sites
		return False

	def _listeners(self) -> int:
		"""With us, where we are subscribed."""
		((_, count),) = self._connection.pubsub_numsub(CHANNEL)
		return int(count)

	def _look_at_clients(self) -> None:
		is_anything_kept = self._kept or self._fresh
		if not is_anything_kept or self._now() - self._looked_at < LOOK_AT_CLIENTS:
			return
		self._looked_at, clients = self._now(), self._clients()
		self._is_lively = self._is_lively or clients > 0
		if self._is_lively:
			self._fresh = []
		self._keep_fresh()
		if clients >= self._before and self._back_at is None:
			self._back_at = self._looked_at

	def _are_back(self) -> bool:
		if not (self._kept or self._fresh) or self._before == 0:
			return True
		now = self._now()
		is_joined = self._back_at is not None and now - self._back_at >= JOINS
		return is_joined or now - self._heard_at >= CLIENTS_RETURN

	def _clients(self) -> int:
		"""Connections to socketio, of browsers or of nginx for each of them."""
		return connections_to(self._port) if self._port and self._is_local else 0

	def _publish(self) -> None:
		self._subscription.unsubscribe(CHANNEL)
		for text in self._kept:
			self._connection.publish(CHANNEL, text)
			self._sent += 1
		self.end()

	def hears_again(self) -> bool:
		return self._heard_at is not None

	def result(self) -> LiveMessages:
		return LiveMessages(self._sent, self._dropped, self._refusal)

	def end(self) -> None:
		subscription, self._subscription = self._subscription, None
		if subscription is not None:
			with suppress(Exception):
				subscription.close()
