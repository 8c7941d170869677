"""Restarts that keep workers in service, of Frappe's own bench worker with this app's worker in it: they reload in place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import ClassVar

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.managed_scratch import ManagedScratch, ScratchCase
from fmx_restart.tests.bench.real_jobs import PATIENCE, TestJob

NOT_BACK = 4  # exit code
PROGRAMS = {
	"short": "worker --queue short,default",
	"long": "worker --queue long,default",
	"stock": "worker --queue short,long",
}
IN_PLACE = {"short", "long"}


class Scratch(ManagedScratch):
	"""Two workers of this app, and one of RQ's own."""

	def section(self, name: str) -> str:
		section = super().section(name)
		is_stock = name == "stock"
		return (
			section.replace("environment = ", 'environment = FMX_RESTART_WORKER="0",')
			if is_stock
			else section
		)

	def write_config(self, **settings) -> None:
		super().write_config(fmx_restart_worker=1, **settings)


class ReloadCase(ScratchCase):
	kind = Scratch
	programs: ClassVar[dict[str, str]] = PROGRAMS

	def setUp(self) -> None:
		super().setUp()
		self.before = self.scratch.pids()

	@contextmanager
	def load(self) -> Iterator[list[TestJob]]:
		"""Jobs for all queues in turn; they have all ended when the block has."""
		jobs: list[TestJob] = []
		is_over = threading.Event()

		def put() -> None:
			for queue in cycle(("short", "long", "default")):
				jobs.append(self.scratch_jobs.work(queue))
				if is_over.wait(0.2):
					return

		thread = threading.Thread(target=put)
		thread.start()
		try:
			yield jobs
		finally:
			is_over.set()
			thread.join()
		eventually(lambda: self.not_once(jobs) == [], "each job has run once", deadline=PATIENCE)

	def not_once(self, jobs: list[TestJob]) -> list[str]:
		events = self.scratch_jobs.events()
		return [job.id for job in jobs if (events[job.token, "start"], events[job.token, "end"]) != (1, 1)]

	def record(self, name: str) -> dict[bytes, bytes]:
		pid = str(self.scratch.pids()[name]).encode()
		records = [self.scratch.redis.hgetall(key) for key in self.scratch.redis.smembers("rq:workers")]
		return next((fields for fields in records if fields.get(b"pid") == pid), {})

	def reloads(self) -> dict[str, int]:
		return {
			name: int(self.record(name).get(b"fmx_reloads", -1)) for name in IN_PLACE & self.programs.keys()
		}


class TestReloadInPlace(ReloadCase):
	def test_rolling_under_load_loses_no_job_and_keeps_the_pids_of_those_that_reload(self):
		times = self.reloads()
		with self.load() as jobs:
			done = self.scratch.run("--rolling", "--no-web", "--json")
		self.assertEqual(done.code, 0, done.text)
		self.assertGreater(len(jobs), 20)
		now = self.scratch.pids()
		self.assertEqual({name for name in PROGRAMS if now[name] == self.before[name]}, IN_PLACE)
		self.assertEqual(self.reloads(), {name: number + 1 for name, number in times.items()})
		by = {change["name"]: change["by"] for change in done.report["processes"]}
		self.assertEqual(by, {"short": "reload", "long": "reload", "stock": "manager"})
		self.assertEqual(done.report["account"]["lost"], [])
		eventually(lambda: self.scratch.keys_of_ours() == [], "nothing stays in Redis")

	def test_without_waiting_a_busy_one_reloads_when_its_job_has_ended(self):
		held = self.scratch_jobs.hold("default")
		command = self.scratch.start("--no-wait-workers", "--no-web", "--json")
		[name] = command.wait_for_fact("HandedOver")["processes"]
		self.assertEqual(self.scratch.pids()[name], self.before[name])
		times = self.reloads()[name]
		held.let_go()
		self.assertEqual(command.finish().code, 0)
		eventually(lambda: self.reloads()[name] == times + 1, "it has reloaded", deadline=PATIENCE)
		eventually(lambda: self.scratch.keys_of_ours() == [], "it has ended", deadline=PATIENCE)
		self.assertEqual((held.starts, held.ends), (1, 1))
		self.assertEqual(self.scratch_jobs.work("long").wait_for_end().starts, 1)

	def test_an_operation_that_is_killed_leaves_nobody_asked(self):
		held = self.scratch_jobs.hold("default")
		command = self.scratch.start("--rolling", "--no-web", "--json")
		command.wait_for_fact("ReloadAsked")
		command.kill_operation()
		done = command.finish()
		self.assertIn("cleaned up", done.text)
		held.let_go()
		eventually(lambda: self.scratch.keys_of_ours() == [], "nobody is asked", deadline=PATIENCE)
		eventually(lambda: min(self.reloads().values()) >= 0, "all serve", deadline=PATIENCE)
		self.assertEqual(
			{self.scratch.pids()[name] for name in IN_PLACE}, {self.before[name] for name in IN_PLACE}
		)
		self.assertEqual(self.scratch_jobs.work("short").wait_for_end().starts, 1)


class TestCodeThatDoesNotImport(ReloadCase):
	programs: ClassVar = {"short": PROGRAMS["short"]}

	def test_it_leaves_all_in_service_and_is_told(self):
		folder = self.scratch.path / "more-apps/own_app"
		folder.mkdir(parents=True)
		(folder / "__init__.py").write_text("")
		(folder / "hooks.py").write_text("raise KeyError('a password')\n")
		apps = self.scratch.sites_path / "apps.txt"
		text = apps.read_text()
		apps.unlink()
		apps.write_text(f"{text.rstrip()}\nown_app\n")
		self.addCleanup(apps.write_text, text)
		times = self.reloads()
		# Given a person who restarts all the same
		done = self.scratch.run("--rolling", "--no-web", "--force")
		self.assertEqual(done.code, NOT_BACK, done.text)
		self.assertIn("its new code cannot be imported: KeyError; it keeps the old code", done.text)
		self.assertEqual(self.reloads(), times)
		self.assertEqual(self.scratch_jobs.work("default").wait_for_end().starts, 1)
