"""Listening sockets that are kept for the next web: who gets them, and what is left of them."""

from __future__ import annotations

import os
import socket
import threading
import unittest
from collections.abc import Callable
from contextlib import suppress
from unittest.mock import patch

from fmx_restart.adapters.web import linger
from fmx_restart.adapters.web.kept_sockets import KeptSockets
from fmx_restart.adapters.web.linger import Hooks
from fmx_restart.tests.adapters.benches import short_folder
from fmx_restart.web.files import Files
from fmx_restart.web.passing import ask_for_sockets

OWNER, STRANGER = 65534, 65533


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class TestRootKeepsThem(unittest.TestCase):
	def setUp(self):
		folder = short_folder(self)
		os.chown(folder, OWNER, OWNER)
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.files = Files(str(folder), "a" * 12)
		self.kept = KeptSockets(self.files, [os.dup(self.listener.fileno())])
		self.addCleanup(self.listener.close)

	def tell_as(self, user: int, question: Callable[[], bool]) -> bool:
		"""What a process of this user finds."""
		child = os.fork()
		if child == 0:
			status = 1
			with suppress(BaseException):
				os.setgid(user)
				os.setuid(user)
				status = 0 if question() else 1
			os._exit(status)
		return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

	def gets_them(self) -> bool:
		return bool(ask_for_sockets(self.files.socket))

	def test_the_owner_of_the_folder_gets_them_and_nobody_else_does(self):
		self.addCleanup(self.kept.let_go)
		self.assertTrue(self.tell_as(OWNER, self.gets_them))
		self.assertFalse(self.tell_as(STRANGER, self.gets_them))

	def test_nothing_of_it_is_left_when_they_are_let_go(self):
		self.kept.let_go()
		self.assertFalse(os.path.lexists(self.files.socket))
		self.assertNotIn("web-requests-wait", [thread.name for thread in threading.enumerate()])
		self.assertFalse(self.gets_them())

	def test_a_process_that_could_still_take_a_request_is_found(self):
		self.addCleanup(self.kept.let_go)
		self.assertEqual(self.kept.others(), [])
		wait, end = os.pipe()
		child = os.fork()
		if child == 0:
			os.close(end)
			os.read(wait, 1)
			os._exit(0)
		self.assertEqual(self.kept.others(), [child])
		os.close(end)
		os.waitpid(child, 0)
		self.assertEqual(self.kept.others(), [])


class TestTheyAreHandedOver(unittest.TestCase):
	def test_a_full_disk_is_no_reason_to_stop_halfway_and_the_next_question_tries_again(self):
		folder = short_folder(self)
		listener = socket.create_server(("127.0.0.1", 0))
		self.addCleanup(listener.close)
		files = Files(str(folder), "a" * 12)
		old_worker = KeptSockets(files, [os.dup(listener.fileno())])
		self.addCleanup(old_worker.let_go)
		hooks = Hooks(folder)
		hooks._awaited.append(files)
		with patch.object(linger, "KeptSockets", side_effect=OSError(28, "No space left on device")):
			self.assertFalse(hooks.holds())
		self.assertTrue(hooks.holds())
		self.addCleanup(hooks.let_go)
		self.assertFalse(hooks.is_lingering())
