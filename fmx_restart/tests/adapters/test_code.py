"""Real packages on a real disk, tried out by a real child; and the twin."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from uuid import uuid4

import psutil

from fmx_restart.adapters.code import CodeOnDisk
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.engine.ports import Code, CodeFault
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.testing.bench import InMemoryCode
from fmx_restart.testing.clock import FakeClock

#: Only in the process that has this pid
SLOW_HERE = """import os, sys
if os.getpid() == {pid}:
	begun, go_on = sys.{name}
	begun.set()
	go_on.wait(60)
here = 1
"""
#: Takes its time, and then refuses to be imported again in any fork of this process
ONLY_ONCE = """import sys, time
if hasattr(sys, "{mark}"):
	raise ImportError("PyO3 modules may only be initialized once per interpreter process")
sys.{mark} = 1
time.sleep({seconds})
"""
HANG = "import time; time.sleep(600)\n"


class CodeContract:
	"""setUp gives `code` and `clock`; `break_app` and `break_web` spoil what a check finds."""

	code: Code

	def reach(self, condition) -> None:
		self.assertTrue(wait_until(condition, Patience(30, 0.01), self.clock))

	def test_before_any_check_nothing_is_known(self):
		self.assertIsNone(self.code.faults())
		self.assertTrue(self.code.is_checked())

	def test_what_can_be_loaded_has_no_faults(self):
		self.code.start_check()
		self.assertFalse(self.code.is_checked())
		self.reach(self.code.is_checked)
		self.assertEqual(self.code.faults(), [])

	def test_an_app_that_cannot_be_loaded_is_named_with_the_reason(self):
		self.break_app()
		self.code.start_check()
		self.reach(lambda: self.code.faults() is not None)
		(fault,) = self.code.faults()
		self.assertIn("SyntaxError", fault.error)
		self.code.end_check()

	def test_the_web_application_is_looked_at_after_the_apps(self):
		self.break_web()
		self.code.start_check()
		self.reach(self.code.is_checked)
		self.assertIn("ModuleNotFoundError", self.code.faults()[-1].error)

	def test_what_was_spoilt_meanwhile_is_found_by_another_check(self):
		self.code.start_check()
		self.reach(self.code.is_checked)
		self.break_app()
		self.code.start_check()
		self.reach(self.code.is_checked)
		self.assertEqual(len(self.code.faults()), 1)

	def test_a_check_can_be_given_up_at_any_time_and_more_than_once(self):
		self.code.start_check()
		self.code.end_check()
		self.code.end_check()
		self.assertTrue(self.code.is_checked())


class TestInMemoryCode(CodeContract, unittest.TestCase):
	def setUp(self):
		self.clock = FakeClock()
		self.code = InMemoryCode(self.clock)

	def break_app(self):
		self.code.broken = [CodeFault("app.hooks", "SyntaxError: invalid syntax", "")]

	def break_web(self):
		self.code.broken_web = [CodeFault("web", "ModuleNotFoundError: No module named 'lost'", "")]


class TestCodeOnDisk(CodeContract, unittest.TestCase):
	def setUp(self):
		self.clock = SystemClock()
		folder = tempfile.TemporaryDirectory(prefix="fmx-code-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)
		sys.path.insert(0, folder.name)
		self.addCleanup(sys.path.remove, folder.name)
		self.app, self.web = f"app_{uuid4().hex}", f"web_{uuid4().hex}"
		self.hooks = self.folder / self.app / "hooks.py"
		self.hooks.parent.mkdir()
		self.write(self.hooks.with_name("__init__.py"), "")
		self.write(self.hooks, "app_name = 'app'\n")
		self.write(self.folder / f"{self.web}.py", "import json\n")
		self.code = CodeOnDisk(lambda: [self.app], self.web)
		self.addCleanup(self.code.end_check)

	def write(self, path: Path, text: str) -> None:
		"""Python takes a compiled file for new by its source's size and second."""
		path.write_text(text + f"# {uuid4().hex * len(text)}\n")

	def break_app(self):
		self.write(self.hooks, "doc_events = {\n")

	def break_web(self):
		self.write(self.folder / f"{self.web}.py", "import lost\n")

	def checked(self) -> list[CodeFault]:
		self.code.start_check()
		self.reach(self.code.is_checked)
		return self.code.faults()

	def test_the_traceback_says_where(self):
		self.break_app()
		(fault,) = self.checked()
		self.assertEqual(fault.module, f"{self.app}.hooks")
		self.assertRegex(fault.error, r"^SyntaxError: '\{' was never closed \(File .*hooks\.py\", line 1\)$")
		self.assertIn("doc_events = {", fault.traceback)

	def test_an_app_that_is_listed_and_not_there_is_a_fault(self):
		self.code = CodeOnDisk(lambda: ["lost_app"], self.web)
		(fault,) = self.checked()
		self.assertEqual(
			(fault.module, fault.error), ("lost_app", "ModuleNotFoundError: No module named 'lost_app'")
		)

	def test_an_app_that_ends_the_process_is_a_fault(self):
		self.write(self.hooks, "import sys; sys.exit('no licence')\n")
		self.assertIn("no licence", self.checked()[0].error)

	def test_an_app_that_ends_the_process_at_once_leaves_the_answer_open(self):
		self.write(self.hooks, "import os; os._exit(3)\n")
		self.assertIsNone(self.checked())

	def test_what_was_imported_by_this_process_is_loaded_anew(self):
		__import__(f"{self.app}.hooks")
		self.assertEqual(self.checked(), [])
		self.break_app()
		self.assertEqual(len(self.checked()), 1)
		self.assertIn(f"{self.app}.hooks", sys.modules, "ours stay as they are")

	def test_one_that_hangs_has_no_answer_and_is_gone_when_it_is_given_up(self):
		self.write(self.hooks, HANG)
		before = set(psutil.Process().children())  # what another test may have left
		self.code.start_check()
		(child,) = set(psutil.Process().children()) - before
		self.assertIsNone(self.code.faults())
		self.code.end_check()
		self.assertFalse(child.is_running())

	def test_a_module_that_another_thread_imports_just_then_is_loaded_all_the_same(self):
		# Given a thread of ours in the middle of an import
		name = f"slow_{uuid4().hex}"
		begun, go_on = threading.Event(), threading.Event()
		setattr(sys, name, (begun, go_on))
		self.addCleanup(delattr, sys, name)
		self.write(self.folder / f"{name}.py", SLOW_HERE.format(pid=os.getpid(), name=name))
		thread = threading.Thread(target=importlib.import_module, args=(name,))
		thread.start()
		self.addCleanup(thread.join)
		self.addCleanup(go_on.set)
		self.assertTrue(begun.wait(30))
		# When an app is tried out that needs the same module
		self.write(self.hooks, f"from {name} import here\n")
		self.assertEqual(self.checked(), [])

	def test_an_extension_that_another_thread_imports_just_then_is_not_called_broken(self):
		"""PyO3's (cryptography, which PyMySQL imports) refuse to be imported twice in a process and its forks."""
		for seconds, known in ((0.3, []), (4.0, None)):
			with self.subTest(seconds=seconds):
				name, mark = f"once_{uuid4().hex}", f"mark_{uuid4().hex}"
				self.write(self.folder / f"{name}.py", ONLY_ONCE.format(mark=mark, seconds=seconds))
				self.addCleanup(lambda mark=mark: delattr(sys, mark))
				thread = threading.Thread(target=importlib.import_module, args=(name,))
				thread.start()
				self.addCleanup(thread.join)
				self.reach(lambda mark=mark: hasattr(sys, mark))
				self.write(self.hooks, f"import {name}\n" * (1 + int(seconds)))  # of another size
				self.assertEqual(self.checked(), known)

	def test_the_web_application_makes_way_for_others_unless_somebody_waits_for_it(self):
		found, ours = self.folder / "niceness", os.nice(0)
		for is_awaited, niceness in ((False, 19), (True, ours)):
			found.unlink(missing_ok=True)
			self.write(
				self.folder / f"{self.web}.py",
				f"import os, pathlib; pathlib.Path({str(found)!r}).write_text(f'{{os.nice(0)}}')\n",
			)
			self.code.start_check(is_awaited=is_awaited)
			self.reach(self.code.is_checked)
			self.assertEqual(found.read_text(), str(niceness))

	def test_the_child_holds_none_of_our_files_and_says_nothing(self):
		# Given a pipe of ours, whose other end waits for us to end
		reader, writer = os.pipe()
		self.addCleanup(os.close, reader)
		self.write(self.hooks, f"print('loud', flush=True)\n{HANG}")
		self.code.start_check()
		# When we let it go while the child hangs
		os.close(writer)
		ended: list[bytes] = []
		waiting = threading.Thread(target=lambda: ended.append(os.read(reader, 1)), daemon=True)
		waiting.start()
		waiting.join(timeout=15)
		# Then the other end knows at once
		self.assertEqual(ended, [b""])
