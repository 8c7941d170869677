"""A changed configuration on the twin and on real supervisord, and what only supervisor's files can say."""

from __future__ import annotations

import os
import signal
import traceback
import unittest
from pathlib import Path

from fmx_restart.adapters.managers.supervisor.configuration import written_settings
from fmx_restart.adapters.managers.supervisor.connection import connect
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Change, NewConfiguration, ProcessKind, ProcessState
from fmx_restart.engine.report import Report, UpdateResult
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.tests.adapters.benches import ShownSupervisord, group, make_bench, program, short_folder
from fmx_restart.tests.adapters.configuration_contract import ConfigurationContract
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.ordinary_user import as_ordinary_user
from fmx_restart.tests.adapters.rq_bench import runs_key
from fmx_restart.tests.adapters.test_several_managers import PASSWORD, ManagersCase
from fmx_restart.tests.adapters.waiting import eventually


class TestInMemoryConfiguration(ConfigurationContract, unittest.TestCase):
	def setUp(self):
		worker = ProcessKind.WORKER
		self.processes = InMemoryProcesses(
			FakeClock(),
			Program(self.WEB, ProcessKind.WEB, group="web"),
			*(Program(name, worker, group="workers") for name in (self.KEPT, self.GONE)),
			Program(self.OLD, worker, group="old"),
		)

	def write(self):
		write, worker = self.configuration.write, ProcessKind.WORKER
		write("workers", Change.CHANGED, Program(self.KEPT, worker, group="workers"))
		write("old", Change.REMOVED)
		write("new", Change.ADDED, Program(self.NEW, worker, group="new"))

	def write_broken(self):
		self.configuration.fault = "it is broken"


class SupervisorCase(unittest.TestCase):
	"""supervisord.conf includes the bench's own file, as bench sets it up."""

	def setUp(self):
		self.bench = make_bench(short_folder(self))
		self.folder = short_folder(self)
		self.own = self.bench / "config/supervisor.conf"
		self.write_own(self.before())
		self.supervisord = ShownSupervisord(self.folder, f"[include]\nfiles = {self.bench}/config/*.conf\n")
		self.addCleanup(self.supervisord.stop)
		self.supervisord.start()
		self.processes = SupervisorProcesses(self.supervisord.address, str(self.bench))
		self.addCleanup(self.processes.close)
		eventually(lambda: all(it.pid for it in self.processes.list()), "all run")

	def write_own(self, text: str) -> None:
		self.own.write_text(text)

	def worker(self, name: str, **settings: object) -> str:
		command = f"{self.bench}/env/bin/bench worker --queue {name} waits"
		return program(name, command, **{"folder": self.bench / "sites", "startsecs": 0, **settings})

	def web(self) -> str:
		command = f"{self.bench}/env/bin/gunicorn frappe.app:application waits"
		web = program("gunicorn", command, folder=self.bench / "sites", startsecs=0)
		return f"{web}{group('web', 'gunicorn')}"

	def before(self) -> str:
		workers = f"{self.worker('short')}{self.worker('long')}{group('workers', 'short', 'long')}"
		return f"{self.web()}{workers}{self.worker('default')}{group('old', 'default')}"

	def compare_anew(self) -> NewConfiguration:
		return SupervisorProcesses(self.supervisord.address, str(self.bench)).configuration.compare()

	def told(self) -> dict[str, Change]:
		return {it.group: it.change for it in self.processes.configuration.compare().changes}


class TestSupervisorConfiguration(ConfigurationContract, SupervisorCase):
	def write(self):
		new = self.worker("short2").replace("[program:short2]", "[program:short2]\nprocess_name = short")
		workers = f"{self.worker('short', stopwaitsecs=77)}{group('workers', 'short')}"
		self.write_own(f"{self.web()}{workers}{new}{group('new', 'short2')}")

	def write_broken(self):
		self.write_own(f"{self.before()}[program:broken]\nautostart = true\n")

	def test_a_group_that_was_removed_and_not_added_is_added(self):
		self.write()
		change = self.change_of("workers")
		self.stop(self.KEPT, self.GONE)
		self.processes.supervisor.removeProcessGroup("workers")
		for _ in range(2):  # and that may be repeated
			self.configuration.update(change)
			eventually(lambda: self.states().get(self.KEPT) is ProcessState.RUNNING, "it is there")
			self.stop(self.KEPT)


