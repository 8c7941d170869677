"""Arbitrary text where the kernel, systemd, supervisor's files and command lines have text: no reader raises."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_restart.adapters import machine, process_table
from fmx_restart.adapters.bench import STANDARD, BenchFolder, served_queues
from fmx_restart.adapters.bench_processes import role_of
from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.adapters.managers.supervisor import configuration, connection
from fmx_restart.adapters.managers.supervisor.configuration import ProgramSettings
from fmx_restart.adapters.managers.systemd import scope
from fmx_restart.adapters.managers.systemd import units as systemd
from fmx_restart.adapters.managers.systemd.systemctl import parse
from fmx_restart.adapters.process_kinds import Trace, kind_of
from fmx_restart.adapters.web import addresses
from fmx_restart.adapters.web.addresses import Endpoint, parse_bind, unix_listeners
from fmx_restart.doctor.checks import supervisor
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.tests.repetitions import repetitions

TEXT = st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode(errors="surrogateescape"))
#: Pieces of what the readers look for, so that they get further than the first look
PIECES = st.lists(
	st.sampled_from(
		[
			*(
				"0::/",
				"1:name=systemd:",
				":",
				"\n",
				"/a.service",
				"/session-1.scope",
				"/user@1.service/",
				"SigCgt:\t",
			),
			*(
				"[supervisorctl]\n",
				"[unix_http_server]\n",
				"[program:x]\n",
				"[include]\n",
				"files=*\n",
				"serverurl=",
			),
			*(
				"file=",
				"port=",
				"%(here)s",
				"%(ENV_X)s",
				"%(",
				"%",
				"numprocs=",
				"process_name=",
				"%(process_num)02d",
			),
			*(
				"1min ",
				"5.5s",
				"infinity",
				"Id=x\n",
				"MainPID=",
				"NRestarts=",
				"ExecStart={ argv[]=a b ; }",
				"6,1,2,-;",
			),
			*(
				"Out of memory: Killed process 5 (x) total-vm",
				"--bind",
				"-b",
				"unix:",
				"[",
				"]",
				":",
				"8000",
				"http://",
			),
			*(
				"--queue=",
				"--queue",
				"--graceful-timeout=",
				"gunicorn",
				"bench",
				"worker",
				"\udcff",
				"\u00b2",
				"\x85",
			),
		]
	)
	| TEXT,
	max_size=12,
).map("".join)
WORDS = st.lists(PIECES, max_size=6)
often = settings(max_examples=repetitions("odd texts", 25, long=1000), deadline=None)


class TestAnyText(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory(prefix="fmx-text-")
		self.addCleanup(folder.cleanup)
		self.file = Path(folder.name) / "file"

	def write(self, text: str) -> Path:
		self.file.write_bytes(text.encode(errors="surrogatepass"))
		return self.file

	@often
	@given(PIECES)
	def test_files_of_the_kernel(self, text):
		file = self.write(text)
		systemd.unit_of(file)
		scope.login_of(file)
		machine.folders(Path("/sys/fs/cgroup"), file)
		machine.cgroup_number(file.parent, ("file",))
		process_table.bits(text, 15)
		list(machine.records_in(text.splitlines(), 0.0))
		list(machine.journal_records(text.splitlines()))
		machine.kill_in((0.0, text))

	@often
	@given(PIECES)
	def test_answers_of_systemd(self, text):
		for answer in parse(text):
			systemd.unit_from(answer)
		systemd.seconds(text)

	@often
	@given(PIECES)
	def test_files_and_addresses_of_supervisor(self, text):
		file = self.write(text)
		list(connection.read_config(file, {"X": "x"}))
		configuration.written_settings(file)
		connection.parse_url(text, "a test")
		connection.parse_url(f"http://{text}", "a test")
		connection.parse_url(f"unix://{text}", "a test")

	@often
	@given(WORDS)
	def test_command_lines(self, words):
		words = split_words([word.replace("\0", "") for word in words])
		bench_command(words)
		role_of(words)
		kind_of(words)
		served_queues(words, STANDARD)
		list(addresses.binds(words))
		addresses.served_at(words)
		bench = BenchFolder("/tmp")
		for path in Trace(tuple(words), "/tmp").paths:
			bench.owns(path)

	@often
	@given(WORDS, st.integers() | st.none(), st.floats(allow_nan=False) | st.none())
	def test_rules_for_programs(self, words, number, seconds):
		for kind in ProcessKind:
			program = ProgramSettings("x", "x", kind, tuple(words), stop_signal=number, stop_seconds=seconds)
			for rule in supervisor.RULES.values():
				rule(program, STANDARD)

	@often
	@given(PIECES)
	def test_addresses_of_gunicorn(self, text):
		parse_bind(text)
		str(Endpoint(path=text))

	@often
	@given(st.lists(PIECES, max_size=5))
	def test_the_kernels_list_of_sockets(self, paths):
		"""Anybody on the machine may name a socket as they like, with a line's end in it."""
		real = "ffff: 00000002 00000000 00010000 0001 01 4711 /run/web.sock"
		lines = ["Num RefCount Protocol Flags Type St Inode Path"]
		lines += [f"ffff: 00000002 00000000 00010000 0001 01 5 {path}" for path in paths] + [real]
		folder = self.file.parent / "net"
		folder.mkdir(exist_ok=True)
		(folder / "unix").write_bytes("\n".join(lines).encode(errors="surrogatepass"))
		with mock.patch("fmx_restart.adapters.web.addresses.PROC", self.file.parent):
			found = {(at.endpoint.path, at.inode) for at in unix_listeners()}
		self.assertIn(("/run/web.sock", 4711), found)
