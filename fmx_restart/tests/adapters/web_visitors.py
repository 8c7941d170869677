"""A web server in containers, and people who ask it all the time."""

from __future__ import annotations

import itertools
import threading
import urllib.request
from collections.abc import Callable

GUNICORN = "from gunicorn.app.wsgiapp import run; run()"
#: It takes a moment to boot, as Frappe does
APPLICATION = """
import os, time
time.sleep(1)
def application(environ, start_response):
	start_response("200 OK", [("Content-Length", "2")])
	return [b"ok"]
"""
PAUSE = 0.01  # seconds between two questions


def is_answered(address: str) -> bool:
	"""`address`: host:port."""
	try:
		with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
			return answer.read() == b"ok"
	except OSError:
		return False


class Visitors(threading.Thread):
	"""`ask`: called with the number of each question; whether that was answered."""

	def __init__(self, ask: Callable[[int], bool]) -> None:
		super().__init__()
		self._ask, self.answered, self.failed, self._is_over = ask, 0, 0, threading.Event()

	def run(self) -> None:
		for number in itertools.count():
			if self._ask(number):
				self.answered += 1
			else:
				self.failed += 1
			if self._is_over.wait(PAUSE):
				return

	def __enter__(self) -> Visitors:
		self.start()
		return self

	def __exit__(self, *about: object) -> None:
		self._is_over.set()
		self.join()
