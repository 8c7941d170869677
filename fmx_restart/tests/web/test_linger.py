"""Real gunicorn, replaced under load: which requests fail, who answers, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import psutil

from fmx_restart.adapters.bench_processes import lingers
from fmx_restart.adapters.web.linger import (
	GivenOrder,
	active_at,
	end_lingering,
	is_lingering,
	record_of,
)
from fmx_restart.tests.adapters.nfs_locks import AS_ON_NFS, flock_as_on_nfs
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import in_long_runs
from fmx_restart.tests.web.gunicorn_program import CONFIGURATION, GunicornProgram, can_connect
from fmx_restart.web.files import Files, Order, Record, read_record
from fmx_restart.web.turns import places

SYNC = ("-w", "2")
THREADS = ("-w", "2", "--threads", "4")
#: The first main process names its files as an older version does, the next one as this one
OLDER_NAMES = """
from pathlib import Path
if not Path("is-later").exists():
	from fmx_restart.web import files, master
	master.key_of = files.older_key_of
Path("is-later").touch()
"""


def running_children(process: psutil.Process) -> list[psutil.Process]:
	return [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class LingerCase(unittest.TestCase):
	def program(self, *options: str, **settings: str) -> GunicornProgram:
		web = GunicornProgram(self, *(options or SYNC), **settings)
		web.start_and_wait()
		return web

	def see_replaced(self, web: GunicornProgram, *, workers: int = 2) -> None:
		"""Until the newest master's workers are the only ones."""
		pid = web.processes[-1].pid
		eventually(lambda: (it := active_at(web.folder, pid)) and it[1].is_complete, "new workers are ready")
		eventually(lambda: len(web.workers()) == workers + 1, "old workers have left")


class TestReplacement(LingerCase):
	def replaced_under_load(self, *options: str, keeps: bool = False, **settings: str) -> None:
		web = self.program(*options, **settings)
		# When web is replaced by new code while people ask it
		with web.under_load(keeps=keeps) as load:
			eventually(lambda: load.answers["old"] > 20, "old code answers")
			web.deploy("new")
			web.replace("one")
			self.see_replaced(web)
			seen = load.answers["new"]
			eventually(lambda: load.answers["new"] > seen + 20, "new code answers")
		# Then no request failed, the new code answers, and only its own record is left
		self.assertEqual(load.failed, {})
		self.assertEqual(web.ask().split()[0], "new")
		self.assertEqual(web.left(), ["record"])

	def test_sync_workers_fail_no_request(self):
		self.replaced_under_load(*SYNC)

	def test_on_nfs_old_workers_serve_on(self):
		self.enterContext(mock.patch("fcntl.flock", flock_as_on_nfs))  # an order is locked in this process
		self.replaced_under_load(*SYNC, configuration=AS_ON_NFS + CONFIGURATION)

	def test_old_workers_of_an_older_version_hand_over_too(self):
		self.replaced_under_load(*SYNC, configuration=OLDER_NAMES + CONFIGURATION)

	@in_long_runs("test_sync_workers_fail_no_request")
	def test_sync_workers_of_a_master_that_has_loaded_the_application_fail_no_request(self):
		self.replaced_under_load(*SYNC, "--preload")

	@in_long_runs("test_workers_with_threads_fail_no_request_on_connections_that_stay_open")
	def test_workers_with_threads_fail_no_request(self):
		self.replaced_under_load(*THREADS)

	def test_workers_with_threads_fail_no_request_on_connections_that_stay_open(self):
		self.replaced_under_load(*THREADS, "--keep-alive", "5", keeps=True)

	def test_a_slow_request_and_an_upload_that_began_on_old_workers_end_there(self):
		web = self.program(*SYNC)
		answers: list[str] = []
		slow = threading.Thread(target=lambda: answers.append(web.ask("/slow?2")))
		slow.start()
		time.sleep(0.3)
		web.deploy("new")
		web.replace("one")
		answers.append(web.ask(body=b"x" * 5_000_000))
		slow.join()
		self.assertEqual({answer.split()[0] for answer in answers} - {"old", "new"}, set())
		self.assertIn("old", [answer.split()[0] for answer in answers])
		self.assertIn("5000000", [answer.split()[2] for answer in answers])
		self.see_replaced(web)

	def test_a_unix_socket_is_handed_on(self):
		folder_bind = "unix:web.sock"
		web = self.program(*SYNC, bind=folder_bind)
		inode = (web.folder / "web.sock").stat().st_ino
		web.replace()
		self.see_replaced(web)
		self.assertEqual((web.folder / "web.sock").stat().st_ino, inode)

	def test_other_numbers_of_workers_are_waited_for(self):
		web = self.program(*SYNC)
		web.options = ("-w", "3")
		web.replace("one")
		self.see_replaced(web, workers=3)


