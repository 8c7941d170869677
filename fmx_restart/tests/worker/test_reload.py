"""Workers that are asked to reload on a real Redis: the same process, new code, and no job lost or begun twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import psutil

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import repetitions
from fmx_restart.tests.worker.test_worker import WorkerCase
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE, TICKS
from fmx_restart.worker.reload import ANSWERED, IN_A_POOL, REFUSED, RELOADS, SWITCHED_OFF, TRYING, Program
from fmx_restart.worker.requests import ALL, SCHEDULER, ask, of_host, of_worker, requests_key
from fmx_restart.worker.scheduler import LOOKS, TICKING, Ticks, record_key
from fmx_restart.worker.stop import Stop
from fmx_restart.worker.switch import SETTING

SEEN = "rq:test:seen"
TASKS = f"""
from rq import get_current_job

from own_app.hooks import VERSION


def tell(**kwargs):
	get_current_job().connection.rpush("{SEEN}", VERSION)
"""
#: It is imported when an interpreter starts: the new code waits there
AT_THE_GATE = """
import os, pathlib, time
if "FMX_RESTART_RELOADED" in os.environ:
	pathlib.Path("at-the-gate").touch()
	while not os.path.exists("gate-is-open"):
		time.sleep(0.01)
"""
#: Only where it is tried: by python -c
WAITS_WHEN_TRIED = AT_THE_GATE.replace(
	'"FMX_RESTART_RELOADED" in os.environ', '__import__("sys").argv[0] == "-c"'
)
HANGS = "import pathlib, time\npathlib.Path('hangs').touch()\ntime.sleep(50)\n"


class ReloadCase(WorkerCase):
	def setUp(self):
		super().setUp()
		self.bench.popen = subprocess.Popen
		self.bench.set(**{SETTING: 1})
		(self.sites / "apps.txt").write_text("fmx_restart\nown_app\n")
		(self.sites / "own_app").mkdir()
		self.write("__init__", "")
		self.write("hooks", "VERSION = 1\n")
		self.write("tasks", TASKS)

	def write(self, module: str, code: str) -> None:
		"""Of the app. Its length is another one each time: Python tells compiled code by that and the second."""
		file = self.sites / f"own_app/{module}.py"
		length = len(file.read_text()) if file.exists() else 0
		file.write_text(code.ljust(length + 1, "\n"))

	def ask(self, whom: str = ALL) -> int:
		return ask(self.admin, self.bench.id, whom)

	def stop_in_a_reload(self, pid: int, after: float, *, kills: bool) -> list[str]:
		"""Ask for a reload while four jobs come, and end the process so many seconds later. Returns the ids of the jobs."""
		self.ask()
		ids = [f"{pid}-{number}" for number in range(4)]
		for id in ids:
			self.bench.enqueue_counted(id)
		time.sleep(after)
		if kills:
			self.bench.kill(pid)
		else:
			self.bench.signal(pid, signal.SIGTERM)
			self.assertIn(self.bench.wait(pid), (0, -signal.SIGTERM))
		return ids

	def field(self, pid: int, name: str) -> str | None:
		return self.bench.record(pid).get(name)

	def has_answered(self, pid: int, number: int) -> None:
		what = f"it answers: {self.bench.log}"
		eventually(lambda: int(self.field(pid, ANSWERED) or 0) >= number, what, deadline=60)

	def name_of(self, pid: int) -> str:
		[name] = [name.decode() for name in self.admin.smembers("rq:workers")]
		return name.removeprefix("rq:worker:")

	def seen(self) -> list[bytes]:
		return self.admin.lrange(SEEN, 0, -1)

	def tell_version(self) -> bytes:
		"""Of the code that jobs run with."""
		before = len(self.seen())
		self.bench.enqueue_counted(f"tell-{before}", func="own_app.tasks.tell")
		return eventually(lambda: self.seen()[before:], self.bench.log)[0]


class TestReload(ReloadCase):
	def test_the_same_process_goes_on_with_the_new_code(self):
		pid = self.bench.start()
		born = self.field(pid, "birth")
		self.assertEqual((self.tell_version(), self.field(pid, RELOADS)), (b"1", "0"))
		self.write("hooks", "VERSION = 2\n")
		number = self.ask()
		self.has_answered(pid, number)
		self.assertEqual((self.tell_version(), self.field(pid, RELOADS)), (b"2", "1"))
		self.assertEqual((self.field(pid, ANSWERED), self.field(pid, REFUSED)), (str(number), None))
		self.assertTrue(self.bench.is_ours(pid))
		self.assertNotEqual(self.field(pid, "birth"), born)
		self.assertEqual(self.admin.scard("rq:workers"), 1)
		# When it is told to leave, it does
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual((self.bench.wait(pid), self.admin.scard("rq:workers")), (0, 0))

	def test_one_that_runs_jobs_in_its_own_process_has_their_new_code_too(self):
		pid = self.bench.start(kind="nofork")
		self.assertEqual(self.tell_version(), b"1")
		self.write("hooks", "VERSION = 2\n")
		self.assertEqual(self.tell_version(), b"1")
		self.has_answered(pid, self.ask())
		self.assertEqual((self.tell_version(), self.field(pid, RELOADS)), (b"2", "1"))

	def test_a_busy_worker_ends_its_job_first(self):
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		self.write("hooks", "VERSION = 2\n")
		number = self.ask()
		self.bench.enqueue_counted("b", func="own_app.tasks.tell")
		self.bench.finish("a")
		self.has_answered(pid, number)
		self.bench.is_done("b")
		self.assertEqual((self.bench.count(DONE, "a"), self.seen()), (1, [b"2"]))

	def test_a_worker_at_the_fence_reloads_and_takes_no_job(self):
		pid = self.bench.start()
		self.admin.set("rq:suspended", 1)
		self.bench.enqueue_counted("a")
		self.has_answered(pid, self.ask())
		eventually(lambda: self.bench.state(pid) == "suspended", self.bench.log)
		self.assertEqual(self.bench.waiting(), ["a"])

	def test_under_load_no_job_is_lost_or_begun_twice_and_nothing_grows(self):
		pid = self.bench.start("short", "long")
		process, ids, sizes = psutil.Process(pid), [], []
		for round_number in range(repetitions("reloads under load", 3, long=20)):
			number = self.ask()
			while int(self.field(pid, ANSWERED) or 0) < number:
				ids.append(f"{round_number}-{len(ids)}")
				self.bench.enqueue_counted(ids[-1], ("short", "long")[len(ids) % 2])
				time.sleep(0.05)
			eventually(lambda: not self.bench.waiting() + self.bench.waiting("long"), self.bench.log)
			eventually(lambda: self.bench.state(pid) == "idle", self.bench.log)
			sizes.append((process.num_fds(), process.memory_info().rss, process.num_threads()))
		self.assertEqual([id for id in ids if self.bench.count(BEGUN, id) != 1], [])
		self.assertEqual([id for id in ids if self.bench.count(DONE, id) != 1], [])
		self.assertEqual((self.bench.claims(), self.admin.scard("rq:workers")), ({}, 1))
		first, last = sizes[0], sizes[-1]
		self.assertLessEqual(last[0], first[0] + 2, sizes)  # a bell of each queue may hang just now
		self.assertLess(last[1], first[1] * 1.2, sizes)
		self.assertEqual(self.field(pid, RELOADS), str(len(sizes)))


class TestRefusal(ReloadCase):
	def test_at_the_fence_it_tries_the_code_for_an_operation_and_stays_as_it_is(self):
		pid = self.bench.start()
		self.admin.set("rq:suspended", 1)
		eventually(lambda: self.bench.state(pid) == "suspended", self.bench.log)
		queue = RedisQueue(self.admin, self.bench.id, "operation-1")
		for code, fault in (("VERSION = 2\n", ""), ("VERSION =\n", "SyntaxError own_app.hooks")):
			self.write("hooks", code)
			workers = queue.look().workers
			queue.ask_to_try(workers)
			eventually(
				lambda workers=workers: all(it.is_over for it in queue.trials(workers).values()),
				self.bench.log,
			)
			self.assertEqual([it.fault for it in queue.trials(workers).values()], [fault])
		self.assertEqual((self.field(pid, RELOADS), self.field(pid, REFUSED)), ("0", None))

	def test_a_worker_whose_new_code_does_not_import_stays_and_says_why_without_its_words(self):
		pid = self.bench.start()
		self.write("hooks", "open('probes', 'a').write('1')\nraise KeyError('a password')\n")
		number = self.ask()
		self.has_answered(pid, number)
		self.assertEqual((self.field(pid, REFUSED), self.field(pid, RELOADS)), ("KeyError", "0"))
		self.assertNotIn("password", self.bench.log + str(self.bench.record(pid)))
		self.assertIn("KeyError in own_app.hooks", self.bench.log)
		# It works as before, and tries no second time
		self.assertEqual(self.tell_version(), b"1")
		time.sleep(1.2)  # longer than between two looks
		self.assertEqual((self.sites / "probes").read_text(), "1")
		# When the code is mended, the next request is followed
		self.write("hooks", "VERSION = 3\n")
		self.has_answered(pid, self.ask())
		self.assertEqual((self.tell_version(), self.field(pid, REFUSED)), (b"3", None))

	def test_a_syntax_error_and_code_that_ends_the_process_are_told_apart(self):
		pid = self.bench.start()
		for code, kind in (
			("def (", "SyntaxError"),
			("import os; print('OK', flush=True); os._exit(0)", "ChildProcessError"),
			("raise SystemExit", "SystemExit"),
			("import os\nif os.fork():\n\tos._exit(0)\nimport time; time.sleep(3)", "ChildProcessError"),
		):
			self.write("hooks", code)
			self.has_answered(pid, self.ask())
			self.assertEqual(self.field(pid, REFUSED), kind)

	def test_where_the_setting_was_switched_off_it_stays_as_it_is(self):
		pid = self.bench.start()
		self.bench.set(**{SETTING: 0})
		self.has_answered(pid, self.ask())
		self.assertEqual((self.field(pid, REFUSED), self.field(pid, RELOADS)), (SWITCHED_OFF, "0"))

	def test_a_worker_of_rqs_own_pool_stays_as_it_is(self):
		self.bench.begin(kind="lossless pool")
		[key] = eventually(lambda: self.admin.smembers("rq:workers"), self.bench.log)
		pid = int(self.admin.hget(key, "pid"))
		self.has_answered(pid, self.ask())
		self.assertEqual((self.field(pid, REFUSED), self.admin.smembers("rq:workers")), (IN_A_POOL, {key}))

	def test_code_that_takes_too_long_counts_as_code_that_does_not_import(self):
		(self.sites / "slow.py").write_text(HANGS)
		environment = {
			"FMX_RESTART_WORKER": "1",
			"PYTHONPATH": f"{self.sites}{os.pathsep}{':'.join(sys.path)}",
		}
		self.addCleanup(os.chdir, Path.cwd())
		os.chdir(self.sites)
		with patch.dict(os.environ, environment):
			program = Program()
		began, before = time.monotonic(), psutil.Process().children()
		self.assertEqual(program.fault(["slow"], Stop(), seconds=1), ("TimeoutError", ""))
		self.assertLess(time.monotonic() - began, 10)
		self.assertEqual(psutil.Process().children(), before)


class TestStops(ReloadCase):
	def test_told_to_leave_while_the_new_code_is_tried_it_leaves_at_once(self):
		pid = self.bench.start()
		self.write("hooks", HANGS)
		self.ask()
		eventually((self.sites / "hangs").exists, "the new code is tried")
		began = time.monotonic()
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual(self.bench.wait(pid), 0)
		self.assertLess(time.monotonic() - began, 10)

	def test_where_redis_went_away_meanwhile_it_reloads_once_redis_is_back(self):
		pid = self.bench.start()
		self.write("hooks", f"{WAITS_WHEN_TRIED}VERSION = 2\n")
		number = self.ask()
		eventually((self.sites / "at-the-gate").exists, "the new code is tried")
		self.admin.save()
		self.server.stop()
		(self.sites / "gate-is-open").touch()
		eventually(lambda: "Redis does not answer" in self.bench.log, "it sees that")
		self.server.start()
		self.has_answered(pid, number)
		self.assertEqual((self.tell_version(), self.field(pid, RELOADS)), (b"2", "1"))

	def at_the_gate(self) -> int:
		(self.sites / "sitecustomize.py").write_text(AT_THE_GATE)
		pid = self.bench.start()
		self.ask()
		eventually((self.sites / "at-the-gate").exists, self.bench.log)
		self.bench.enqueue_counted("a")
		return pid

	def test_told_to_leave_while_the_new_code_starts_it_takes_no_job_any_more(self):
		pid = self.at_the_gate()
		self.bench.signal(pid, signal.SIGTERM)
		(self.sites / "gate-is-open").touch()
		self.assertEqual(self.bench.wait(pid), 0)
		self.assertEqual((self.bench.waiting(), self.bench.claims()), (["a"], {}))

	def test_killed_while_the_new_code_starts_it_has_no_job_that_could_be_lost(self):
		pid = self.at_the_gate()
		self.bench.kill(pid)
		self.assertEqual((self.bench.waiting(), self.bench.claims()), (["a"], {}))
		(self.sites / "gate-is-open").touch()
		self.bench.start()
		self.bench.is_done("a")

	def test_at_any_moment_of_a_reload_term_ends_it_and_neither_that_nor_a_kill_loses_a_job(self):
		ids, rounds = [], repetitions("stops in a reload", 6, long=60)
		for number in range(rounds):
			pid = self.bench.start()
			ids += self.stop_in_a_reload(pid, number / rounds * 1.5, kills=number % 2 == 1)
		self.bench.start()
		ended = ("finished", "failed")  # by a kill in the middle
		eventually(lambda: all(self.bench.status(id) in ended for id in ids), self.bench.log)
		self.assertEqual([id for id in ids if self.bench.count(BEGUN, id) > 1], [])
		finished = [id for id in ids if self.bench.status(id) == "finished"]
		self.assertEqual([id for id in finished if self.bench.count(DONE, id) != 1], [])
		self.assertGreaterEqual(len(finished), len(ids) - rounds // 2)


class TestScheduler(ReloadCase):
	tick = 0.0  # seconds; 0: it does not look between two ticks

	def setUp(self):
		super().setUp()
		options = {"tick": self.tick} if self.tick else {}
		self.pid = self.bench.begin(kind="scheduler", **options)
		eventually(lambda: self.answer(ANSWERED), self.bench.log)

	def answer(self, field: str) -> str | None:
		value = self.admin.hget(record_key(self.bench.id), field)
		return value and value.decode()

	def answers(self, number: int) -> None:
		eventually(lambda: int(self.answer(ANSWERED) or 0) >= number, self.bench.log)

	def test_it_goes_on_as_the_same_process_and_takes_its_lock_anew(self):
		for times, whom in enumerate((SCHEDULER, ALL, of_host(socket.gethostname())), start=1):
			self.answers(self.ask(whom))
			self.assertEqual((self.answer(RELOADS), self.answer("pid")), (str(times), str(self.pid)))
		self.assertEqual(set(self.admin.lrange(TICKS, 0, -1)), {str(self.pid).encode()})
		other = self.bench.begin(kind="scheduler")
		self.assertEqual(self.bench.wait(other), 1)  # the lock is held
		self.assertEqual(self.answer("pid"), str(self.pid))
		self.bench.signal(self.pid, signal.SIGTERM)
		self.assertEqual(self.bench.wait(self.pid), -signal.SIGTERM)

	def test_where_the_new_code_does_not_import_it_ticks_on_and_says_why(self):
		self.write("hooks", "open('probes', 'a').write('1')\nraise KeyError('a password')\n")
		self.answers(self.ask())
		self.assertEqual((self.answer(REFUSED), self.answer(RELOADS)), ("KeyError", "0"))
		ticks = self.admin.llen(TICKS)
		eventually(lambda: self.admin.llen(TICKS) > ticks + 5, "it ticks on")
		self.assertEqual((self.sites / "probes").read_text(), "1")


class TestSchedulerThatSleeps(TestScheduler):
	"""As Frappe's sleeps: for longer than anybody waits."""

	tick = 8.0

	def test_it_goes_on_as_the_same_process_and_takes_its_lock_anew(self):
		began = time.monotonic()
		record = self.admin.ttl(record_key(self.bench.id))
		self.assertEqual((self.answer(LOOKS), 400 < record <= 480), ("2", True))
		for times in (1, 2):
			self.answers(self.ask())
			self.assertEqual((self.answer(RELOADS), self.answer("pid")), (str(times), str(self.pid)))
		# Then the tick comes when it would have come without them
		eventually(lambda: self.admin.llen(TICKS), self.bench.log, deadline=30)
		self.assertLess(time.monotonic() - began, self.tick + 1)

	def test_where_the_new_code_does_not_import_it_ticks_on_and_says_why(self):
		self.write("hooks", HANGS.replace("50", "3") + "raise KeyError\n")
		number = self.ask()
		eventually(lambda: self.answer(TRYING) == str(number), self.bench.log)
		self.answers(number)
		self.assertEqual(
			(self.answer(REFUSED), self.answer(RELOADS), self.answer(TRYING)), ("KeyError", "0", None)
		)


