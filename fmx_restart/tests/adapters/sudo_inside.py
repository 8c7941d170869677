"""
What runs inside a nested machine that has Debian's supervisor and sudo: a supervisord whose socket is root's, whose programs are
those of a bench of another user, as bench sets it up. test_sudo.py begins it there.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import unittest
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.supervisor.connection import Address
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.engine.errors import OperationError, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Strategy
from fmx_restart.engine.ports import Change, GroupChange, ProcessKind, ProcessState
from fmx_restart.tests.adapters.benches import group, make_bench, program, short_folder
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.ordinary_user import give, in_child
from fmx_restart.tests.adapters.processes_contract import ProcessesContract
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.restart_case import RestartCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import in_long_runs

NOBODY = 65534
NOBODYS = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
CONFIG = Path("/etc/supervisor/supervisord.conf")
OWN = Path("/etc/supervisor/conf.d/bench.conf")
SOCKET = f"unix://{os.path.realpath('/var/run')}/supervisor.sock"  # as Debian has it: mode 0700
RULES = Path("/etc/sudoers.d/bench-supervisor")


def become_nobody() -> None:
	os.setgroups([])
	os.setgid(NOBODY)
	os.setuid(NOBODY)


def as_nobody(work: Callable[[], Any]) -> Any:
	return in_child(work, before=become_nobody)


class SupervisordOfRoot:
	"""The machine's, with what stands in `OWN`: a link to a file of the bench, or a copy that is root's."""

	def __init__(self, case: unittest.TestCase, bench: Path, programs: str, *, is_copy: bool = False) -> None:
		config = bench / "config/supervisor.conf"
		config.write_text(programs)
		OWN.unlink(missing_ok=True)
		if is_copy:
			OWN.write_text(programs)
		else:
			OWN.symlink_to(config)
		Path("/var/log/supervisor").mkdir(exist_ok=True)
		words = ["/usr/bin/supervisord", "-n", "-c", str(CONFIG)]
		self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		case.addCleanup(self.stop)

	@property
	def pid(self) -> int:
		return self._process.pid

	def stop(self) -> None:
		"""With all its programs, at once: none of them needs its peace."""
		children = psutil.Process(self._process.pid).children(recursive=True)
		self._process.kill()
		self._process.wait()
		for child in children:
			with suppress(psutil.NoSuchProcess):
				child.kill()
		Path(SOCKET.removeprefix("unix://")).unlink(missing_ok=True)


def allow(case: unittest.TestCase, *rules: str) -> None:
	"""In place of what sudo allowed before."""
	case.addCleanup(RULES.unlink, missing_ok=True)
	RULES.write_text("".join(f"{rule}\n" for rule in rules))


class SudoCase(RestartCase):
	is_copy = False  # as SupervisordOfRoot
	has_port = True
	lease = 30.0  # as in service: each look at the programs is a process, and so is each order

	def setUp(self) -> None:
		super().setUp()
		names = ("short", "long")
		workers = "".join(map(self.worker, names))
		text = workers + group("bench-workers", *names)
		self.supervisord = SupervisordOfRoot(self, self.bench, text, is_copy=self.is_copy)
		self.registered(2)
		give(self.bench, NOBODY)

	def worker(self, queue: str, **settings: object) -> str:
		command = shlex.join(self.rq.worker_command(queue))
		environment = f'PYTHONPATH="{CHECKOUT}",PYTHONDONTWRITEBYTECODE="1"'
		folder = self.bench / "sites"
		return program(
			queue,
			command,
			folder=folder,
			startsecs=0,
			stopwaitsecs=60,
			user="nobody",
			environment=environment,
			**settings,
		)

	def refused(self, **options: bool) -> str:
		"""What an ordinary user is told, and what to do."""

		def try_it() -> str:
			try:
				self.operation(Strategy.WAIT_WORKERS, **options).run()
			except WrongEnvironment as error:
				return f"{error}\n{error.hint}"
			return "done"

		return as_nobody(try_it)

	def rule(self) -> str:
		return next(line for line in self.refused().splitlines() if line.startswith("nobody ALL="))


class TestRestart(SudoCase):
	def test_without_a_rule_nothing_is_changed_and_the_rule_that_is_shown_is_enough(self):
		told = self.refused()
		self.assertIn("user nobody may not use supervisord's socket", told)
		self.assertIn("chown=nobody:nobody in [unix_http_server]", told)
		self.assertIn(f"visudo -f {RULES}", told)
		rule = self.rule()
		self.assertEqual(
			rule.count("/usr/bin/supervisorctl"), 5
		)  # the states, and two orders for each program
		self.assertIn(f"/usr/bin/supervisorctl -c {CONFIG} stop bench-workers\\:short", rule)
		# with a part of it, and with a password for all else
		allow(self, "nobody ALL=(ALL:ALL) ALL", rule.replace(" start bench-workers\\:long", " version"))
		before = as_nobody(lambda: [it.pid for it in self.programs().values()])
		told = self.refused()
		self.assertIn(f"supervisorctl -c {CONFIG} start bench-workers:long", told)
		self.assertIn(rule, told)
		self.assertEqual(as_nobody(lambda: [it.pid for it in self.programs().values()]), before)
		# with all of it
		allow(self, rule)
		# which does not let the bench's own file decide what runs as root
		told = self.refused(update_config=True)
		self.assertIn(f"supervisorctl -c {CONFIG} reread. Nothing was changed", told)
		self.assertIn("others than root can write to files", told)
		self.assertIn(f"sudo supervisorctl -c {CONFIG} update bench-workers, then bench safe-restart", told)
		self.assertNotIn("visudo", told)
		self.assertEqual(self.refused(), "done")
		self.assertNotEqual(as_nobody(lambda: [it.pid for it in self.programs().values()]), before)
		# when supervisord hangs, that is known soon, although nobody may end what asks it
		os.kill(self.supervisord.pid, signal.SIGSTOP)
		self.assertIn("did not answer within 1 s", as_nobody(self.states_of_hanging))
		os.kill(self.supervisord.pid, signal.SIGCONT)
		# and none is shown where it would make its user root
		RULES.unlink()
		self.assertIn("visudo", self.refused())
		CONFIG.chmod(0o666)
		self.addCleanup(CONFIG.chmod, 0o644)
		self.assertNotIn("visudo", self.refused())

	@in_long_runs("one restart by sudo")
	def test_an_ordinary_user_restarts_it_under_load_with_every_strategy(self):
		allow(self, "nobody ALL=(root) NOPASSWD: /usr/bin/supervisorctl")
		with Load(lambda id, queue: self.rq.enqueue(id, queue, kwargs={"counts": True})) as load:
			eventually(lambda: len(load.ids) > 2, "jobs come")
			outcomes = as_nobody(self.restart_all)
		for outcome in outcomes:
			self.assertEqual(outcome, ("Done", [], []))
		eventually(lambda: all(map(self.runs, load.ids)), "each job has run")
		self.assertEqual(set(map(self.runs, load.ids)), {b"1"})

	def restart_all(self) -> list[tuple]:
		return [self.restart(strategy) for strategy in Strategy]

	def restart(self, strategy: Strategy) -> tuple[str, list, list]:
		"""How it ended, which jobs are lost, and what is not new."""
		before = self.programs()
		try:
			report = self.operation(strategy).run()
		except OperationError as error:
			return (strategy.value, str(error), error.hint)
		old = [name for name, one in self.programs().items() if one.is_same_as(before[name])]
		return (report.outcome.value, report.account.lost, old)

	def states_of_hanging(self) -> str:
		processes = SupervisorProcesses(Address(SOCKET, source=str(CONFIG)), str(self.bench), timeout=1.0)
		with self.assertRaises(ProcessFault) as caught:
			processes.list()
		return str(caught.exception)


class TestUpdateConfig(SudoCase):
	"""The files are root's alone, so a rule for them gives nobody more than it says."""

	is_copy = True

	def test_the_rule_that_is_shown_is_enough_to_take_over_a_changed_configuration_under_load(self):
		rule = self.rule()
		for order in ("reread", "remove bench-workers", "add bench-workers"):
			self.assertIn(f"/usr/bin/supervisorctl -c {CONFIG} {order}", rule)
		self.assertEqual(rule.count("/usr/bin/supervisorctl"), 8)
		self.assertNotRegex(rule, "update|shutdown|reload")
		# Given a change, and a group that no rule for this bench's programs named
		short = self.worker("short", numprocs=2, process_name="%(program_name)s-%(process_num)d")
		long = self.worker("long").replace("stopwaitsecs = 60", "stopwaitsecs = 61")
		members = short + long + group("bench-workers", "short", "long")
		more = self.worker("long").replace("[program:long]", "[program:more]")
		other = program("other", "/bin/sleep 1000", autostart="false")
		OWN.write_text(members + more + other)
		# with a part of the rule nothing is touched, and what is lacking is shown; a plain restart goes
		allow(self, rule)
		before = as_nobody(self.pids)
		told = self.refused(update_config=True)
		self.assertIn(f"supervisorctl -c {CONFIG} remove more. Nothing was changed", told)
		whole = next(line for line in told.splitlines() if line.startswith("nobody ALL="))
		self.assertIn("remove more", whole)
		self.assertNotIn("other", whole)
		self.assertEqual(as_nobody(self.pids), before)
		# and with all of it
		allow(self, whole)
		with Load(lambda id, queue: self.rq.enqueue(id, queue, kwargs={"counts": True})) as load:
			eventually(lambda: len(load.ids) > 2, "jobs come")
			results, lost = as_nobody(self.update)
		done = {"bench-workers": "updated", "more": "updated", "other": "left"}
		self.assertEqual((results, lost), (done, []))
		names = {"bench-workers:short-0", "bench-workers:short-1", "bench-workers:long", "more"}
		now = as_nobody(self.pids)
		self.assertEqual((set(now), set(now.values()) & {None, *before.values()}), (names, set()))
		eventually(lambda: all(map(self.runs, load.ids)), "each job has run")
		self.assertEqual(set(map(self.runs, load.ids)), {b"1"})
		# A file that supervisord refuses is named, and nothing of it is shown
		OWN.write_text(f"{members}{more}[program:broken]\ncommand = /bin/cat\nenvironment = A=s3cret,B\n")
		told = self.refused(update_config=True)
		self.assertIn("The new configuration cannot be taken over", told)
		self.assertNotIn("s3cret", told)
		self.assertEqual(as_nobody(self.pids), now)

	def test_no_rule_for_it_is_shown_where_others_than_root_can_change_what_it_would_run(self):
		folder = OWN.parent
		self.addCleanup(folder.chmod, 0o755)
		self.assertIn("reread", self.rule())
		folder.chmod(0o777)
		self.assertNotIn("reread", self.rule())
		folder.chmod(0o755)
		kept = OWN.rename(CONFIG.parent / "kept")
		self.addCleanup(kept.unlink)
		step = self.bench / "step"  # a link of theirs on the way to a file of root's
		step.symlink_to(kept)
		OWN.symlink_to(step)
		self.assertNotIn("reread", self.rule())

	@in_long_runs("one update by sudo")
	def test_a_group_of_which_something_runs_is_refused_by_supervisord_and_one_that_is_gone_is_added(self):
		allow(self, "nobody ALL=(root) NOPASSWD: /usr/bin/supervisorctl")
		OWN.write_text(OWN.read_text().replace("stopwaitsecs = 60", "stopwaitsecs = 61"))
		before = as_nobody(self.pids)
		self.assertIn("still running", as_nobody(lambda: self.update_alone("bench-workers")))
		self.assertEqual(as_nobody(self.pids), before)
		ask = ["supervisorctl", "-c", str(CONFIG)]
		for order in ("stop", "remove"):
			name = "bench-workers:*" if order == "stop" else "bench-workers"
			subprocess.run([*ask, order, name], check=True, capture_output=True)
		for _ in range(2):  # and that may be repeated
			self.assertEqual(as_nobody(lambda: self.update_alone("bench-workers")), "done")
			eventually(lambda: all(as_nobody(self.pids).values()), "it is there")
			subprocess.run([*ask, "stop", "bench-workers:*"], check=True, capture_output=True)

	def pids(self) -> dict[str, int | None]:
		return {name: process.pid for name, process in self.programs().items()}

	def update(self) -> tuple[dict[str, str], list]:
		report = self.operation(Strategy.WAIT_WORKERS, update_config=True).run()
		return {it.group: it.result.value for it in report.configuration}, report.account.lost

	def update_alone(self, name: str) -> str:
		"""Without a restart around it."""
		processes = SupervisorProcesses(Address(SOCKET, source=str(CONFIG)), str(self.bench))
		processes.list()
		try:
			processes.configuration.update(GroupChange(name, Change.CHANGED, is_ours=True))
		except ProcessFault as fault:
			return str(fault)
		return "done"


