"""
What runs inside a nested machine with a dockerd: the contract of process managers, and whose a container is. test_docker.py
begins it there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from itertools import count
from pathlib import Path
from typing import ClassVar

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.discovery import known_managers
from fmx_restart.adapters.managers.docker.containers import ONE_OFF
from fmx_restart.adapters.managers.docker.dockerd import Dockerd
from fmx_restart.adapters.managers.docker.kind import KIND
from fmx_restart.adapters.managers.docker.processes import DockerProcesses
from fmx_restart.doctor.bench_view import BenchAccess, BenchView
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.containers import URL, Containers
from fmx_restart.tests.adapters.processes_contract import KillContract, ProcessesContract
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually

#: The kernel ignores a TERM to a first process that has no handler, so each of these has one
COMMANDS = {
	"backend": "gunicorn frappe.app:application slow",
	"slow": "bench worker --queue long slow",
	"stubborn": "bench worker-pool refuses",
	"crashing": "bench schedule crashes",
}
#: Where frappe_docker's image has its bench
INSIDE = "/home/frappe/frappe-bench"
QUEUES = {"queue-long": "queue-long", "queue-long-2": "queue-long"}


class DockerCase(unittest.TestCase):
	"""Each test has a bench and containers of its own, so that none reads what another one has written."""

	numbers = count(1)

	def setUp(self) -> None:
		super().setUp()
		self.clock = SystemClock()
		self.bench = make_bench(short_folder(self) / "bench")
		self.project = f"erp{next(self.numbers)}"
		self.containers = Containers(self.bench.parent)
		self.addCleanup(self.containers.remove)

	def create(self, service: str, command: str, bench: Path | None = None, **settings: object) -> str:
		program, *words = command.split()
		bench = bench or self.bench
		settings = {"project": self.project, **settings}
		return self.containers.create(service, [f"{bench}/env/bin/{program}", *words], bench, **settings)

	def processes_of(self, project: str, *, is_named: bool = False) -> DockerProcesses:
		return DockerProcesses(Dockerd(URL), str(self.bench), project, source="a test", is_named=is_named)


class TestContract(KillContract, ProcessesContract, DockerCase):
	WEB, SLOW, STUBBORN, CRASHING = COMMANDS
	KINDS: ClassVar = {
		"backend": ProcessKind.WEB,
		"slow": ProcessKind.WORKER,
		"stubborn": ProcessKind.WORKER,
		"crashing": ProcessKind.SCHEDULER,
	}
	NOBODY = "nobody"
	CRASHED = "it ended with exit code 1"

	def setUp(self) -> None:
		super().setUp()
		self.ids = {service: self.create(service, command) for service, command in COMMANDS.items()}
		self.containers.start(*(self.ids[name] for name in (self.WEB, self.SLOW, self.STUBBORN)))
		self.processes = self.processes_of(self.project)

	def group_of(self, name: str) -> str:
		return name

	def log_of(self, name: str) -> str:
		return self.containers.log(self.ids[name])

	def end_from_outside(self, name: str) -> None:
		self.containers.kill(self.ids[name])


class TestWhose(DockerCase):
	"""Containers as frappe_docker has them: in each the bench lies at one path, and only the sites folder tells whose it is."""

	def create_as_frappe_docker(self, service: str, command: str, sites: Path, **settings: object) -> str:
		program, *words = command.split()
		binds = [f"{sites}:{INSIDE}/sites", f"{self.bench}/env:{INSIDE}/env:ro"]
		settings = {"project": self.project, "binds": [*binds, *settings.pop("binds", [])], **settings}
		words = [f"{INSIDE}/env/bin/{program}", *words]
		return self.containers.create(service, words, Path(INSIDE), **settings)

	def programs_of(self, project: str, **about: bool) -> dict[str, str]:
		return {it.name: it.group for it in self.processes_of(project, **about).list()}

	def setUp(self) -> None:
		super().setUp()
		self.create_as_frappe_docker("backend", COMMANDS["backend"], self.bench / "sites")
		for number in (1, 2):
			self.create_as_frappe_docker("queue-long", COMMANDS["slow"], self.bench / "sites", number=number)

	def test_it_is_found_by_the_sites_folder_that_its_containers_have(self):
		(found,) = KIND.find(str(self.bench), {}, ()).found
		self.assertEqual((found.name, found.is_named), (self.project, False))
		programs = {it.name: it.group for it in found.processes.list()}
		self.assertEqual(programs, {"backend": "backend", **QUEUES})
		(manager,), _ = known_managers(str(self.bench), {})
		self.assertEqual((manager.name, manager.kind, manager.fault), ("this machine", "docker", ""))
		self.assertEqual(manager.url, URL)
		self.assertEqual(
			found.processes.start_command(["backend", "queue-long"]),
			f"docker compose -p {self.project} start backend queue-long",
		)
		self.assertEqual(
			found.processes.start_command(["queue-long-2"]), f"docker start {self.project}-queue-long-2"
		)

	def test_a_neighbours_containers_with_the_same_commands_and_paths_are_never_ours(self):
		neighbour, shared = f"{self.project}-neighbour", f"{self.project}-shared"
		other = make_bench(short_folder(self) / "bench")
		self.containers.see(other.parent)
		for service in ("backend", "queue-long"):
			self.create_as_frappe_docker(service, COMMANDS["slow"], other / "sites", project=neighbour)
		self.assertEqual([it.name for it in KIND.find(str(self.bench), {}, ()).found], [self.project])
		# nor when somebody names their project, or has both benches in one
		self.assertEqual(self.programs_of(neighbour, is_named=True), {})
		self.create_as_frappe_docker("ours", COMMANDS["slow"], self.bench / "sites", project=shared)
		self.create_as_frappe_docker("theirs", COMMANDS["slow"], other / "sites", project=shared)
		self.create_without_sites("nobodys", project=shared)
		self.assertEqual(self.programs_of(shared, is_named=True), {"ours": "ours"})

	def create_without_sites(self, service: str, **settings: object) -> str:
		words = [f"{INSIDE}/env/bin/bench", "worker", "slow"]
		return self.containers.create(service, words, Path(INSIDE), **{"project": self.project, **settings})

	def test_what_has_no_sites_folder_goes_with_its_project_and_one_command_of_a_person_with_nobody(self):
		self.create_without_sites("queue-short")
		self.create_without_sites("lonely", project=f"{self.project}-other")
		self.create_as_frappe_docker(
			"console", COMMANDS["slow"], self.bench / "sites", labels={ONE_OFF: "True"}
		)
		expected = {"backend": "backend", "queue-short": "queue-short", **QUEUES}
		self.assertEqual(self.programs_of(self.project), expected)
		self.assertEqual(self.programs_of(f"{self.project}-other"), {})
		self.assertEqual(self.programs_of(f"{self.project}-other", is_named=True), {"lonely": "lonely"})

	def test_a_script_that_becomes_gunicorn_is_web_and_what_only_has_the_sites_is_left_alone(self):
		script = self.bench / "env/bin/start.sh"
		script.write_text(f"#!/bin/sh\nexec {INSIDE}/env/bin/gunicorn frappe.app:application slow\n")
		script.chmod(0o755)
		web = self.create_as_frappe_docker("web", "start.sh", self.bench / "sites")
		proxy = self.create_as_frappe_docker("frontend", "bench slow", self.bench / "sites")
		self.create_as_frappe_docker("configurator", "bench crashes", self.bench / "sites")  # it has ended
		self.containers.start(web, proxy)
		processes = self.processes_of(self.project)
		eventually(lambda: "ready" in self.containers.log(web), "it runs")
		# Given a worker that somebody has begun in the other one by hand
		client = self.containers.client
		command = [f"{INSIDE}/env/bin/bench", "worker", "slow"]
		client.exec_start(client.exec_create(proxy, command)["Id"], detach=True)
		eventually(lambda: len(processes.dockerd.processes(proxy)) == 2, "it runs, too")
		kinds = {it.name: it.kind for it in processes.list() if it.group not in {"backend", "queue-long"}}
		told = processes.dockerd.processes(web)
		self.assertEqual(kinds, {"web": ProcessKind.WEB, "frontend": ProcessKind.OTHER}, told)
		stays = {it.name: it.stays for it in processes.list() if it.stays}
		self.assertEqual(list(stays), ["frontend"])
		self.assertIn(f"docker compose -p {self.project} restart frontend", stays["frontend"].remedies[0])
		# and it is still web when it is down
		self.assertEqual(processes.order(stop=["web"]), {})
		eventually(lambda: self.state_of(processes, "web") is ProcessState.STOPPED, "it is down")

	def test_the_doctor_names_workers_that_docker_kills_before_their_jobs_can_end(self):
		self.create_as_frappe_docker("patient", COMMANDS["slow"], self.bench / "sites", stop_timeout=1560)
		processes = self.processes_of(self.project)
		ways = {
			**dict.fromkeys(BenchAccess.__dataclass_fields__),
			"processes": lambda: processes,
			"config": dict,
		}
		found = run_checks(BenchView(str(self.bench), "bench", BenchAccess(**ways)), ["stop-grace"]).findings
		told = {(it.severity.value, it.subject) for it in found}
		self.assertEqual(told, {("error", "queue-long")})  # one service, two replicas
		self.assertIn(
			"Docker kills it 10 s after the order to stop, but its jobs may run for 25 min", found[0].text
		)
		self.assertIn("'stop_grace_period: 1560s'", found[0].remedy)

	def state_of(self, processes: DockerProcesses, name: str) -> ProcessState:
		return next(it.state for it in processes.list() if it.name == name)

	def test_from_a_container_with_the_socket_the_same_is_found_and_its_own_is_not_restarted(self):
		code = (
			"from fmx_restart.adapters.managers.docker.kind import KIND\n"
			"from fmx_restart.engine.errors import ProcessFault\n"
			f"(found,) = KIND.find({INSIDE!r}, {{}}, ()).found\n"
			"print(sorted(it.name for it in found.processes.list()), len(found.processes.settings().pids))\n"
			"for names in (['queue-long'], ['queue-long', 'inside']):\n"
			"\ttry:\n\t\tprint(found.processes.check_orders(names))\n"
			"\texcept ProcessFault as fault:\n\t\tprint(fault, fault.hint)\n"
		)
		(self.bench / "env/bin/inside").write_text(code)
		words = [sys.executable, f"{INSIDE}/env/bin/inside", f"{INSIDE}/env/bin/bench", "worker"]
		binds = [
			f"{self.bench}/sites:{INSIDE}/sites",
			f"{self.bench}/env:{INSIDE}/env:ro",
			"/run/docker.sock:/var/run/docker.sock",
		]
		paths = os.pathsep.join([str(CHECKOUT), *sys.path])
		environment = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
		settings = {"project": self.project, "binds": binds, "environment": environment}
		id = self.containers.create("inside", words, Path(INSIDE), **settings)
		self.containers.start(id)
		self.assertEqual(self.containers.client.wait(id)["StatusCode"], 0, self.containers.log(id))
		first, second, third = self.containers.log(id).splitlines()
		self.assertEqual(first, "['backend', 'inside', 'queue-long', 'queue-long-2'] 0")
		self.assertEqual(second, "None")
		self.assertIn("inside cannot be restarted from its own container", third)
		self.assertIn(f"docker compose -p {self.project} run --rm queue-long bench safe-restart", third)


class TestRefusals(DockerCase):
	def test_someone_who_may_not_use_the_socket_is_told_what_to_type(self):
		told = self.output_as_nobody(
			"from fmx_restart.adapters.managers.discovery import find_managers\n"
			"from fmx_restart.engine.errors import OperationError\n"
			"config = {'fmx_restart_managers': [{'kind': 'docker', 'project': 'erp'}]}\n"
			"try:\n\tfind_managers(sys.argv[1], config)['erp'].list()\n"
			"except OperationError as error:\n\tprint(error, '|', error.hint)\n"
			"try:\n\tfind_managers(sys.argv[1], {})\n"
			"except OperationError as error:\n\tprint(error.exit_code, error.hint)"
		)
		named, found = told.splitlines()
		self.assertIn("user nobody may not use Docker's socket /var/run/docker.sock |", named)
		self.assertIn("sudo usermod -aG", named)
		self.assertTrue(found.startswith("7 "), found)
		self.assertIn("Docker's socket is here, and not used: user nobody may not use", found)

	def test_without_the_client_library_the_line_to_type_is_told(self):
		told = self.output_as_nobody(
			"sys.modules['docker'] = None\n"
			"from fmx_restart.adapters.managers.discovery import find_managers\n"
			"from fmx_restart.engine.errors import OperationError\n"
			"config = {'fmx_restart_managers': [{'kind': 'docker', 'project': 'erp'}]}\n"
			"try:\n\tfind_managers(sys.argv[1], config)\n"
			"except OperationError as error:\n\tprint(error.exit_code, error, '|', error.hint)"
		)
		self.assertTrue(told.startswith("7 Docker's client for Python cannot be imported"), told)
		self.assertIn("env/bin/python -m pip install 'docker>=7.1'", told)

	def output_as_nobody(self, code: str) -> str:
		as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
		command = [*as_nobody, sys.executable, "-c", f"import sys\n{code}", str(self.bench)]
		return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
