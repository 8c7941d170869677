"""What each of gunicorn's workers does for it: answer for itself when it is new, stay when its master is gone, and leave."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import stat
import sys
import threading
import time
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

from fmx_restart.web.draining import drain_on_term
from fmx_restart.web.files import Order, add_to_record, read_record
from fmx_restart.web.master import Master
from fmx_restart.web.passing import SocketHolder, is_held
from fmx_restart.web.self_check import first_fault

ALONE = 300.0  # seconds that workers stay whose master was killed, with no operation to see it
LOOK = 0.2  # seconds
CHECK_AGAIN = (2.5, 5.0, 10.0)  # seconds; each failed request may write a traceback to a log
HOLDER_CHANGES = 2.0  # seconds: another old worker takes over from one that died
LAST_REQUEST = 120.0  # seconds that it may take where gunicorn sets no limit
ABORT_TAKES = 1.0  # seconds


def begin(master: Master, worker: object) -> None:
	"""Right after the fork, before the application is loaded."""
	if master.pipes is None:
		return
	os.close(master.pipes.life[1])  # the master alone keeps it
	if master.turns is not None and is_checked(master):
		master.turns.take(worker, lambda: is_held(master.files.socket))


def become_ready(master: Master, worker: object) -> None:
	"""After the application was loaded, before the first request."""
	if master.files is None:
		return
	if is_checked(master):
		answer_for_itself(master, worker)
	leave_turn(master)
	add_to_record(master.record, ready=os.getpid())
	drain_on_term(worker)
	Watch(master, worker).start()
	worker.is_parent_alive = lambda: True  # the watch sees to it


def is_checked(master: Master) -> bool:
	"""While old workers serve. One that is forked later, in place of another, has nobody to leave requests to."""
	record = read_record(master.files.record)
	return master.note is not None and record is not None and len(record.ready) < record.workers


def leave_turn(master: Master) -> None:
	"""The next worker boots."""
	if master.turns is not None:
		master.turns.leave()


def answer_for_itself(master: Master, worker: object) -> None:
	"""While old workers serve, one that answers a site with an error that answered before takes no request."""
	sites, told = tuple(master.note.get("sites", ())), ""
	pauses = chain(CHECK_AGAIN, repeat(CHECK_AGAIN[-1]))
	while fault := first_fault(worker.wsgi, sites):
		leave_turn(master)
		if fault != told:
			add_to_record(master.record, fault=fault)
			worker.log.error("fmx_restart: old workers go on serving, for the new code fails: %s", fault)
			told = fault
		if not wait_behind_old_workers(master, worker, next(pauses)):
			return


def wait_behind_old_workers(master: Master, worker: object, seconds: float) -> bool:
	"""False as soon as nobody else serves any more. Ends this worker when it is told to, or its master is gone."""
	held_at = time.monotonic()
	until = held_at + seconds
	while time.monotonic() < until:
		if not worker.alive or os.getppid() != master.pid:
			sys.exit(0)
		worker.notify()
		time.sleep(LOOK)
		if is_held(master.files.socket):
			held_at = time.monotonic()
		elif time.monotonic() - held_at > HOLDER_CHANGES:
			return False
	return True


class Watch(threading.Thread):
	"""Waits for the end of the master. One that fails ends its worker: nobody stays who is not watched."""

	def __init__(self, master: Master, worker: object) -> None:
		super().__init__(name="fmx-watch", daemon=True)
		self._master, self._worker = master, worker
		self._holder: SocketHolder | None = None
		self._election: int | None = None
		self._limit = RequestLimit(worker)

	def run(self) -> None:
		"""
		Wait until the main process has ended, then serve on until new workers answer. An error ends the worker, as one that
		nobody ends would keep old code for good.
		"""
		try:
			self._wait_for_end_of_master()
			if self._worker.alive:
				self._serve_on()
		except BaseException as error:  # noqa: BLE001  it ends this worker, whatever it is
			with suppress(Exception):
				self._worker.log.error(
					"fmx_restart: a worker leaves, as it failed to wait for new ones: %r", error
				)
		finally:
			self._leave()

	def _wait_for_end_of_master(self) -> None:
		life = self._master.pipes.life[0]
		poll = select.poll()
		poll.register(life, select.POLLIN)
		((_, what),) = poll.poll()
		self._leave_pipes()
		if what & select.POLLIN:
			os.write(self._master.pipes.noticed[1], b"x")
			poll.modify(life, 0)
			poll.poll()

	def _leave_pipes(self) -> None:
		"""Whoever reads our stdout and stderr goes with the master, and a print would raise BrokenPipeError then."""
		order = self._master.order()
		logs = order.logs if order else ("", "")
		for descriptor, file in zip((1, 2), logs, strict=True):
			if stat.S_ISFIFO(os.fstat(descriptor).st_mode) or stat.S_ISSOCK(os.fstat(descriptor).st_mode):
				replace_descriptor(descriptor, file or log_of_bench())

	def _serve_on(self) -> None:
		self._worker.max_requests = sys.maxsize  # nobody would fork a successor
		order = self._master.order()
		until = time.monotonic() + (order.seconds if order else ALONE)
		while time.monotonic() < until and not self._may_leave():
			self._limit.enforce()
			self._hold_sockets(order)
		self._tell_others()

	def _may_leave(self) -> bool:
		if select.select([self._master.pipes.leave[0]], [], [], 0)[0]:
			return True
		return self._holder is not None and (self._is_succeeded() or self._is_over())

	def _is_succeeded(self) -> bool:
		record = read_record(self._master.files.record)
		return (
			record is not None
			and record.master != self._master.pid
			and record.is_complete
			and record.is_alive
		)

	def _is_over(self) -> bool:
		order = self._master.order()
		return order is not None and order.is_over

	def _hold_sockets(self, order: Order | None) -> None:
		"""One of the old workers does; when it dies, the next. Takes LOOK at most."""
		if self._holder is None and self._is_elected():
			note = {"sites": order.sites if order else ()}
			sockets = [listener.fileno() for listener in self._worker.sockets]
			self._holder = SocketHolder(self._master.files.socket, sockets, note)
		waited_for = [self._master.pipes.leave[0], *([self._holder] if self._holder else [])]
		if self._holder in select.select(waited_for, [], [], LOOK)[0]:
			self._holder.answer()

	def _is_elected(self) -> bool:
		"""
		The lock is on the record of their own master: workers of others do not take part. For writing, as NFS gives an
		exclusive lock on nothing else.
		"""
		if self._election is None:
			self._election = os.open(f"/proc/self/fd/{self._master.record}", os.O_RDWR)
		try:
			fcntl.flock(self._election, fcntl.LOCK_EX | fcntl.LOCK_NB)
		except BlockingIOError:
			return False
		return True

	def _tell_others(self) -> None:
		if self._holder is None:
			return
		os.write(self._master.pipes.leave[1], b"x")
		self._holder.close()
		self._master.end_record()
		if self._master.order() is not None:
			with suppress(OSError):
				Path(self._master.files.order).unlink()

	def _leave(self) -> None:
		signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
		time.sleep(ABORT_TAKES / 2)
		for listener in self._worker.sockets:
			# a slow request must not keep the port from the next master
			replace_descriptor(listener.fileno(), os.devnull)
		until = time.monotonic() + (self._worker.cfg.timeout or LAST_REQUEST)
		while time.monotonic() < until:
			time.sleep(LOOK)
			self._limit.enforce()
		os._exit(0)


class RequestLimit:
	"""gunicorn's own time-out of a request, which its master enforces: there is none any more."""

	def __init__(self, worker: object) -> None:
		self._worker, self._seen, self._since = worker, 0.0, time.monotonic()

	def enforce(self) -> None:
		"""
		What the main process does while it runs: end a worker whose request takes longer than gunicorn's `timeout`, in
		seconds (0: no limit). ABRT first, so that the traceback is logged; KILL after that.
		"""
		last = self._worker.tmp.last_update()
		if last != self._seen:
			self._seen, self._since = last, time.monotonic()
		if self._worker.cfg.timeout and time.monotonic() - self._since > self._worker.cfg.timeout:
			self._worker.log.critical("WORKER TIMEOUT (pid:%s)", os.getpid())
			signal.pthread_kill(threading.main_thread().ident, signal.SIGABRT)
			time.sleep(ABORT_TAKES)
			os.kill(os.getpid(), signal.SIGKILL)


def log_of_bench() -> str:
	"""Where `bench setup` has web's errors written."""
	file = Path("../logs/web.error.log").absolute()
	return str(file) if file.exists() else os.devnull


def replace_descriptor(descriptor: int, file: str) -> None:
	"""
	Not by closing it: its number would be used again. And a listening socket is never shut down, which would hit all who
	hold it.
	"""
	try:
		new = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY, 0o640)
	except OSError:
		new = os.open(os.devnull, os.O_RDWR)
	os.dup2(new, descriptor, inheritable=descriptor <= 2)
	os.close(new)