class TestContract(ProcessesContract, unittest.TestCase):
	"""
	What an ordinary user may ask and order by sudo. Each test has a bench, and groups of that supervisord, of its own; those who
	begin it have made them.
	"""

	POLL = 0.3  # each look is a process
	numbers = count()

	def setUp(self) -> None:
		self.clock, number = SystemClock(), next(self.numbers)
		self.bench = Path(os.environ["BENCHES"], f"bench{number}")
		self.WEB, self.SLOW, self.STUBBORN, self.CRASHING = names = names_of(number)
		kinds = ProcessKind.WEB, ProcessKind.WORKER, ProcessKind.WORKER, ProcessKind.SCHEDULER
		self.KINDS = dict(zip(names, kinds, strict=True))
		self.processes = SupervisorProcesses(Address(SOCKET, source=str(CONFIG)), str(self.bench))
		self.addCleanup(self.processes.close)
		self.processes.list()
		self.assertEqual(self.processes.order(start=names[:3]), {})
		for name in names[:3]:
			self.reach(name, ProcessState.RUNNING)

	def test_an_order_to_stop_returns_before_the_program_has_stopped(self):
		"""The order takes longer than others take to stop."""
		self.stop_when_ready(self.STUBBORN)
		self.assertIs(self.look(self.STUBBORN).state, ProcessState.STOPPING)
		self.end_from_outside(self.STUBBORN)
		self.assertIsNone(self.reach(self.STUBBORN, ProcessState.STOPPED).pid)

	def end_from_outside(self, name: str) -> None:
		"""supervisorctl names no pid of a program that is stopping."""
		words = f"{self.bench}/env/bin/bench worker-pool"
		running = psutil.process_iter(["cmdline"])
		(process,) = [it for it in running if words in " ".join(it.info["cmdline"] or ())]
		process.kill()

	def log_of(self, name: str) -> str:
		return (self.bench / f"logs/{name.partition(':')[2]}.log").read_text()


