"""fmx_restart_managers: what is read, what is refused by entry and key, and that no password is ever told."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from fmx_restart.adapters.managers.setting import named_managers, readable_passwords
from fmx_restart.adapters.managers.supervisor.setting import SupervisorEntry
from fmx_restart.engine.errors import WrongEnvironment

SECRET = "hunter2"
URL = "http://app2:9001"
LOGIN = {"kind": "supervisor", "url": URL, "user": "bench"}
GOOD = {**LOGIN, "password": SECRET}
DOCKER = {"kind": "docker", "project": "erp"}
KUBERNETES = {"kind": "kubernetes", "namespace": "erp", "selector": "app.kubernetes.io/instance=erp"}

REFUSED = (
	# the whole setting
	({"kind": "supervisor"}, "is not a list"),
	("unix:///run/x.sock", "is not a list"),
	# the entry
	([URL], "entry 1 is not an object"),
	([{"url": URL}], "entry 1 has no kind"),
	([{"kind": "systemd", "scope": "root"}], "has a scope that is neither system nor user: 'root'"),
	([{"kind": "systemd", "url": URL}], "has an unknown key: 'url'; known are kind, scope, name"),
	([{"kind": "systemd"}, {"kind": "systemd", "name": "b"}], "entry 2 has the scope of another entry"),
	([{"kind": "docker"}], "entry 1 has no project: the name that docker compose ls shows"),
	([{"kind": "docker", "project": "ERP 1"}], "has a project with other characters than small letters"),
	([{"kind": "docker", "project": "erp", "url": "http://x:1"}], "neither unix:///path/to/docker.sock nor"),
	(
		[{"kind": "docker", "project": "erp", "url": f"tcp://a:{SECRET}@x:1"}],
		"neither unix:///path/to/docker",
	),
	([DOCKER, {**DOCKER, "name": "b"}], "entry 2 has the project of another entry"),
	([GOOD, {"kind": "kubernetes"}], "entry 2 has no namespace: kubectl get namespaces lists them"),
	([{"kind": "kubernetes", "namespace": "erp"}], "entry 1 has no selector: labels of the Deployments"),
	([{**KUBERNETES, "namespace": "../erp"}], "has a namespace that is none of Kubernetes': '../erp'"),
	([{**KUBERNETES, "selector": "a=b&watch=1"}], "has a selector that is none of Kubernetes'"),
	([{**KUBERNETES, "claim": "a/b"}], "has a claim that is no name of a PersistentVolumeClaim"),
	([{**KUBERNETES, "kubeconfig": "config"}], "has a kubeconfig that does not begin with /"),
	([{**KUBERNETES, "context": "-x"}], "has a context that is no name of one"),
	(
		[{**KUBERNETES, "project": "erp"}],
		"has an unknown key: 'project'; known are kind, namespace, selector",
	),
	([KUBERNETES, {**KUBERNETES, "name": "b"}], "entry 2 has the namespace and selector of another entry"),
	([{"kind": "upstart", "url": URL}], "is of an unknown kind: 'upstart'"),
	([{"kind": ["supervisor"], "url": URL}], "is of an unknown kind"),
	([{**LOGIN, "pasword": SECRET}], "has an unknown key: 'pasword'; known are kind, url, user"),
	([{"kind": "supervisor"}], "has no url"),
	([{"kind": "supervisor", "url": 9001}], "has a value of url that is not text"),
	([{"kind": "supervisor", "url": ""}], "has a value of url that is not text, is empty"),
	# the address
	(
		[{"kind": "supervisor", "url": "app2:9001"}],
		"neither unix:///path/to/supervisor.sock nor http://host:port",
	),
	([{"kind": "supervisor", "url": "https://app2:9001"}], "has a url that is neither"),
	([{"kind": "supervisor", "url": "unix://run/x.sock"}], "has a url that is neither"),
	([{"kind": "supervisor", "url": "http://app2:99999"}], "has a url that is neither"),
	([{"kind": "supervisor", "url": f"http://bench:12/{SECRET}@app2:9001"}], "has a url that is neither"),
	([{"kind": "supervisor", "url": f"http://bench:12#{SECRET}@app2:9001"}], "has a url that is neither"),
	([{"kind": "supervisor", "url": f"http://bench:{SECRET}/@app2:9001"}], "has a url that is neither"),
	# user and password
	([LOGIN], "has a user and no password: give one of password, password_file, password_env"),
	([{"kind": "supervisor", "url": URL, "password": SECRET}], "has a password and no user"),
	([{**GOOD, "user": "a:b"}], "a user with a colon"),
	([{**GOOD, "password_env": "X"}], "has more than one of password, password_file, password_env"),
	([{"kind": "supervisor", "url": "http://bench@app2:9001"}], "has a user and no password in its url"),
	([{"kind": "supervisor", "url": f"http://:{SECRET}@app2:9001"}], "has a password and no user"),
	([{**GOOD, "url": f"http://bench:{SECRET}@app2:9001"}], "both in its url and beside it"),
	([{**GOOD, "password": 5}], "has a value of password that is not text"),
	([{**LOGIN, "password_env": "FMX_NOT_SET"}], "environment variable 'FMX_NOT_SET', which is not set"),
	([{**LOGIN, "password_file": "relative"}], "has a password_file that does not begin with /"),
	([{**LOGIN, "password_file": "/nowhere/at/all"}], "cannot be read: '/nowhere/at/all': No such file"),
	([{**LOGIN, "password_file": "/dev/zero"}], "has a password_file that is no text file"),
	# names
	([{**GOOD, "name": "a/b"}], "has a name with other characters"),
	([{**GOOD, "name": "-s"}], "has a name with other characters"),
	([{**GOOD, "host": "a b"}], "has a host that is no name of a machine"),
	([GOOD, {**GOOD, "url": "http://app2:9002"}], "entry 2 has the name of another entry: app2"),
	([GOOD, {**GOOD, "name": "other"}], "entry 2 has the url of another entry"),
)


def read(*entries: dict, **environ: str) -> tuple[SupervisorEntry, ...]:
	return named_managers({"fmx_restart_managers": list(entries)}, environ)


class TestSetting(unittest.TestCase):
	def test_what_cannot_be_used_is_refused_by_entry_and_key_and_without_its_password(self):
		for value, told in REFUSED:
			with self.subTest(told=told), self.assertRaises(WrongEnvironment) as caught:
				named_managers({"fmx_restart_managers": value}, {})
			error = caught.exception
			text = f"{error} {error.hint}"
			self.assertIn(told, text)
			self.assertTrue(
				str(error).startswith("fmx_restart_managers in sites/common_site_config.json "), text
			)
			self.assertTrue(str(error).endswith(" Nothing was changed."), text)
			self.assertEqual((error.exit_code, SECRET in text), (7, False), text)

	def test_nothing_is_set(self):
		for config in ({}, {"fmx_restart_managers": None}, {"fmx_restart_managers": []}):
			self.assertEqual(named_managers(config, {}), ())

	def test_an_entry_may_name_the_machines_systemd_or_the_users_own(self):
		system, user = read({"kind": "systemd"}, {"kind": "systemd", "scope": "user"})
		self.assertEqual((system.name, system.scope), ("systemd", "system"))
		self.assertEqual((user.name, user.scope), ("systemd-user", "user"))

	def test_the_password_comes_from_the_setting_a_variable_the_url_or_a_file(self):
		with tempfile.NamedTemporaryFile("w", suffix=".password") as file:
			file.write(f"{SECRET}\n")
			file.flush()
			for entry in (
				GOOD,
				{**LOGIN, "password_env": "APP2_PASSWORD"},
				{"kind": "supervisor", "url": f"http://bench:{SECRET}@app2:9001"},
				{**LOGIN, "password_file": file.name},
			):
				(manager,) = read(entry, APP2_PASSWORD=SECRET)
				address = manager.address
				self.assertEqual((address.url, address.username, address.password), (URL, "bench", SECRET))
				self.assertNotIn(SECRET, repr(manager))

	def test_names_and_hosts_have_defaults(self):
		managers = read(
			{"kind": "supervisor", "url": "unix:///fm-sockets/workers.sock"},
			{"kind": "supervisor", "url": "http://[::1]:9001", "name": "here"},
			{"kind": "supervisor", "url": "http://app2:9001", "host": "app2.example.com"},
		)
		self.assertEqual([it.name for it in managers], ["workers", "here", "app2"])
		self.assertEqual([it.host for it in managers][2], "app2.example.com")
		self.assertEqual(managers[0].address.socket_path, "/fm-sockets/workers.sock")

	def test_a_password_that_others_can_read_is_found_by_mode_and_folders(self):
		with tempfile.TemporaryDirectory(prefix="fmx-passwords-", dir="/tmp") as folder:
			home, common = Path(folder), Path(folder, "common_site_config.json")
			file = home / "app2.password"
			file.write_text(SECRET)
			common.write_text("{}")
			managers = read({**LOGIN, "password_file": str(file)}, {**GOOD, "url": "http://app3:9001"})
			for mode, of_folder, expected in (
				(0o644, 0o755, [("app2", str(file)), ("app3", str(common))]),
				(0o644, 0o750, []),
				(0o600, 0o755, []),
			):
				home.chmod(of_folder)
				file.chmod(mode)
				common.chmod(mode)
				self.assertEqual(list(readable_passwords(home, managers)), expected)