class TestFiles(SupervisorCase):
	def test_nothing_that_is_compared_changes_what_supervisord_remembers(self):
		server = connect(self.supervisord.address)
		before = server.supervisor.getAllConfigInfo()
		self.write_own(f"{self.before()}{self.worker('more')}")
		self.assertEqual(self.told(), {"more": Change.ADDED})
		self.assertEqual(server.supervisor.getAllConfigInfo(), before)

	def test_each_setting_that_supervisord_tells_is_compared(self):
		for setting in (
			{"stopwaitsecs": 5},
			{"killasgroup": "true"},
			{"autostart": "false"},
			{"directory": "/tmp"},
			{"stdout_logfile": f"{self.folder}/other.log"},
			{"priority": 3},
		):
			self.write_own(self.before().replace(self.worker("default"), self.worker("default", **setting)))
			self.assertEqual(self.told(), {"old": Change.CHANGED}, setting)

	def test_what_supervisord_does_not_tell_is_found_when_it_reads_its_files(self):
		for setting in (
			{"environment": "A=1"},
			{"autorestart": "true"},
			{"stopasgroup": "true", "killasgroup": "false"},
		):
			setting = {**setting, **({"killasgroup": "true"} if "stopasgroup" in setting else {})}
			self.write_own(self.before().replace(self.worker("default"), self.worker("default", **setting)))
			found = self.processes.configuration.read()
			self.assertEqual([it.group for it in found.changes], ["old"], setting)

	def test_a_group_with_a_program_that_is_not_this_benchs_is_not_ours(self):
		other = program("other", "/bin/sleep 1000", folder=make_bench(self.folder / "bench2") / "sites")
		redis = program("redis", f"/usr/bin/redis-server {self.bench}/config/redis_queue.conf")
		mixed = self.before().replace(group("old", "default"), group("old", "default", "other"))
		self.write_own(f"{mixed}{other}{redis}{program('alone', '/bin/sleep 1000')}")
		for look in (self.processes.configuration.compare, self.processes.configuration.read):
			ours = {it.group: it.is_ours for it in look().changes}
			self.assertEqual(ours, {"old": False, "redis": False, "alone": False})

	def test_a_variable_of_supervisords_is_known_to_whoever_may_see_it_and_else_told_nothing_of(self):
		name = "FMX_OF_NOBODY"
		self.write_own(self.before() + self.worker("more", stopwaitsecs=f"%(ENV_{name})s"))
		(fault,) = self.processes.configuration.compare().faults
		self.assertIn(name, fault)
		self.write_own(self.before().replace("--queue default", "--queue %(ENV_PATH)s"))
		self.assertEqual(self.told(), {"old": Change.CHANGED})
		if os.geteuid() == 0:
			self.supervisord.socket.chmod(0o777)
			self.assertEqual(as_ordinary_user(self.compare_anew), NewConfiguration())

	def test_a_group_that_is_called_all_is_never_in_a_command_to_type(self):
		self.write_own(
			self.before() + self.worker("all").replace(str(self.bench), str(self.folder / "other"))
		)
		self.assertEqual(self.told(), {"all": Change.ADDED})
		command = self.processes.configuration.update_command
		self.assertEqual((command(["all"]), command(["-c", "all"])), ("", ""))
		self.assertTrue(command(["all", "old"]).endswith(" update old"))

	def test_a_value_of_a_file_that_supervisord_refuses_is_never_shown(self):
		for wrong in (
			"environment = SECRET=s3cret%%,OTHER\n",
			"secret s3cret [line  9] s3cret\n",
			"directory = /srv/s3cret' in section 'x' (file: %(nothing)s\n",
		):
			self.write_own(f"{self.before()}[program:other]\ncommand = /bin/cat\n{wrong}")
			(fault,) = self.processes.configuration.compare().faults
			with self.assertRaises(ProcessFault) as caught:
				self.processes.configuration.read()
			shown = "".join(traceback.format_exception(caught.exception))
			for text in (fault, shown):
				self.assertIn(str(self.own) if "secret s" in wrong else "other", text)
				self.assertNotIn("s3cret", text)
				self.assertNotIn("ENV_PATH", text)

	def test_a_file_that_would_keep_its_reader_for_ever_is_refused_at_once(self):
		signal.signal(signal.SIGALRM, signal.default_int_handler)
		self.addCleanup(signal.alarm, 0)
		many = "[program:100000000]\ncommand = /bin/cat\nprocess_name = %(process_num)s\nnumprocs = %(program_name)s\n"
		wide = "[program:x]\ncommand = /bin/cat %(program_name)0999999999s\n"
		for text, told in ((many, "more than 1000 processes"), (wide, "thousands of characters")):
			self.write_own(self.before() + text)
			signal.alarm(20)
			self.assertIn(told, self.processes.configuration.compare().faults[0])
		self.own.unlink()
		os.mkfifo(self.own)
		signal.alarm(20)
		self.assertIn(f"{self.own} cannot be read", self.processes.configuration.compare().faults[0])
		self.assertEqual(list(written_settings(self.own)), [])

	def test_no_module_that_a_file_names_is_imported(self):
		(self.bench / "evil_module.py").write_text(f"open('{self.folder}/was-here', 'w')")
		listener = program("x", "/bin/cat", events="TICK_5", result_handler="evil_module:handler")
		text = self.before() + listener.replace("[program:x]", "[eventlistener:x]")
		self.write_own(f"{text}[rpcinterface:evil]\nsupervisor.rpcinterface_factory = evil_module:make\n")
		os.chdir(self.bench)
		self.addCleanup(os.chdir, "/")
		self.assertEqual(self.told(), {"x": Change.ADDED})
		self.assertFalse(Path(self.folder, "was-here").exists())

	@unittest.skipIf(os.geteuid(), "only root can close a file to another user")
	def test_files_that_are_closed_to_this_user_hide_no_group_and_take_none_away(self):
		self.supervisord.socket.chmod(0o777)
		closed = self.bench / "config/closed.conf"
		closed.write_text(self.worker("hidden"))
		self.processes.configuration.update(self.processes.configuration.read().changes[0])
		closed.chmod(0o600)
		compare = self.compare_anew
		self.assertEqual(as_ordinary_user(compare), NewConfiguration())
		self.write_own(self.before().replace(self.worker("default"), self.worker("default", stopwaitsecs=5)))
		self.assertEqual([it.group for it in as_ordinary_user(compare).changes], ["old"])
		self.supervisord.config.chmod(0o600)
		self.assertEqual(as_ordinary_user(compare), NewConfiguration())


