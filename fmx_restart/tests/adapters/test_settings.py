from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from filelock import FileLock

from fmx_restart.adapters import setting_rules, site_config
from fmx_restart.adapters.site_config import SiteConfigFiles
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Setting
from fmx_restart.testing.settings import InMemorySettings
from fmx_restart.tests.adapters.forked import Forked
from fmx_restart.tests.adapters.settings_contract import ABSENT, KEY, ON, SITE, SettingsContract
from fmx_restart.tests.adapters.waiting import eventually

#: as Frappe writes it: update_site_config, json.dumps(…, indent=1, sort_keys=True)
CONTENT = {"db_name": "_a", "db_password": "secret", "limits": {"space": 1.5, "users": None}}

ONE_KEY_BACK_AND_FORTH = """
import sys
from fmx_restart.adapters.site_config import SiteConfigFiles
from fmx_restart.engine.ports import Setting
settings, key = SiteConfigFiles(sys.argv[1]), sys.argv[2]
absent, on = Setting("a.localhost", key), Setting("a.localhost", key, 1, True)
for turn in range(int(sys.argv[3])):
	assert settings.replace(absent, on) and settings.replace(on, absent), turn
	print(turn, flush=True)
"""


class TestInMemorySettings(SettingsContract, unittest.TestCase):
	def setUp(self):
		self.settings = InMemorySettings()
		self.settings.files[SITE].update(CONTENT)

	def content(self) -> dict:
		return dict(self.settings.files[SITE])

	def damage(self) -> None:
		self.settings.unreadable.add(SITE)


