"""Pools of workers on a real Redis: the pool's process is reloaded in place, and no job is lost or begun twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence

import psutil

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import repetitions
from fmx_restart.tests.worker.test_recycling import RecyclingCase
from fmx_restart.tests.worker.test_reload import AT_THE_GATE, HANGS, ReloadCase
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE
from fmx_restart.worker.membership import POOL, pool_key
from fmx_restart.worker.recycling import REASON, RECYCLED
from fmx_restart.worker.reload import ANSWERED, REFUSED, RELOADS
from fmx_restart.worker.requests import ask, of_pool, of_worker, requests_key


class PoolCase(ReloadCase):
	def start_pool(self, workers: int = 2, queues: Sequence[str] = (), **options) -> int:
		"""The pid of its process, once all its workers are idle."""
		pid = self.bench.begin(*queues, kind="pool", workers=workers, **options)
		eventually(lambda: len(self.serving()) == workers and self.answer(ANSWERED), self.bench.log)
		return pid

	def serving(self) -> list[dict[str, str]]:
		return [
			fields for fields in self.bench.records() if fields.get("state") in ("idle", "busy", "suspended")
		]

	def answer(self, field: str) -> str | None:
		return self.bench.pool_record().get(field)

	def pool_has_answered(self, number: int) -> None:
		what = f"the pool answers: {self.bench.log}"
		eventually(lambda: int(self.answer(ANSWERED) or 0) >= number, what, deadline=60)

	def are_new(self, number: int, workers: int) -> None:
		"""All of them run the code that was asked for."""

		def are_there() -> bool:
			answered = [int(fields[ANSWERED]) >= number for fields in self.serving()]
			return len(answered) == workers and all(answered)

		eventually(are_there, f"all are new: {self.bench.log}", deadline=60)

	def pids(self) -> set[int]:
		return {int(fields["pid"]) for fields in self.bench.records()}

	def busy_pid(self) -> int:
		return eventually(
			lambda: next(
				(int(fields["pid"]) for fields in self.bench.records() if fields["state"] == "busy"), 0
			),
			"a worker is busy",
		)


class TestReload(PoolCase):
	def check_reload(self, workers: int, **options) -> int:
		"""One of its workers has a job meanwhile."""
		pid = self.start_pool(workers, **options)
		before = self.pids()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		busy = self.busy_pid()
		self.write("hooks", "VERSION = 2\n")
		number = self.ask()
		self.pool_has_answered(number)
		self.assertEqual(
			(self.answer(REFUSED), self.answer(RELOADS), self.answer("pid")), (None, "1", str(pid))
		)
		# The busy one ends its job, and the others are new ones
		eventually(lambda: len(self.pids() - before) == workers - 1, self.bench.log, deadline=60)
		self.assertEqual(self.pids() & before, {busy})
		self.assertEqual((self.tell_version(), self.bench.count(DONE, "a")), (b"2", 0))
		self.bench.finish("a")
		self.are_new(number, workers)
		self.assertEqual((self.bench.count(BEGUN, "a"), self.bench.count(DONE, "a")), (1, 1))
		self.assertEqual(self.pids() & before, set())
		eventually(lambda: self.admin.hkeys(requests_key(self.bench.id)) == [b"all"], "no request is left")
		return pid

	def children(self, pid: int) -> list[psutil.Process]:
		return psutil.Process(pid).children(recursive=True)

	def test_the_same_process_goes_on_with_the_new_code_and_a_busy_worker_ends_its_job(self):
		pid = self.check_reload(3)
		eventually(
			lambda: {child.pid for child in psutil.Process(pid).children()} == self.pids(),
			"nothing is left behind",
		)
		names = {fields[POOL] for fields in self.bench.records()}
		self.assertEqual(len(names), 1)
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual((self.bench.wait(pid), self.bench.records()), (0, []))
		self.assertFalse(self.admin.exists(pool_key(self.bench.id, names.pop())))

	def test_workers_of_pythons_fork_server_stay_among_the_processes_of_the_pool(self):
		pid = self.start_pool(2, method="forkserver", worker="nofork")
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		busy, former = psutil.Process(self.busy_pid()), set(self.children(pid))
		number = self.ask()
		self.pool_has_answered(number)
		self.assertIn(pid, [process.pid for process in busy.parents()])
		self.bench.finish("a")
		self.are_new(number, 2)
		self.assertEqual(self.bench.count(DONE, "a"), 1)
		# The former fork server ends with its last worker, and nobody has to wait for it
		eventually(lambda: not former.intersection(self.children(pid)), "nothing of it is left")

	def test_under_load_no_job_is_lost_or_begun_twice_and_a_worker_is_always_there(self):
		pid, ids, fewest = self.start_pool(2), [], []
		for _ in range(repetitions("reloads of pools under load", 2, long=20)):
			number, begun = self.ask(), len(ids)
			while (
				len(ids) < begun + 20 or int(self.answer(ANSWERED) or 0) < number or not self.all_new(number)
			):
				ids.append(f"job-{len(ids)}")
				self.bench.enqueue_counted(ids[-1])
				fewest.append(len(self.serving()))
				time.sleep(0.05)
		eventually(lambda: all(self.bench.status(id) == "finished" for id in ids), self.bench.log)
		self.assertEqual([id for id in ids if self.bench.count(BEGUN, id) != 1], [])
		self.assertGreaterEqual(min(fewest), 1)
		self.assertEqual(psutil.Process(pid).status(), psutil.STATUS_SLEEPING)

	def all_new(self, number: int) -> bool:
		return all(int(fields.get(ANSWERED, 0)) >= number for fields in self.serving())

	def test_where_the_new_code_does_not_import_it_stays_and_says_why(self):
		self.start_pool()
		before = self.pids()
		self.write("hooks", "open('probes', 'a').write('1')\nraise KeyError('a password')\n")
		self.pool_has_answered(self.ask())
		self.assertEqual((self.answer(REFUSED), self.answer(RELOADS)), ("KeyError", "0"))
		self.assertIn("KeyError in own_app.hooks", self.bench.log)
		self.assertNotIn("password", self.bench.log)
		self.assertEqual(self.tell_version(), b"1")
		time.sleep(2.5)  # longer than between two looks
		self.assertEqual(((self.sites / "probes").read_text(), self.pids()), ("1", before))
		# When the code is mended, the next request is followed
		self.write("hooks", "VERSION = 3\n")
		number = self.ask()
		self.are_new(number, 2)
		self.assertEqual((self.tell_version(), self.answer(REFUSED)), (b"3", None))

	def test_a_pool_at_the_fence_reloads_and_takes_no_job(self):
		self.start_pool()
		self.admin.set("rq:suspended", 1)
		self.bench.enqueue_counted("a")
		number = self.ask()
		self.are_new(number, 2)
		self.assertEqual((self.bench.waiting(), self.bench.count(BEGUN, "a")), (["a"], 0))

	def test_it_is_asked_by_its_name_and_one_of_its_workers_by_that_ones(self):
		self.start_pool()
		before = self.pids()
		[name] = {fields[POOL] for fields in self.bench.records()}
		[worker, _] = (key.decode().removeprefix("rq:worker:") for key in self.admin.smembers("rq:workers"))
		# A worker alone leaves, and the pool starts another one with its own code
		ask(self.admin, self.bench.id, of_worker(worker))
		eventually(lambda: len(self.pids() & before) == 1 and len(self.serving()) == 2, self.bench.log)
		self.assertEqual(self.answer(RELOADS), "0")
		number = ask(self.admin, self.bench.id, of_pool(name))
		self.are_new(number, 2)
		self.assertEqual((self.answer(RELOADS), self.pids() & before), ("1", set()))


class TestStops(PoolCase):
	def test_one_order_to_stop_ends_no_job_even_of_a_worker_that_was_asked_to_leave(self):
		pid = self.start_pool(1)
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		self.pool_has_answered(self.ask())
		time.sleep(2.5)  # longer than between two looks: it is asked to leave
		self.bench.signal(pid, signal.SIGTERM)
		time.sleep(1.5)  # two signals within a second are one
		self.bench.finish("a")
		self.assertEqual((self.bench.wait(pid), self.bench.count(DONE, "a")), (0, 1))
		self.assertEqual(self.bench.records(), [])

	def test_told_to_stop_while_the_new_code_is_tried_it_stops(self):
		pid = self.start_pool()
		self.write("hooks", HANGS)
		self.ask()
		eventually((self.sites / "hangs").exists, "the new code is tried")
		began = time.monotonic()
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual((self.bench.wait(pid), self.bench.records()), (0, []))
		self.assertLess(time.monotonic() - began, 15)

	def at_the_gate(self) -> int:
		"""The new program of a pool, one worker of which has a job; the other one is idle."""
		(self.sites / "sitecustomize.py").write_text(AT_THE_GATE)
		pid = self.start_pool()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		self.ask()
		eventually((self.sites / "at-the-gate").exists, self.bench.log)
		return pid

	def test_told_to_stop_while_the_new_code_starts_it_waits_for_its_workers(self):
		pid = self.at_the_gate()
		self.bench.enqueue_counted("b")
		self.bench.is_done("b")  # the idle one serves meanwhile
		self.bench.signal(pid, signal.SIGTERM)
		(self.sites / "gate-is-open").touch()
		time.sleep(1.5)  # two signals within a second are one
		self.assertIsNone(self.bench._processes[pid].poll())
		self.bench.finish("a")
		self.assertEqual((self.bench.wait(pid), self.bench.count(DONE, "a")), (0, 1))
		self.assertEqual(self.bench.records(), [])

	def test_where_it_is_killed_its_workers_leave_when_they_have_no_job(self):
		pid = self.at_the_gate()
		self.bench.kill(pid)
		eventually(lambda: len(self.bench.records()) == 1, self.bench.log)
		self.bench.enqueue_counted("b")
		self.bench.finish("a")
		self.bench.is_done("a")
		eventually(lambda: not self.bench.records(), self.bench.log)
		self.assertEqual(self.bench.waiting(), ["b"])

	def test_at_any_moment_of_a_reload_term_ends_it_and_neither_that_nor_a_kill_loses_a_job(self):
		ids, rounds = [], repetitions("stops in a reload of a pool", 4, long=40)
		for number in range(rounds):
			pid = self.start_pool()
			ids += self.stop_in_a_reload(pid, number / rounds * 4, kills=number % 2 == 1)
			eventually(lambda: not self.bench.records(), self.bench.log)
		self.bench.start()
		eventually(lambda: all(self.bench.status(id) == "finished" for id in ids), self.bench.log)
		self.assertEqual([id for id in ids if self.bench.count(BEGUN, id) != 1], [])


class TestRecycling(RecyclingCase, PoolCase):
	def test_a_worker_leaves_and_its_pool_starts_another_one(self):
		self.limit(jobs=2)
		pid = self.start_pool(1)
		[worker] = self.pids()
		self.run_jobs("a", "b")
		[new] = eventually(lambda: self.pids() - {worker}, self.bench.log)
		eventually(lambda: self.field(new, RECYCLED), self.bench.log)
		self.assertEqual(self.recycled(new), ("1", "jobs"))
		self.assertEqual(
			(self.answer(RECYCLED), self.answer(REASON), self.answer(RELOADS)), ("1", "jobs", "0")
		)
		self.run_jobs("c")
		self.assertEqual((psutil.Process(pid).is_running(), self.bench.count(BEGUN, "c")), (True, 1))

	def test_so_does_one_of_rqs_own_pool(self):
		self.limit(jobs=1)
		self.bench.begin(kind="lossless pool")
		[worker] = eventually(self.pids, self.bench.log)
		self.run_jobs("a")
		eventually(lambda: self.pids() - {worker} and worker not in self.pids(), self.bench.log)
