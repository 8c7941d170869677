"""Installed, taken out and packed as every Frappe app is."""

from __future__ import annotations

import json
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

import fmx_restart
from fmx_restart.adapters.control_sites import marked_sites
from fmx_restart.adapters.web.gunicorn_configuration import carry_out, plan_installation, plan_removal
from fmx_restart.adapters.web.ways import is_set_up
from fmx_restart.tests.bench.http_client import forget_clients
from fmx_restart.tests.bench.support import BenchTestCase, development_bench

APP = "fmx_restart"
CHECKOUT = Path(fmx_restart.__file__).parents[1]
#: list-apps shows what Frappe noted at the last migrate or uninstall; install-app alone does not.
NOTE_APPS = """
import sys, frappe
frappe.init(site=sys.argv[1])
frappe.connect()
frappe.get_single("Installed Applications").update_versions()
frappe.db.commit()
"""
#: Table → rows that speak of this app. Tables of newer versions of Frappe are passed over where they are missing.
LEFT_BEHIND = """
import json, sys, frappe
frappe.init(site=sys.argv[1])
frappe.connect()
WANTED = {
	"Role": {"name": "Restart Operator"},
	"Has Role": {"role": "Restart Operator"},
	"Scheduled Job Type": {"method": ("like", "fmx_restart%")},
	"Logs To Clear": {"ref_doctype": "Restart Operation"},
	"DefaultValue": {"defkey": ("like", "fmx_restart%")},
	"DocType": {"name": ("like", "Restart Operation%")},
	"Page": {"name": "bench-workers"},
	"Workspace": {"name": "Restarts"},
	"Custom HTML Block": {"name": "Bench Restart"},
	"Workspace Sidebar": {"name": "Restarts"},
	"Desktop Icon": {"name": "Restarts"},
}
found = {name: frappe.db.count(name, what) for name, what in WANTED.items() if frappe.db.table_exists(name)}
print(json.dumps({name: count for name, count in found.items() if count}))
"""
ASK_BENCH = f"""
import os, bench.utils, bench.utils.app
assert bench.utils.is_frappe_app("apps/{APP}"), "bench does not take it for an app"
assert bench.utils.app.get_app_name(".", "{APP}") == "{APP}"
assert os.path.isdir("apps/{APP}"), "bench has renamed it"
"""


class TestInstallation(BenchTestCase):
	def on_site(self, *words: str) -> str:
		done = self.bench.run_bench_command("--site", self.bench.site, *words, check=False)
		self.assertEqual(done.returncode, 0, f"bench {words}:\n{done.stdout}{done.stderr}")
		return done.stdout

	def test_a_site_can_be_without_it_and_have_it_again(self):
		# Given a site that has it
		self.assertIn(APP, self.on_site("list-apps"))
		self.addCleanup(self.install_if_missing)
		self.addCleanup(forget_clients, self.bench)  # its users lose the role
		# When someone tries what taking it out would do, it keeps all of it
		before = self.run_on_site(LEFT_BEHIND)
		self.on_site("uninstall-app", APP, "--yes", "--no-backup", "--dry-run")
		self.assertEqual(self.run_on_site(LEFT_BEHIND), before)
		# When it is taken out, where web is set up to serve while it restarts
		self.set_web_up()
		self.on_site("uninstall-app", APP, "--yes", "--no-backup")
		self.assertNotIn(APP, self.on_site("list-apps"))
		# Then nothing of it is left on the site
		self.assertEqual(json.loads(self.run_on_site(LEFT_BEHIND).splitlines()[-1]), {})
		# And web is set up as long as another site has it
		self.assertEqual(is_set_up(self.bench.sites_path), bool(marked_sites(self.bench.sites_path)))
		# And the bench can be restarted as before, for that is no site's business
		self.assertEqual(self.run_command("--wait-workers", "--dry-run").code, 0)
		# And the site can have it again
		output = self.install()
		self.assertIn(f"Installing {APP}", output)
		self.assertIs("bench safe-restart setup" in output, not is_set_up(self.bench.sites_path))
		self.assertIn(APP, self.on_site("list-apps"))

	def set_web_up(self) -> None:
		if not is_set_up(self.bench.sites_path):
			carry_out(plan_installation(self.bench.sites_path))
			self.addCleanup(lambda: carry_out(plan_removal(self.bench.sites_path)))

	def run_on_site(self, script: str) -> str:
		command = [str(self.bench.python), "-c", script, self.bench.site]
		done = subprocess.run(
			command,
			cwd=self.bench.sites_path,
			check=True,
			capture_output=True,
			text=True,
			env=self.bench.environment,
		)
		return done.stdout

	def install_if_missing(self) -> None:
		if APP not in self.on_site("list-apps"):
			self.install()

	def install(self) -> str:
		output = self.on_site("install-app", APP)
		self.run_on_site(NOTE_APPS)
		return output


class TestPackage(unittest.TestCase):
	"""What a clean clone holds: as bench gets it, and as a wheel."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.bench = development_bench()
		folder = tempfile.TemporaryDirectory(prefix="fmx-package-")
		cls.addClassCleanup(folder.cleanup)
		cls.folder = Path(folder.name)
		cls.app = cls.folder / "apps" / APP
		cls.app.mkdir(parents=True)
		archive = subprocess.run(
			["git", "-C", str(CHECKOUT), "archive", "HEAD"], check=True, capture_output=True
		)
		subprocess.run(["tar", "-x", "-C", str(cls.app)], input=archive.stdout, check=True)

	def test_bench_takes_it_for_an_app_and_finds_its_name(self):
		subprocess.run([str(self.bench.tools / "python"), "-c", ASK_BENCH], cwd=self.folder, check=True)

	def test_its_module_has_the_folder_that_frappe_looks_for(self):
		title = (self.app / APP / "modules.txt").read_text().strip()
		self.assertTrue((self.app / APP / title.lower().replace(" ", "_") / "__init__.py").exists(), title)

	def test_a_wheel_of_it_holds_every_file(self):
		build = [str(self.bench.python), "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
		build += ["--no-index", "--wheel-dir", str(self.folder), str(self.app)]
		done = subprocess.run(build, capture_output=True, text=True)
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
		(wheel,) = self.folder.glob("*.whl")
		packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{APP}/")}
		wanted = {str(file.relative_to(self.app)) for file in (self.app / APP).rglob("*") if file.is_file()}
		self.assertEqual(wanted - packed, set())
		self.assertTrue({f"{APP}/modules.txt", f"{APP}/adapters/redis_queue/look.lua"} <= packed)
