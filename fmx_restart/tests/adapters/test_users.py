"""Web as users see it, measured against servers that misbehave, and by a process that is stopped itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from contextlib import suppress

from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.adapters.web.users import EVERY, Target, UserProbe, is_whole
from fmx_restart.engine.web_answers import WebAnswers, never
from fmx_restart.tests.adapters.benches import free_port
from fmx_restart.tests.adapters.waiting import eventually

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SITE = "one.localhost"
#: Measures for as many seconds as its second word says, and prints what it saw and the processor time that it took
MEASURES = """
import json, sys, time
from dataclasses import asdict
from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.adapters.web.users import Target, UserProbe
from fmx_restart.engine.web_answers import never
probe = UserProbe(never)
probe.start(Target(Endpoint("127.0.0.1", int(port)), "one.localhost") for port in sys.argv[2:])
print("", flush=True)
time.sleep(0.2)
before = time.process_time()
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
	time.sleep(0.1)
used = time.process_time() - before
print(json.dumps([asdict(answers) for answers in probe.end()] + [used]))
"""


class Server:
	"""Each connection is answered with `answer`, after `takes` seconds; None: never."""

	def __init__(self, port: int = 0) -> None:
		self.answer: bytes | None = GOOD
		self.takes = 0.0
		self.requests: list[bytes] = []
		self.waiting = self.most_waiting = 0
		self._socket = socket.create_server(("127.0.0.1", port))
		self.endpoint = Endpoint(*self._socket.getsockname())
		self._threads = threading.Thread(target=self._accept, daemon=True)
		self._threads.start()

	def stop(self) -> None:
		with suppress(OSError):
			self._socket.shutdown(socket.SHUT_RDWR)
		self._socket.close()
		self._threads.join()

	def _accept(self) -> None:
		while True:
			try:
				connection, _ = self._socket.accept()
			except OSError:
				return
			threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

	def _serve(self, connection: socket.socket) -> None:
		self.waiting += 1
		self.most_waiting = max(self.most_waiting, self.waiting)
		with suppress(OSError), connection:
			self.requests.append(connection.recv(4096))
			if self.answer is None:
				connection.recv(1)  # until the other side gives up
			else:
				time.sleep(self.takes)
				connection.sendall(self.answer)
		self.waiting -= 1


class UsersCase(unittest.TestCase):
	def setUp(self):
		self.server = Server()
		self.addCleanup(lambda: self.server.stop())
		self.ordered: set[str] = set()

	def probe(self, timeout: float = 10.0) -> UserProbe:
		"""It has had its first answer."""
		probe = UserProbe(self.ordered.__contains__, timeout=timeout)
		self.addCleanup(probe.end)
		probe.start([Target(self.server.endpoint, SITE)])
		eventually(lambda: probe.answers()[0].requests, "the first answer")
		probe.restart_begins(1.0)
		return probe

	def seen_after(self, probe: UserProbe, requests: int = 3) -> WebAnswers:
		"""So many more requests have ended."""
		wanted = probe.answers()[0].requests + requests
		eventually(lambda: probe.answers()[0].requests >= wanted, "more requests have ended")
		return probe.answers()[0]


class TestAnswers(UsersCase):
	def test_it_asks_ten_times_a_second_as_a_browser_of_that_site_would_each_time_anew(self):
		probe = self.probe()
		began = time.monotonic()
		seen = self.seen_after(probe, 20)
		self.assertGreater(time.monotonic() - began, 20 * EVERY * 0.9)
		self.assertTrue(seen.is_flawless)
		self.assertEqual(
			self.server.requests[0].split(b"\r\n")[:2],
			[b"GET /api/method/ping HTTP/1.1", b"Host: one.localhost"],
		)

	def test_whatever_is_no_whole_good_answer_is_none(self):
		for answer, reason in (
			(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "HTTP 502"),
			(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
			(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404"),
			(GOOD[:-1], "no whole HTTP answer"),
			(GOOD[:20], "no whole HTTP answer"),
			(b"220 smtp ready\r\n\r\n", "no whole HTTP answer"),
			(b"", "no whole HTTP answer"),
		):
			with self.subTest(answer=answer):
				self.server.answer = GOOD
				probe = self.probe()
				self.server.answer = answer
				seen = self.seen_after(probe)
				self.assertEqual((seen.reason, seen.answers_now), (reason, False))
				self.server.answer = GOOD
				eventually(lambda probe=probe: probe.answers()[0].answers_now, "it is good again")
				probe.end()

	def test_an_answer_without_a_length_is_whole_when_the_connection_ends(self):
		self.server.answer = b"HTTP/1.1 200 OK\r\n\r\n{}"
		self.assertTrue(self.seen_after(self.probe()).is_flawless)

	def test_a_503_is_the_maintenance_mode_of_the_operation_only_where_it_ordered_one(self):
		probe = self.probe()
		self.ordered.add(SITE)
		self.server.answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
		self.seen_after(probe)
		# Given that it is opened again, and web notices that a moment later
		self.ordered.clear()
		self.seen_after(probe)
		self.server.answer = GOOD
		seen = self.seen_after(probe)
		self.assertGreater(seen.closed, 4 * EVERY)
		self.assertEqual((seen.unanswered, seen.answers_now), (0, True))
		# When it is closed by somebody else
		self.server.answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
		self.assertEqual(self.seen_after(probe).reason, "HTTP 503")

	def test_an_error_of_the_application_is_not_asked_for_ten_times_a_second(self):
		probe = self.probe()
		self.server.answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
		self.seen_after(probe, 1)
		began = time.monotonic()
		self.seen_after(probe, 2)
		self.assertGreater(time.monotonic() - began, 0.8)

	def test_a_connection_that_is_refused_is_measured_until_the_next_answer(self):
		probe = self.probe()
		at = self.server.endpoint
		self.server.stop()
		seen = self.seen_after(probe, 5)
		self.assertEqual(seen.reason, "connection refused")
		self.server = Server(at.port)
		eventually(lambda: probe.answers()[0].answers_now, "it answers again")
		self.assertGreater(probe.answers()[0].unanswered, 4 * EVERY)


class TestPatience(UsersCase):
	def test_one_request_waits_at_an_address_and_it_is_given_up_in_time(self):
		probe = self.probe(timeout=0.5)
		self.server.answer, before = None, len(self.server.requests)
		seen = self.seen_after(probe, 3)
		self.assertEqual(seen.reason, "no answer within 0.5 s")
		# the server may notice late that one was given up; five would wait where each tenth of a second one is sent
		self.assertLessEqual(self.server.most_waiting, 2)
		self.assertLess(len(self.server.requests) - before, 6)

	def test_a_slow_good_answer_is_slow_and_no_silence(self):
		probe = self.probe()
		self.server.takes = 1.2
		seen = self.seen_after(probe, 2)
		self.assertTrue(seen.is_flawless)
		self.assertGreater(seen.slowest, 1.1)

	def test_one_address_that_hangs_keeps_the_other_one_from_nothing(self):
		other = Server()
		self.addCleanup(other.stop)
		self.server.answer = None
		probe = UserProbe(never)
		self.addCleanup(probe.end)
		probe.start([Target(self.server.endpoint, SITE), Target(other.endpoint, SITE, "nginx")])
		eventually(lambda: probe.answers()[1].requests >= 5, "the other one is asked on and on")
		self.assertEqual(probe.answers()[0].requests, 0)
		self.assertTrue(probe.answers()[1].is_flawless)

	def test_when_it_ends_nothing_more_is_asked_and_its_thread_is_gone(self):
		before = threading.enumerate()
		probe = self.probe()
		[thread] = [it for it in threading.enumerate() if it.name == "web-users" and it not in before]
		probe.end()
		eventually(lambda: not thread.is_alive(), "the thread ends")
		asked = len(self.server.requests)
		time.sleep(3 * EVERY)
		self.assertLessEqual(len(self.server.requests) - asked, 1)  # one may have been under way

	def test_once_web_is_restarted_it_asks_once_a_second(self):
		probe = self.probe()
		probe.ask_seldom()
		self.seen_after(probe, 1)
		began = time.monotonic()
		self.seen_after(probe, 1)
		self.assertGreater(time.monotonic() - began, 0.7)


class TestItsOwnProcess(UsersCase):
	def measure(self, seconds: float, *ports: int) -> subprocess.Popen:
		words = [sys.executable, "-c", MEASURES, str(seconds), *map(str, ports)]
		process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
		self.addCleanup(process.wait)
		self.addCleanup(process.kill)
		self.addCleanup(process.stdout.close)
		process.stdout.readline()
		return process

	def test_a_process_that_is_stopped_says_that_it_did_not_measure_and_blames_nobody(self):
		# Given a measuring process that is stopped while a request is under way
		self.server.takes = 0.1
		process = self.measure(4.0, self.server.endpoint.port)
		eventually(lambda: len(self.server.requests) > 3, "it measures")
		os.kill(process.pid, signal.SIGSTOP)
		time.sleep(2.5)  # that is what is tried
		os.kill(process.pid, signal.SIGCONT)
		seen, _ = json.loads(process.stdout.read())
		# Then web answered throughout, and nobody knows of two seconds
		self.assertEqual((seen["unanswered"], seen["before"]), (0, ""))
		self.assertLess(seen["slowest"], 1.0)
		self.assertAlmostEqual(seen["unmeasured"], 2.5, delta=0.5)

	def test_two_addresses_cost_little(self):
		other = free_port()
		process = self.measure(3.0, self.server.endpoint.port, other)
		*_, used = json.loads(process.stdout.read())
		self.assertLess(used / 3.0, 0.03)  # a third of that on a quiet machine


class TestWholeness(unittest.TestCase):
	def test_of_an_answer_that_comes_piece_by_piece(self):
		for end in range(len(GOOD)):
			self.assertFalse(is_whole(GOOD[:end]), GOOD[:end])
		self.assertTrue(is_whole(GOOD))
		self.assertFalse(is_whole(b"HTTP/1.1 200 OK\r\n\r\n"))
		self.assertTrue(is_whole(b"HTTP/1.1 200 OK\r\n\r\n", is_ended=True))