def names_of(number: int) -> tuple[str, str, str, str]:
	web, *others = (f"{name}{number}" for name in ("gunicorn", "slow", "stubborn", "crashing"))
	return f"web{number}:{web}", *(f"workers{number}:{name}" for name in others)


class TestManager(unittest.TestCase):
	def test_it_passes_the_contract(self):
		home = short_folder(self)
		names = unittest.defaultTestLoader.getTestCaseNames(TestContract)
		text = "".join(self.programs(home, number) for number in range(len(names)))
		SupervisordOfRoot(self, home / "bench0", text)
		give(home, NOBODY)
		allow(self, "nobody ALL=(root) NOPASSWD: /usr/bin/supervisorctl")
		eventually(Path(SOCKET.removeprefix("unix://")).is_socket, "supervisord answers")
		done = subprocess.run(
			[*NOBODYS, sys.executable, "-m", "fmx_restart.tests.adapters.sudo_inside", "TestContract"],
			env={**os.environ, "BENCHES": str(home)},
			capture_output=True,
			text=True,
		)
		self.assertEqual(done.returncode, 0, done.stderr)
		self.assertRegex(done.stderr, r"Ran 2\d tests")

	def programs(self, home: Path, number: int) -> str:
		bench = make_bench(home / f"bench{number}")
		web, *others = (name.partition(":")[2] for name in names_of(number))
		slow, stubborn, crashing = others
		words = f"{bench}/env/bin/bench"
		commands = {
			web: f"{bench}/env/bin/gunicorn frappe.app:application waits",
			slow: f"{words} worker --queue long slow",
			stubborn: f"{words} worker-pool refuses",
			crashing: f"{words} schedule crashes",
		}
		texts = [
			program(
				name,
				command,
				folder=bench / "sites",
				user="nobody",
				autostart="false",
				autorestart="false",
				startsecs=10 if name == crashing else 0,
				startretries=0,
				stopwaitsecs=60,
				redirect_stderr="true",
				stdout_logfile=f"{bench}/logs/{name}.log",
			)
			for name, command in commands.items()
		]
		return "".join([*texts, group(f"web{number}", web), group(f"workers{number}", *others)])


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