class TestTheRecordOfTheScheduler(ReloadCase):
	def test_it_is_whole_again_at_the_next_beat_after_redis_has_lost_it(self):
		ticks = Ticks(list, self.admin, self.bench.id)
		ticks._beat()
		key = record_key(self.bench.id)
		before = self.admin.hgetall(key)
		self.admin.delete(key)
		ticks._beaten_at = float("-inf")
		ticks._beat()
		self.assertEqual(self.admin.hgetall(key), before)
		self.assertEqual(before[b"pid"], str(os.getpid()).encode())

	def test_it_says_that_a_tick_goes_on(self):
		key, during = record_key(self.bench.id), []
		ticks = Ticks(lambda: during.append(self.admin.hget(key, TICKING)), self.admin, self.bench.id)
		ticks()
		self.assertEqual((during, self.admin.hget(key, TICKING)), ([b"1"], None))


class TestRequests(ReloadCase):
	def test_numbers_grow_whatever_the_clock_says(self):
		key = requests_key(self.bench.id)
		first = self.ask()
		ahead = first + 10**9
		self.admin.hset(key, "worker:of another time", ahead)
		self.assertEqual([self.ask(), self.ask()], [ahead + 1, ahead + 2])

	def test_what_is_no_number_and_who_is_gone_for_long_are_forgotten(self):
		key = requests_key(self.bench.id)
		self.admin.hset(key, mapping={"worker:gone": 1, "host:odd": "inf", "worker:odd": "x"})
		now = self.admin.time()[0] * 1000
		self.assertLess(abs(self.ask() - now), 60_000)
		self.assertEqual(self.admin.hkeys(key), [b"host:odd", b"all"])

	def test_those_that_concern_others_are_not_followed(self):
		pid = self.bench.start()
		self.ask(of_host("elsewhere"))
		self.ask(of_worker("another"))
		self.admin.hset(requests_key(self.bench.id), ALL, "no number")
		ask(self.admin, "another-bench")
		time.sleep(1.5)  # longer than between two looks
		self.assertEqual((self.field(pid, RELOADS), self.field(pid, REFUSED)), ("0", None))
		self.has_answered(pid, self.ask(of_host(socket.gethostname())))
		self.assertEqual(self.field(pid, RELOADS), "1")
		self.has_answered(pid, self.ask(of_worker(self.name_of(pid))))
		self.assertEqual(self.field(pid, RELOADS), "2")

	def test_one_that_is_older_than_the_process_is_answered_already(self):
		number = self.ask()
		time.sleep(0.1)
		pid = self.bench.start()
		self.assertGreater(int(self.field(pid, ANSWERED)), number)
		self.assertEqual(self.tell_version(), b"1")
		self.assertEqual(self.field(pid, RELOADS), "0")

	def test_one_that_came_while_it_loaded_its_code_is_followed(self):
		(self.sites / "sitecustomize.py").write_text(AT_THE_GATE.replace('"FMX_RESTART_RELOADED" in', "1 or"))
		pid = self.bench.begin()
		eventually((self.sites / "at-the-gate").exists, "its interpreter starts")
		number = self.ask()
		(self.sites / "gate-is-open").touch()
		self.has_answered(pid, number)
		self.assertEqual(self.field(pid, RELOADS), "1")