class TestRestart(ManagersCase):
	"""Through two supervisords, of which one has files that nobody but itself can find."""

	def setUp(self):
		super().setUp()
		self.near, self.locked = self.run_near(ShownSupervisord), self.run_locked()
		self.registered(2)
		login = {"user": "bench", "password": PASSWORD}
		self.entries = (self.entry(self.near, "near"), self.entry(self.locked, "locked", **login))
		self.near.config.write_text(
			self.near.config.read_text().replace(
				"[program:short]",
				"[program:short]\nnumprocs = 2\nprocess_name = %(program_name)s-%(process_num)d",
			)
		)
		other = program("other", "/bin/sleep 1000", autostart="false")
		more = self.worker("long").replace("[program:long]", "[program:more]")
		self.locked.config.write_text(f"{self.locked.config.read_text()}{other}{more}")

	def run_with(self, strategy: Strategy, **options: bool) -> Report:
		options = Options(strategy, web=False, **{"update_config": True, **options})
		managers = self.managers(*self.entries)
		return self.operation(managers, options).run()

	def names(self) -> set[str]:
		return {process.name for process in self.managers(*self.entries).list()}

	def test_a_restart_under_load_takes_over_the_groups_of_this_bench_and_no_job_is_lost(self):
		with Load(lambda id, queue: self.rq.enqueue(id, queue, kwargs={"counts": True})) as load:
			eventually(lambda: len(load.ids) > 2, "jobs come")
			report = self.run_with(Strategy.WAIT_WORKERS)
			self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		results = {it.group: (it.change, it.result) for it in report.configuration}
		self.assertEqual(
			results,
			{
				"near/short": (Change.CHANGED, UpdateResult.UPDATED),
				"locked/more": (Change.ADDED, UpdateResult.UPDATED),
				"locked/other": (Change.ADDED, UpdateResult.LEFT),
			},
		)
		self.assertEqual(
			self.names(), {"near/short:short-0", "near/short:short-1", "locked/long", "locked/more"}
		)
		new = {it.name for it in report.processes if it.new_pid}
		self.assertEqual(new, self.names())
		ids = list(load.ids)
		eventually(lambda: all(self.rq.connection.mget([runs_key(id) for id in ids])), "each job has run")
		self.assertEqual(set(self.rq.connection.mget([runs_key(id) for id in ids])), {b"1"})

	def test_the_other_strategies_that_stop_programs_do_so_too_and_without_the_option_nothing_is_read(self):
		self.assertEqual(self.run_with(Strategy.WAIT_WORKERS, update_config=False).outcome, Phase.DONE)
		(told,) = [fact for fact in self.facts if isinstance(fact, events.ConfigurationChanged)]
		self.assertEqual([it.group for it in told.plan.changes], ["near/short"])
		self.assertEqual(self.names(), {"near/short", "locked/long"})
		self.assertEqual(self.run_with(Strategy.FAST).outcome, Phase.DONE)
		self.assertEqual(len(self.names()), 4)
		self.locked.config.write_text(
			self.locked.config.read_text().replace("[program:more]", "[program:last]")
		)
		self.assertEqual(self.run_with(Strategy.SUSPEND_RQ).outcome, Phase.DONE)
		self.assertIn("locked/last", self.names())
		self.assertNotIn("locked/more", self.names())