class TestSiteConfigFiles(SettingsContract, unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.bench = Path(folder.name)
		self.path = self.bench / "sites" / SITE / "site_config.json"
		(self.path.parent / "locks").mkdir(parents=True)
		(self.bench / "config").mkdir()
		self.path.write_text(json.dumps(CONTENT, indent=1, sort_keys=True))
		self.settings = SiteConfigFiles(str(self.bench))

	def test_a_file_that_never_ends_or_is_none_is_named_at_once(self):
		def link(target: str) -> None:
			self.path.symlink_to(target)

		def large() -> None:
			with self.path.open("wb") as file:
				file.truncate(setting_rules.LARGEST_FILE + 1)

		kinds = {
			"a pipe": (lambda: os.mkfifo(self.path), "it is not an ordinary file"),
			"a device": (lambda: link("/dev/zero"), "it is not an ordinary file"),
			"its own name": (lambda: link(self.path.name), "Too many levels of symbolic links"),
			"a folder": (self.path.mkdir, "it is not an ordinary file"),
			"too large": (large, "it is larger than 16 MB"),
		}
		for kind, (make, reason) in kinds.items():
			with self.subTest(kind):
				shutil.rmtree(self.path) if self.path.is_dir() else self.path.unlink()
				make()
				with self.assertRaisesRegex(WrongEnvironment, f"{reason}.* It was not touched"):
					self.settings.read(SITE, KEY)

	def content(self) -> dict:
		return json.loads(self.path.read_text())

	def damage(self) -> None:
		self.path.write_text(self.path.read_text()[:-2])

	def test_there_and_back_leaves_every_byte_as_it_was(self):
		texts = ['{"a": 1}\n', '{\n\t"ö": "ü",\n\t"b": [1, 2.50]\n}\n', json.dumps(CONTENT, indent=4), "{}"]
		for text in texts[:1] + texts[2:]:
			with self.subTest(text=text):
				self.path.write_text(text)
				self.settings.replace(ABSENT, ON)
				self.settings.replace(ON, ABSENT)
				self.assertEqual(self.path.read_text(), text)

	def test_other_writing_is_kept_readable(self):
		self.path.write_text('{\n\t"ö": "ü"\n}\n')
		self.settings.replace(ABSENT, ON)
		self.assertEqual(self.path.read_text(), f'{{\n\t"ö": "ü",\n\t"{KEY}": 1\n}}\n')

	def test_mode_and_owner_stay_and_a_symlink_stays_one(self):
		elsewhere = self.bench / "elsewhere.json"
		self.path.rename(elsewhere)
		self.path.symlink_to(elsewhere)
		elsewhere.chmod(0o640)
		if os.geteuid() == 0:
			os.chown(elsewhere, 12345, 12345)
		before = elsewhere.stat()
		self.settings.replace(ABSENT, ON)
		after = elsewhere.stat()
		self.assertTrue(self.path.is_symlink())
		self.assertNotEqual(before.st_ino, after.st_ino)
		self.assertEqual(
			(before.st_mode, before.st_uid, before.st_gid), (after.st_mode, after.st_uid, after.st_gid)
		)

	def test_a_damaged_file_keeps_every_byte(self):
		self.damage()
		text = self.path.read_text()
		with self.assertRaisesRegex(WrongEnvironment, "was not touched") as raised:
			self.settings.replace(ABSENT, ON)
		self.assertEqual(self.path.read_text(), text)
		self.assertIn("json.tool", raised.exception.hint)

	def test_a_list_is_no_configuration(self):
		self.path.write_text("[]")
		with self.assertRaises(WrongEnvironment):
			self.settings.read(SITE, KEY)

	def test_the_common_file_has_its_own_lock(self):
		common = self.bench / "sites" / "common_site_config.json"
		common.write_text("{}")
		absent, on = Setting("", KEY), Setting("", KEY, 1, True)
		with FileLock(self.settings.lock(SITE)):
			self.assertTrue(self.settings.replace(absent, on))
		self.assertEqual(json.loads(common.read_text()), {KEY: 1})
		self.assertEqual(self.settings.lock(""), self.bench / "config" / "site_config.lock")

	def test_it_waits_for_frappes_lock_and_says_so_when_that_takes_too_long(self):
		self.settings = SiteConfigFiles(str(self.bench), patience=0.1)
		with FileLock(self.settings.lock(SITE)), self.assertRaisesRegex(WrongEnvironment, "keeps .* locked"):
			self.settings.replace(ABSENT, ON)
		self.assertTrue(self.settings.replace(ABSENT, ON))

	def test_two_writers_lose_nothing_of_each_other(self):
		writers = [self.writer(f"key_{number}", turns=30) for number in range(2)]
		self.assertEqual([writer.wait(60) for writer in writers], [0, 0])
		self.assertEqual(self.content(), CONTENT)

	def test_a_writer_that_is_killed_at_any_moment_leaves_a_valid_file(self):
		for moment in range(6):
			with self.subTest(moment=moment):
				writer = self.writer("key", turns=100_000)
				self.addCleanup(writer.kill)
				for _ in range(moment * 7 + 1):
					writer.stdout.readline()
				writer.send_signal(signal.SIGKILL)
				writer.wait(10)
				self.assertLessEqual(CONTENT.items(), self.content().items())
				self.settings.replace(Setting(SITE, "key", 1, True), Setting(SITE, "key"))
		self.assertEqual(self.content(), CONTENT)
		self.assertEqual(
			{file.name for file in self.path.parent.iterdir()} - {".site_config.json.fmx_restart"},
			{"site_config.json", "locks"},
		)

	def writer(self, key: str, turns: int) -> subprocess.Popen:
		command = [sys.executable, "-c", ONE_KEY_BACK_AND_FORTH, str(self.bench), key, str(turns)]
		writer = Forked(
			command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
		)
		self.addCleanup(writer.stdout.close)
		return writer


class TestLocks(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.path = Path(folder.name) / "bench_migrate.lock"

	def test_a_lock_file_that_nobody_holds_is_not_held(self):
		self.assertFalse(site_config.is_held(self.path))
		self.path.touch()
		self.assertFalse(site_config.is_held(self.path))

	def test_one_that_another_process_holds_is_held_until_that_is_killed(self):
		holder = subprocess.Popen(
			[
				sys.executable,
				"-c",
				f"import filelock, sys\nwith filelock.FileLock({str(self.path)!r}):\n\tprint(1, flush=True); sys.stdin.read()",
			],
			stdin=subprocess.PIPE,
			stdout=subprocess.PIPE,
		)
		self.addCleanup(holder.stdout.close)
		self.addCleanup(holder.stdin.close)
		holder.stdout.readline()
		self.assertTrue(site_config.is_held(self.path))
		holder.kill()
		holder.wait()
		eventually(lambda: not site_config.is_held(self.path), "the lock is free")
