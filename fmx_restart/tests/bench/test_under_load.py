"""The main thing: a bench under load is restarted, and not one job is lost, repeated or interrupted."""

from __future__ import annotations

import json
import stat

from fmx_restart.console.machine_lines import rounded
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.support import BenchTestCase, own_programs

SECRET = "an-argument-nobody-may-read"
ENOUGH = 10  # jobs that must have started before, and again after, for a stream to be called steady


class TestUnderLoad(BenchTestCase):
	"""One restart, looked at from all sides. What failed says by its name what is wrong."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		from development.workload import Mix, Workload

		# Given a steady stream of jobs, some of seconds, and one that runs until we let it go
		cls.before = cls.pids()
		stream = cls.folder / "stream.jsonl"
		with Workload(cls.bench, stream, Mix(rate=5, long_share=0.05)) as workload:
			cls.wait_for_starts(stream, ENOUGH)
			cls.held = cls.jobs.hold("long", secret=SECRET)
			# When the bench is restarted in the middle of it
			command = cls.start("--wait-workers", "--json")
			cls.said = command.wait_for_fact("StillRunning")
			cls.held.let_go()
			cls.done = command.finish()
			cls.left_keys = cls.keys_of_ours()
			cls.wait_for_starts(stream, cls.starts(stream) + ENOUGH)
		cls.account = workload.settle()
		cls.after = cls.pids()

	@classmethod
	def wait_for_starts(cls, stream, count: int) -> None:
		eventually(lambda: cls.starts(stream) >= count, f"{count} jobs have started", deadline=120)

	@staticmethod
	def starts(stream) -> int:
		return sum(json.loads(line)["event"] == "start" for line in stream.read_text().splitlines())

	def test_it_ends_well(self):
		self.assertEqual(self.done.code, 0, self.done.text)
		self.assertEqual(self.done.report["outcome"], "Done")
		self.assertIsNone(self.done.report["failure"])

	def test_no_job_is_lost_run_twice_or_interrupted_and_none_is_refused(self):
		account = self.account
		self.assertEqual((account.lost, account.run_twice, account.interrupted), ((), (), ()))
		self.assertEqual(account.refused, 0)
		self.assertEqual((self.held.starts, self.held.ends), (1, 1))

	def test_every_process_of_the_bench_is_a_new_one(self):
		for name, pid in self.before.items():
			if name.partition(":")[0] in own_programs(self.bench):
				self.assertNotEqual(self.after[name], pid, name)

	def test_redis_the_database_and_the_front_server_go_on_undisturbed(self):
		others = {name for name in self.before if name.partition(":")[0] not in own_programs(self.bench)}
		self.assertGreaterEqual(len(others), 4, "Redis twice, the database, the front server")
		self.assertEqual(
			{name: self.after[name] for name in others}, {name: self.before[name] for name in others}
		)

	def test_the_report_tells_the_pids_that_supervisor_tells(self):
		told = {
			change["name"]: (change["old_pid"], change["new_pid"]) for change in self.done.report["processes"]
		}
		found = {
			name: (pid, self.after[name])
			for name, pid in self.before.items()
			if name.partition(":")[0] in own_programs(self.bench)
		}
		self.assertEqual(told, found)

	def test_the_running_job_was_waited_for_and_is_named_by_site_and_method(self):
		waited = {wait["job"]["id"]: wait["job"] for wait in self.done.report["waited_for"]}
		self.assertIn(self.held.id, waited)
		job = waited[self.held.id]
		self.assertEqual((job["site"], job["method"]), (self.bench.site, "fmx_restart.tests.bench.jobs.hold"))
		self.assertEqual((job["queue"], job["timeout"]), ("long", 1500))
		self.assertIn(self.held.id, {running["job"]["id"] for running in self.said["jobs"]})

	def test_the_ledger_adds_up(self):
		account = self.done.report["account"]
		outcomes = ("finished", "failed", "waiting", "running", "requeued", "removed")
		told = sum(account[name] for name in outcomes) + len(account["interrupted"]) + len(account["lost"])
		self.assertEqual(account["before"] + account["arrived"], told)
		self.assertEqual((account["lost"], account["interrupted"], account["requeued"]), ([], [], 0))
		self.assertGreater(account["arrived"], 0, "jobs kept coming while the bench was restarted")

	def test_nothing_of_the_operation_stays_in_redis(self):
		self.assertEqual(self.left_keys, [])

	def test_every_line_of_json_is_a_fact_and_the_last_one_is_the_report(self):
		names = [fact["event"] for fact in self.done.facts]
		self.assertEqual((names[0], names[-1]), ("OperationStarted", "Ended"))
		self.assertEqual(names.count("Ended"), 1)
		phases = [fact["phase"] for fact in self.done.facts if fact["event"] == "PhaseEntered"]
		self.assertEqual(phases, ["Fence", "Park", "Drain", "Restart", "Lift", "Verify", "Audit"])

	def test_the_journal_is_for_its_owner_only_and_ends_with_the_same_report(self):
		journal = self.bench.path / "logs" / "fmx_restart" / f"{self.done.report['operation']}.jsonl"
		self.assertEqual(stat.S_IMODE(journal.stat().st_mode), 0o600)
		last = json.loads(journal.read_text().splitlines()[-1])
		self.assertEqual((last["event"], rounded(last["report"])), ("Ended", self.done.report))

	def test_no_argument_of_a_job_is_told_anywhere(self):
		journal = self.bench.path / "logs" / "fmx_restart" / f"{self.done.report['operation']}.jsonl"
		self.assertNotIn(SECRET, self.done.text)
		self.assertNotIn(SECRET, journal.read_text())