class TestWhoStays(LingerCase):
	def test_without_an_order_a_stop_is_a_stop(self):
		web = self.program()
		web.stop()
		self.assertEqual(web.workers(), [])
		eventually(lambda: not can_connect(web.port), "nobody listens any more")
		self.assertEqual(web.left(), [])

	def test_an_order_whose_giver_died_counts_for_nothing(self):
		web = self.program()
		web.order().let_go()
		web.stop()
		self.assertEqual(web.workers(), [])

	def test_an_order_for_another_master_counts_for_nothing(self):
		web = self.program()
		files, record = active_at(web.folder, web.processes[-1].pid)
		order = GivenOrder.give(files, Order(record.master, record.started + 1))
		self.addCleanup(order.let_go)
		web.stop()
		self.assertEqual(web.workers(), [])

	def test_two_operations_cannot_both_order(self):
		web = self.program()
		order = web.order()
		self.addCleanup(order.let_go)
		with self.assertRaises(BlockingIOError):
			web.order()

	def test_an_order_for_a_master_that_is_gone_is_in_nobodys_way(self):
		# Given an operation that is stopped after it has ended a master, and holds its order
		web = self.program()
		earlier = web.order()
		self.addCleanup(earlier.let_go)
		web.stop()
		web.start_and_wait()
		# When another one restarts web, then no request fails either
		with web.under_load() as load:
			web.deploy("new")
			web.replace()
			eventually(lambda: load.answers["new"] > 20, "new code answers")
		self.assertEqual(load.failed, {})

	def booting(self, web: GunicornProgram) -> list[tuple[str, int]]:
		"""What the new workers of a slow application have written: begin or end, and who."""
		lines = (web.folder / "boots").read_text().split()
		return list(zip(lines[::2], map(int, lines[1::2]), strict=True))

	def replaced_by_a_slow_one(self, seconds: float) -> GunicornProgram:
		web = self.program("-w", "4")
		note = "import os\ndef note(what):\n\twith open('boots', 'a') as file: file.write(f'{what} {os.getpid()} ')\n"
		slow = f"{note}note('begin')\nimport time\ntime.sleep({seconds})\nnote('end')\n"
		web.deploy("new")
		(web.folder / "tiny_app.py").write_text(slow + (web.folder / "tiny_app.py").read_text())
		web.replace("one")
		return web

	def test_new_workers_boot_a_few_at_a_time(self):
		web = self.replaced_by_a_slow_one(0.3)
		self.see_replaced(web, workers=4)
		at_once, most = 0, 0
		for what, _ in self.booting(web):
			at_once += 1 if what == "begin" else -1
			most = max(most, at_once)
		self.assertEqual((at_once, most), (0, min(4, places())))

	def test_one_that_is_killed_while_it_boots_keeps_nobody_back(self):
		web = self.replaced_by_a_slow_one(3.0)
		eventually(lambda: (web.folder / "boots").exists() and self.booting(web), "the first one boots")
		os.kill(self.booting(web)[0][1], signal.SIGKILL)
		eventually(lambda: len(self.booting(web)) > places(), "another one does")
		self.assertNotIn("end", [what for what, _ in self.booting(web)])

	def test_those_that_wait_for_their_turn_end_when_they_are_told(self):
		web = self.replaced_by_a_slow_one(30.0)
		eventually(lambda: (web.folder / "boots").exists() and self.booting(web), "the first one boots")
		new = psutil.Process(web.processes[-1].pid)
		eventually(lambda: len(new.children()) == 4, "all have been forked")
		new.terminate()
		eventually(lambda: len(running_children(new)) <= places(), "those that do not boot have left")

	def test_ctrl_c_ends_all_whatever_was_ordered(self):
		web = self.program()
		order = web.order()
		self.addCleanup(order.let_go)
		web.processes[-1].send_signal(signal.SIGINT)
		web.processes[-1].wait(20)
		eventually(lambda: not web.workers(), "all are gone")

	def test_a_master_that_is_killed_leaves_workers_that_serve_until_the_next_one_answers(self):
		web = self.program()
		with web.under_load() as load:
			eventually(lambda: load.answers["old"] > 20, "old code answers")
			web.processes[-1].kill()
			web.processes[-1].wait()
			web.deploy("new")
			web.start()
			self.see_replaced(web)
		self.assertEqual(load.failed, {})
		self.assertEqual(web.left(), ["record"])

	def test_the_worker_that_holds_the_sockets_may_be_killed(self):
		web = self.program()
		first = web.processes[-1]
		order = web.order()
		files = web.files
		first.terminate()
		first.wait(20)
		order.let_go()
		eventually(lambda: is_lingering(files), "an old worker hands its sockets on")
		log = (web.folder / "web.log").read_text()
		self.assertIn("left the workers behind", log)
		os.kill(web.workers()[0], signal.SIGKILL)
		eventually(lambda: is_lingering(files), "another one does")
		with web.under_load() as load:
			web.start()
			self.see_replaced(web)
		self.assertEqual(load.failed, {})

	def test_the_doctor_takes_none_of_them_for_an_orphan(self):
		web = self.program()
		order = web.order(seconds=60)
		web.stop()
		order.let_go()
		self.assertEqual([lingers(pid) for pid in web.workers()], [True, True])
		other = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
		self.addCleanup(other.wait)
		self.addCleanup(other.kill)
		self.assertFalse(lingers(other.pid))

	def test_they_leave_when_told_although_nobody_came(self):
		web = self.program()
		files, master = web.files, web.processes[-1]
		order = web.order(seconds=600)
		master.terminate()
		master.wait(20)
		order.let_go()
		eventually(lambda: is_lingering(files), "an old worker hands its sockets on")
		end_lingering(files)
		eventually(lambda: not web.workers(), "all are gone")
		eventually(lambda: not can_connect(web.port), "nobody listens any more")

	def test_they_leave_when_their_time_is_over(self):
		web = self.program()
		master = web.processes[-1]
		order = web.order(seconds=1.0)
		master.terminate()
		master.wait(20)
		order.let_go()
		self.assertEqual(web.ask().split()[0], "old")
		eventually(lambda: not web.workers(), "all are gone")
		self.assertNotIn("order", web.left())

	def test_old_workers_serve_beyond_the_number_of_requests_after_which_a_master_replaces_them(self):
		web = self.program(*SYNC, "--max-requests", "30")
		order = web.order()
		web.stop()
		order.let_go()
		self.assertEqual({web.ask().split()[0] for _ in range(100)}, {"old"})

	def test_a_request_that_hangs_is_ended_as_the_master_would(self):
		web = self.program(*SYNC, "-t", "2")
		order = web.order()
		web.stop()
		order.let_go()
		with self.assertRaises(ConnectionError):
			web.ask("/slow?25")
		self.assertEqual(web.ask().split()[0], "old")

	def test_what_an_old_worker_prints_goes_to_the_log_once_nobody_reads_its_pipe(self):
		read, write = os.pipe()
		web = GunicornProgram(self)
		web.log.close()
		web.log = os.fdopen(write, "wb")
		web.start_and_wait()
		files, record = active_at(web.folder, web.processes[-1].pid)
		logs = (str(web.folder / "out.log"), str(web.folder / "error.log"))
		order = GivenOrder.give(files, Order(record.master, record.started, seconds=60, logs=logs))
		web.stop()
		os.close(read)
		order.let_go()
		self.assertEqual(web.ask("/print").split()[0], "old")
		self.assertEqual(Path(logs[0]).read_text(), "said\n")


