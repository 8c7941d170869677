"""Asks the web server for a ping many times a second, as visitors do, and notes who got no answer."""

from __future__ import annotations

import http.client
import threading
import time

from development.description import Bench

RATE = 50  # requests a second
PATIENCE = 10.0  # seconds until a request counts as failed


class WebProbe:
	"""One thread per visitor, so that a request that hangs does not keep the others from being sent."""

	def __init__(self, bench: Bench) -> None:
		self.bench = bench
		self.answers: list[tuple[float, bool]] = []  # when it was sent, whether it was answered
		self._stop = threading.Event()
		self._threads: list[threading.Thread] = []
		self._sender = threading.Thread(target=self._send, daemon=True)

	def __enter__(self) -> WebProbe:
		self._sender.start()
		return self

	def __exit__(self, *_error) -> None:
		self._stop.set()
		self._sender.join()
		for thread in self._threads:
			thread.join()

	@property
	def failed(self) -> int:
		return sum(not is_fine for _, is_fine in self.answers)

	@property
	def outage(self) -> float:
		"""Seconds from the first failed request to the first answered one after the last failure."""
		failures = [at for at, is_fine in self.answers if not is_fine]
		if not failures:
			return 0.0
		back = [at for at, is_fine in self.answers if is_fine and at > max(failures)]
		return (min(back) if back else max(failures)) - min(failures)

	def _send(self) -> None:
		due = time.monotonic()
		while not self._stop.is_set():
			thread = threading.Thread(target=self._ask, daemon=True)
			thread.start()
			self._threads.append(thread)
			due += 1 / RATE
			time.sleep(max(0.0, due - time.monotonic()))

	def _ask(self) -> None:
		at = time.monotonic()
		connection = http.client.HTTPConnection("127.0.0.1", self.bench.ports.web, timeout=PATIENCE)
		try:
			connection.request("GET", "/api/method/ping", headers={"Host": self.bench.site})
			is_fine = connection.getresponse().status == 200
		except (OSError, http.client.HTTPException):
			is_fine = False
		finally:
			connection.close()
		self.answers.append((at, is_fine))
