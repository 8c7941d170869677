"""Discovery against real supervisords, and against everything that can be in the way."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fmx_restart.adapters.managers.supervisor.connection import Address, candidates
from fmx_restart.adapters.managers.supervisor.discovery import find_supervisor
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.tests.adapters.benches import (
	Supervisord,
	free_port,
	make_bench,
	program,
	refusing_port,
	short_folder,
)

PASSWORD = "s3cret"


@contextmanager
def as_nobody() -> Iterator[None]:
	"""Root may open every socket; as someone else we are refused like any bench user."""
	if os.geteuid() != 0:
		yield
		return
	os.seteuid(pwd.getpwnam("nobody").pw_uid)
	try:
		yield
	finally:
		os.seteuid(0)


class DiscoveryCase(unittest.TestCase):
	def setUp(self):
		self.home = short_folder(self)
		self.bench = make_bench(self.home / "bench")

	def run_supervisord(self, folder: Path, bench: Path, *, server: str = "", address=None) -> Supervisord:
		"""One in `folder` that runs a worker of `bench`."""
		folder.mkdir(exist_ok=True)
		worker = program("w", f"{bench}/env/bin/bench worker waits", folder=bench / "sites")
		supervisord = Supervisord(folder, worker, server=server, url=address.url if address else "")
		self.addCleanup(supervisord.stop)
		supervisord.start(address)
		return supervisord

	def find(self, *files: Path, url: str | None = None, **environ: str) -> SupervisorProcesses:
		found = find_supervisor(
			str(self.bench), url=url, environ=environ, files=[str(file) for file in files], timeout=2
		)
		self.addCleanup(found.close)
		return found

	def refusal(self, *files: Path, url: str | None = None, **environ: str) -> WrongEnvironment:
		with self.assertRaises(WrongEnvironment) as caught:
			self.find(*files, url=url, **environ)
		error = caught.exception
		self.assertNotIn(PASSWORD, f"{error} {error.hint}")
		self.assertTrue(error.hint)
		return error

	def write_config(self, text: str) -> Path:
		config = self.home / "supervisord.conf"
		config.write_text(text)
		return config


class TestWhereSupervisordIsFound(DiscoveryCase):
	def test_by_the_url_that_was_set_for_it(self):
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		self.assertEqual([it.name for it in self.find(url=supervisord.url).list()], ["w"])

	def test_by_the_variable_that_supervisord_gives_its_children(self):
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		self.assertEqual(self.find(SUPERVISOR_SERVER_URL=supervisord.url).address.url, supervisord.url)

	def test_by_the_server_section_of_a_config_file(self):
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		self.assertEqual(self.find(supervisord.config).address.source, str(supervisord.config))

	def test_by_the_config_file_in_the_benchs_own_folders(self):
		supervisord = self.run_supervisord(self.bench / "config/supervisor", self.bench)
		found = find_supervisor(str(self.bench), environ={})
		self.addCleanup(found.close)
		self.assertEqual(found.address.source, str(supervisord.config))

	def test_by_the_supervisorctl_section_with_its_expansions_and_comments(self):
		self.run_supervisord(self.home / "s", self.bench)
		config = self.write_config(
			"[supervisorctl]\nserverurl = unix://%(here)s/%(ENV_FOLDER)s/supervisor.sock ; our own\n"
		)
		self.assertEqual(len(self.find(config, FOLDER="s").list()), 1)

	def test_a_url_that_does_not_answer_is_no_reason_to_miss_the_next_place(self):
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		found = self.find(supervisord.config, url=f"unix://{self.home}/gone.sock")
		self.assertEqual(found.address.url, supervisord.url)

	def test_a_supervisord_of_another_bench_is_passed_over(self):
		# Given one supervisord for another bench, and then one for ours
		other = make_bench(self.home / "bench2")
		theirs = self.run_supervisord(self.home / "t", other)
		ours = self.run_supervisord(self.home / "s", self.bench)
		self.assertEqual(self.find(theirs.config, ours.config).address.url, ours.url)


class TestWhatItsOwnProcessesName(DiscoveryCase):
	"""When nothing else names a supervisord that runs this bench."""

	def test_a_supervisord_at_an_address_that_nobody_wrote_down(self):
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		self.assertEqual(self.find().address.url, supervisord.url)
		# And one that is named, and is not there, does not keep us from it
		gone = self.write_config(f"[unix_http_server]\nfile = {self.home}/gone.sock\n")
		self.assertEqual(self.find(gone).address.url, supervisord.url)

	def test_the_login_comes_from_a_config_file_and_not_from_the_environment(self):
		port = free_port()
		text = f"[inet_http_server]\nport = 127.0.0.1:{port}\nusername = anna\npassword = {PASSWORD}\n"
		address = Address(f"http://127.0.0.1:{port}", "anna", PASSWORD)
		self.run_supervisord(self.home / "s", self.bench, server=text, address=address)
		self.assertIn("without a password", str(self.refusal()))

	def test_what_another_benchs_processes_name_is_not_asked(self):
		other = make_bench(self.home / "other")
		self.run_supervisord(self.home / "s", other)
		self.assertIn("no config file names one", str(self.refusal()))

	def test_what_another_users_processes_name_is_not_asked(self):
		self.run_supervisord(self.home / "s", self.bench)
		if os.geteuid() != 0:
			self.skipTest("only root can look as someone else")
		with as_nobody():
			self.assertIn("no config file names one", str(self.refusal()))

	def start_by_hand(self, url: str) -> None:
		"""A worker of this bench, in whose environment someone has put that."""
		process = subprocess.Popen(
			[self.bench / "env/bin/bench", "worker", "waits"],
			cwd=self.bench / "sites",
			env={**os.environ, "SUPERVISOR_SERVER_URL": url},
			stdout=subprocess.PIPE,
		)
		self.addCleanup(process.communicate)
		self.addCleanup(process.kill)
		process.stdout.readline()

	def test_a_supervisord_that_started_none_of_them_is_not_theirs(self):
		# Given one that has a program of this bench, which does not run, and a worker that someone else started
		folder = self.home / "s"
		folder.mkdir()
		text = program("w", f"{self.bench}/env/bin/bench worker waits", folder=self.bench, autostart="false")
		supervisord = Supervisord(folder, text)
		self.addCleanup(supervisord.stop)
		supervisord.start()
		self.start_by_hand(supervisord.url)
		self.assertIn("no config file names one", str(self.refusal()))
		# But whoever names it knows better
		self.assertEqual(len(self.find(url=supervisord.url).list()), 1)

	def test_an_environment_that_names_nothing_usable_is_no_obstacle(self):
		self.start_by_hand(f"http://anna:{PASSWORD}@[::1")
		self.start_by_hand("unix://" + "x" * 300)
		self.assertIn("bench set-config -g fmx_restart_supervisor_url", self.refusal().hint)
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		self.assertEqual(self.find().address.url, supervisord.url)


class TestLogin(DiscoveryCase):
	def setUp(self):
		super().setUp()
		port = free_port()
		self.url = f"http://127.0.0.1:{port}"
		section = f"[inet_http_server]\nport = *:{port}\nusername = frappe\npassword = {PASSWORD}\n"
		self.config = self.write_config(section)
		[self.address] = candidates(None, {}, [str(self.config)])
		self.run_supervisord(self.home / "s", self.bench, server=section, address=self.address)

	def test_user_and_password_come_from_the_config_file(self):
		self.assertEqual(len(self.find(self.config).list()), 1)

	def test_they_serve_for_an_address_that_came_without_them(self):
		self.assertEqual(len(self.find(self.config, SUPERVISOR_SERVER_URL=self.url).list()), 1)

	def test_they_may_stand_in_the_url_that_was_set(self):
		found = self.find(url=self.url.replace("//", f"//frappe:{PASSWORD}@"))
		self.assertEqual(len(found.list()), 1)
		self.assertNotIn(PASSWORD, repr(found.address))

	def test_a_percent_sign_in_a_password_is_written_twice(self):
		config = self.write_config("[inet_http_server]\nport = 9001\nusername = x\npassword = 50%%off\n")
		[address] = candidates(None, {}, [str(config)])
		self.assertEqual(address.password, "50%off")

	def test_a_wrong_password_is_told_with_the_file_it_came_from(self):
		self.config.write_text(self.config.read_text().replace(PASSWORD, "wrong-guess"))
		error = self.refusal(self.config)
		self.assertIn("user frappe", str(error))
		self.assertIn(str(self.config), str(error))
		self.assertIn("[supervisorctl]", error.hint)
		self.assertNotIn("wrong-guess", f"{error} {error.hint}")

	def test_a_missing_login_is_told(self):
		error = self.refusal(SUPERVISOR_SERVER_URL=self.url)
		self.assertIn("refuses a request without a password", str(error))


class TestWhatIsInTheWay(DiscoveryCase):
	def test_nothing_names_a_supervisord(self):
		error = self.refusal(self.home / "missing.conf")
		self.assertIn("no supervisord was found", str(error))
		self.assertIn("fmx_restart_supervisor_url", error.hint)

	def test_the_socket_is_missing(self):
		config = self.write_config(f"[unix_http_server]\nfile = {self.home}/supervisor.sock\n")
		error = self.refusal(config)
		self.assertIn(f"{self.home}/supervisor.sock does not exist", str(error))
		self.assertIn("systemctl start supervisor", error.hint)

	def test_the_socket_is_left_over_from_a_supervisord_that_died(self):
		path = self.home / "supervisor.sock"
		with socket.socket(socket.AF_UNIX) as server:
			server.bind(str(path))
		self.assertIn("refuses connections", str(self.refusal(url=f"unix://{path}")))

	def test_nobody_listens_on_the_port(self):
		self.assertIn("refuses connections", str(self.refusal(url=f"http://127.0.0.1:{refusing_port(self)}")))

	def test_the_socket_is_closed_to_this_user(self):
		# Given supervisor's default: the socket is its owner's alone
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		supervisord.socket.chmod(0o700 if os.geteuid() == 0 else 0)
		# When another user asks
		with as_nobody():
			user = pwd.getpwuid(os.geteuid()).pw_name
			error = self.refusal(supervisord.config)
		# Then file, owner and the lines to write are named
		self.assertIn(f"user {user} may not use supervisord's socket {supervisord.socket}", str(error))
		self.assertIn("owner ", str(error))
		self.assertIn(f"chown={user}:{user} in [unix_http_server] of {supervisord.config}", error.hint)

	def test_the_folder_of_the_socket_is_closed_to_this_user(self):
		supervisord = self.run_supervisord(self.home / "s", self.bench)
		self.addCleanup(supervisord.folder.chmod, 0o755)
		supervisord.folder.chmod(0o700 if os.geteuid() == 0 else 0)
		with as_nobody():
			error = self.refusal(url=supervisord.url)
		self.assertIn("a folder above it is closed", str(error))

	def test_the_config_file_is_closed_to_this_user(self):
		config = self.write_config("[unix_http_server]\nfile = /nowhere\n")
		config.chmod(0o600 if os.geteuid() == 0 else 0)
		with as_nobody():
			error = self.refusal(config)
		self.assertIn(f"{config} cannot be read", str(error))

	def test_supervisord_runs_other_programs_only(self):
		other = make_bench(self.home / "bench2")
		supervisord = self.run_supervisord(self.home / "s", other)
		error = self.refusal(supervisord.config)
		self.assertIn("runs no program of this bench", str(error))
		self.assertIn("bench setup supervisor", error.hint)

	def test_it_hangs(self):
		with socket.create_server(("127.0.0.1", 0)) as server:
			error = self.refusal(url=f"http://127.0.0.1:{server.getsockname()[1]}")
		self.assertIn("does not answer", str(error))

	def test_the_setting_is_no_address(self):
		for url in ("/run/supervisor.sock", f"https://frappe:{PASSWORD}@localhost", f"http://x:{PASSWORD}"):
			with self.subTest(url):
				self.assertIn("is not an address", str(self.refusal(url=url)))

	def test_the_config_file_cannot_be_understood(self):
		for text in (
			"no section at all",
			f"[inet_http_server]\nport = 9001\nusername = x\npassword = %({PASSWORD})s\n",
			"[unix_http_server]\nfile = %(ENV_NOT_SET)s/supervisor.sock\n",
		):
			with self.subTest(text):
				error = self.refusal(self.write_config(text))
				self.assertIn("cannot be read", str(error))

	def test_the_likeliest_cause_comes_first_and_the_others_are_named_too(self):
		# Given a socket that is gone, and a supervisord that runs other programs
		other = make_bench(self.home / "bench2")
		supervisord = self.run_supervisord(self.home / "s", other)
		error = self.refusal(supervisord.config, url=f"unix://{self.home}/gone.sock")
		self.assertIn("runs no program of this bench", str(error))
		self.assertIn("gone.sock does not exist", error.hint)