def successor(files: Files, master: int) -> Record | None:
	"""The record of the master that came after this one; None where it has not begun to listen."""
	record = read_record(files.record)
	return record if record and record.master != master and record.is_alive else None


class TestNewCode(LingerCase):
	def test_new_workers_that_err_for_a_site_take_no_request_until_they_answer(self):
		web = self.program()
		(web.folder / "broken").write_text("two")
		web.deploy("new")
		old = web.processes[-1].pid
		with web.under_load() as load:
			files = web.files
			web.replace("one", "two")
			fault = eventually(lambda: (it := successor(files, old)) and it.faults, "a fault is recorded")
			self.assertEqual(fault, ("two: HTTP 500",))
			self.assertEqual({web.ask().split()[0] for _ in range(30)}, {"old"})
			# When what was wrong is put right
			(web.folder / "broken").unlink()
			self.see_replaced(web)
		self.assertEqual(load.failed, {})
		self.assertEqual(web.ask().split()[0], "new")

	def test_code_that_cannot_be_imported_takes_nothing_down_and_the_next_start_takes_over(self):
		web = self.program()
		(web.folder / "tiny_app.py").write_text("raise ImportError('no such app')\n")
		with web.under_load() as load:
			web.replace("one", seconds=60)
			web.processes[-1].wait(30)
			self.assertEqual({web.ask().split()[0] for _ in range(30)}, {"old"})
			web.deploy("new")
			web.start()
			self.see_replaced(web)
		self.assertEqual(load.failed, {})

	def test_a_worker_that_is_forked_later_is_not_kept_from_serving_by_a_site_that_errs_since(self):
		web = self.program()
		web.deploy("new")
		web.replace("one", "two")
		self.see_replaced(web)
		(web.folder / "broken").write_text("two")
		master = web.processes[-1].pid
		os.kill(next(pid for pid in web.workers() if pid != master), signal.SIGKILL)
		_, record = eventually(
			lambda: (it := active_at(web.folder, master)) and len(it[1].ready) == 3 and it,
			"another one is ready",
		)
		self.assertEqual(record.faults, ())

	def test_once_old_workers_are_gone_new_ones_serve_what_they_can(self):
		web = self.program()
		(web.folder / "broken").write_text("two")
		web.deploy("new")
		web.replace("one", "two", seconds=2.0)

		def is_new() -> bool:
			with suppress(
				ConnectionError
			):  # old workers leave although no new one serves: nobody promised more
				return web.ask().split()[0] == "new"
			return False

		eventually(is_new, "new workers serve")
		self.assertEqual(web.ask(site="two"), "HTTP 500")


class TestRefusal(LingerCase):
	"""Where the hooks cannot work, web starts as always, and its record says why."""

	def reason(self, *options: str) -> str:
		web = GunicornProgram(self, *SYNC, *options)
		web.start()
		eventually(lambda: can_connect(web.port), "web listens")
		_, record = eventually(lambda: record_of(web.folder, web.processes[-1].pid), "a record is written")
		self.assertEqual({lingers(pid) for pid in web.workers()}, {False})
		web.stop()
		self.assertEqual((web.left(), web.workers()), ([], []))
		return record.refusal

	def test_sockets_that_are_not_shared_are_no_ground_for_it(self):
		self.assertIn("--reuse-port", self.reason("--reuse-port"))

	def test_a_worker_class_that_was_not_tried_is_named(self):
		self.assertIn(
			"gunicorn.workers.sync.SyncWorker", self.reason("-k", "gunicorn.workers.sync.SyncWorker")
		)


class TestHooks(LingerCase):
	def test_hooks_of_the_file_are_called_too(self):
		own = "def when_ready(server):\n\topen('own', 'w').close()\n"
		web = self.program(configuration=own + CONFIGURATION)
		self.assertTrue((web.folder / "own").exists())

	def test_without_the_app_web_starts_as_always(self):
		guarded = "try:\n\timport app_that_is_gone\nexcept Exception:\n\tpass\n"
		web = GunicornProgram(self, configuration=guarded)
		web.start()
		eventually(lambda: can_connect(web.port), "web listens")
		self.assertEqual(web.left(), [])

	def test_a_folder_in_which_nothing_can_be_written_does_not_keep_web_from_starting(self):
		web = GunicornProgram(self)
		broken = "import fmx_restart.web.master as m\ndef no(*_):\n\traise OSError(28, 'No space left on device')\nm.write_record = no\n"
		(web.folder / "gunicorn.conf.py").write_text(broken + CONFIGURATION)
		web.start()
		eventually(lambda: can_connect(web.port), "web listens")
		self.assertEqual(web.ask().split()[0], "old")
		web.stop()
		self.assertEqual(web.workers(), [])

	def test_a_new_configuration_on_hang_up_keeps_them_active(self):
		web = self.program()
		web.processes[-1].send_signal(signal.SIGHUP)
		old = set(web.workers())
		eventually(lambda: len(set(web.workers()) - old) >= 2, "workers were replaced")
		with web.under_load() as load:
			web.replace("one")
			self.see_replaced(web)
		self.assertEqual(load.failed, {})
