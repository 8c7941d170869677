"""Which bars an operation's journal gives, of operations on the in-memory bench and of journals of earlier versions."""

from __future__ import annotations

import json
import unittest
from collections.abc import Callable
from dataclasses import replace
from datetime import timezone
from itertools import pairwise
from pathlib import Path

import fmx_restart.tests.recorded
from fmx_restart.adapters.journal import facts_in, facts_of
from fmx_restart.desk.own_view import OwnView
from fmx_restart.desk.projection import project
from fmx_restart.desk.timeline import MOST_BARS, Timeline
from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.ports import Change, ProcessKind
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.processes import Program
from fmx_restart.tests.console.samples import sample
from fmx_restart.tests.desk.test_projection import TWO_WORKERS, Recorded

RECORDED = Path(fmx_restart.tests.recorded.__file__).parent
#: Of a bar: the method and the site are all that is told of a job
TOLD = {"method", "site", "from", "to", "fate"}


class TimelineCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def timeline(self, **options) -> dict:
		return json.loads(Recorded(self.bench, Options(**options)).go().row()["timeline"])

	def row(self, timeline: dict, name: str) -> dict:
		return next(row for row in timeline["rows"] if row["name"] == name)

	def marks(self, timeline: dict) -> dict[str, list[str]]:
		return {row["name"]: [mark["what"] for mark in row["marks"]] for row in timeline["rows"]}


class TestTimeline(TimelineCase):
	def test_a_job_that_was_waited_for_is_a_bar_of_the_program_that_ran_it(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		timeline = self.timeline()
		# Then it began when the job began, and ended when it did
		(bar,) = self.row(timeline, "short")["jobs"]
		self.assertEqual(bar.keys(), TOLD)
		self.assertEqual(bar["fate"], "ended")
		self.assertAlmostEqual(bar["to"] - bar["from"], 20, delta=0.5)
		self.assertEqual(self.row(timeline, "long")["jobs"], [])
		# And every process was stopped, and then new, within the operation
		self.assertEqual(
			self.marks(timeline), {name: ["stopped", "new"] for name in ("web", "short", "long")}
		)
		for row in timeline["rows"]:
			times = [mark["at"] for mark in row["marks"]]
			self.assertEqual(times, sorted(times))
			self.assertTrue(timeline["from"] <= times[0] <= times[-1] <= timeline["to"])

	def test_its_phases_follow_one_another_from_beginning_to_end(self):
		timeline = self.timeline()
		bands = timeline["phases"]
		self.assertEqual((bands[0]["phase"], bands[-1]["phase"]), ("Preflight", "Audit"))
		self.assertAlmostEqual(bands[0]["from"], timeline["from"], delta=0.1)
		for before, after in pairwise(bands):
			self.assertAlmostEqual(before["to"], after["from"], delta=0.001)
		self.assertAlmostEqual(bands[-1]["to"], timeline["to"], delta=0.1)

	def test_a_job_that_was_killed_ends_there_and_one_that_waits_again_says_so(self):
		for policy, fate in ((OnTimeout.KILL, "killed"), (OnTimeout.REQUEUE, "put back")):
			with self.subTest(policy):
				self.bench = InMemoryBench(TWO_WORKERS)
				self.bench.queue.enqueue("job-1", queue="short", seconds=900)
				timeline = self.timeline(drain_timeout=5.0, on_timeout=policy)
				(bar,) = self.row(timeline, "short")["jobs"]
				self.assertEqual(bar["fate"], fate)
				self.assertLess(bar["to"], timeline["to"] + 0.001)

	def test_a_job_that_was_left_running_goes_on(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=900)
		recorded = Recorded(self.bench, Options(drain_timeout=5.0))
		with self.assertRaises(DrainTimeout):
			recorded.go()
		timeline = json.loads(recorded.row()["timeline"])
		(bar,) = self.row(timeline, "short")["jobs"]
		self.assertEqual((bar["to"], bar["fate"]), (None, "left running"))
		self.assertEqual(self.marks(timeline), {"web": [], "short": [], "long": []})

	def test_a_worker_that_reloads_when_its_job_has_ended_is_marked_so(self):
		self.bench = InMemoryBench(TWO_WORKERS, lossless=("short",))
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		timeline = self.timeline(strategy=Strategy.ROLLING)
		row = self.row(timeline, "short")
		self.assertEqual([mark["what"] for mark in row["marks"]], ["reloaded"])
		(bar,) = row["jobs"]
		self.assertEqual(bar["fate"], "ended")
		self.assertLessEqual(bar["to"], row["marks"][0]["at"])
		self.assertAlmostEqual(bar["to"] - bar["from"], 20, delta=3)

	def test_the_outage_that_users_had_is_in_the_row_of_web_and_longer_than_its_process_was_away(self):
		web = self.bench.processes["web"]
		web.stop_takes, web.start_takes = 2.0, 4.0
		recorded = Recorded(self.bench, Options()).go()
		timeline = json.loads(recorded.row()["timeline"])
		(outage,) = self.row(timeline, "web")["outages"]
		self.assertAlmostEqual(outage["to"] - outage["from"], 6.0, delta=0.2)
		down, up = (mark["at"] for mark in self.row(timeline, "web")["marks"])
		self.assertLess(outage["from"], down)
		self.assertGreaterEqual(outage["to"], up)
		self.assertNotIn("outages", self.row(timeline, "short"))
		# And while it lasts it has no end
		timeline = json.loads(recorded.row_before(events.WebAnswersAgain)["timeline"])
		(open_one,) = self.row(timeline, "web")["outages"]
		self.assertIsNone(open_one["to"])
		self.assertAlmostEqual(open_one["from"], outage["from"], delta=0.2)

	def test_while_it_runs_its_bar_is_open(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		recorded = Recorded(self.bench, Options()).go()
		timeline = json.loads(recorded.row_before(events.Drained)["timeline"])
		(bar,) = self.row(timeline, "short")["jobs"]
		self.assertEqual((bar["to"], bar["fate"], timeline["to"]), (None, "running", None))
		self.assertEqual((timeline["phases"][-1]["phase"], timeline["phases"][-1]["to"]), ("Drain", None))

	def test_a_process_that_did_not_come_back_is_marked_so(self):
		self.bench.processes["web"].crashes_at_start = True
		recorded = Recorded(self.bench, Options())
		with self.assertRaises(ProcessFault):
			recorded.go()
		marks = self.marks(json.loads(recorded.row()["timeline"]))
		self.assertIn("failed", marks["web"])
		self.assertEqual(marks["web"][0], "stopped")


class TestHostGroups(unittest.TestCase):
	"""How far each group of hosts is, at each moment."""

	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		for name in ("host-2", "host-3"):
			self.bench.add_host(name, {"short": ("short",)})
		self.recorded = Recorded(self.bench, Options(hosts=HostOptions(batch=1, pause=5.0)))

	def row_at(self, is_it: Callable[[events.Event], bool]) -> dict:
		"""The row as it was right after that event."""
		facts = [fact for _, fact in facts_in(self.recorded.lines)]
		return self.recorded.row(1 + next(number for number, fact in enumerate(facts) if is_it(fact)))

	def states(self, row: dict) -> list[tuple[str, str]]:
		return [(group["hosts"], group["state"]) for group in json.loads(row["timeline"])["hosts"]]

	def test_each_group_waits_is_restarted_and_is_done_in_its_turn(self):
		hosts = [["host-1"], ["host-2"], ["host-3"]]
		self.recorded.go()
		turns = []
		for number in (1, 2, 3):
			begun = lambda fact, number=number: isinstance(fact, events.HostsBegun) and fact.number == number  # noqa: E731
			turns.append([state for _, state in self.states(self.row_at(begun))])
		waiting, now, done = "to come", "under way", "done"
		self.assertEqual(turns, [[now, waiting, waiting], [done, now, waiting], [done, done, now]])
		self.assertEqual(self.states(self.recorded.row()), [(names, done) for names in hosts])
		seconds = [group["seconds"] for group in json.loads(self.recorded.row()["timeline"])["hosts"]]
		self.assertTrue(all(seconds), seconds)

	def test_a_group_that_fails_is_told_apart_from_those_that_keep_the_old_code(self):
		self.bench.managers["host-2"]["short"].crashes_at_start = True
		with self.assertRaises(ProcessFault):
			self.recorded.go()
		states = [state for _, state in self.states(self.recorded.row())]
		self.assertEqual(states, ["done", "failed", "not restarted"])

	def test_an_operation_of_all_hosts_at_once_has_no_groups(self):
		recorded = Recorded(self.bench, Options()).go()
		self.assertEqual(self.states(recorded.row()), [])


class TestOfTheJournal(TimelineCase):
	"""What it tells of workers and jobs, and what it does not."""

	def test_a_worker_of_no_program_has_a_row_of_its_own(self):
		still, timeline = sample(events.StillRunning), Timeline()
		worker = still.workers[0]
		running = replace(still.jobs[0], worker=worker.name)
		timeline.add(1000.0, replace(still, jobs=(running,)))
		(row,) = json.loads(timeline.as_json([]))["rows"]
		self.assertEqual(row["name"], f"{', '.join(worker.queues)} (pid {worker.pid})")
		self.assertEqual(len(row["jobs"]), 1)

	def test_an_outage_at_web_and_at_the_proxy_in_front_of_it_is_one(self):
		told = sample(events.Planned)
		web = replace(told.plan.restart[0], name="web", kind=ProcessKind.WEB)
		timeline = Timeline()
		timeline.add(1000.0, replace(told, plan=replace(told.plan, restart=(web,), reloads=(), jobs=())))
		timeline.add(1010.0, events.WebSilent("127.0.0.1:8000", "web", "refused"))
		timeline.add(1010.5, events.WebSilent("127.0.0.1:80", "nginx", "HTTP 502"))
		timeline.add(1020.0, events.WebAnswersAgain("127.0.0.1:8000", "web", 11.5))
		timeline.add(1021.0, events.WebAnswersAgain("127.0.0.1:80", "nginx", 11.5))
		timeline.add(1030.0, events.WebSilent("127.0.0.1:8000", "web", "refused"))
		(row,) = json.loads(timeline.as_json([]))["rows"]
		self.assertEqual(row["outages"], [{"from": 1008.5, "to": 1021.0}, {"from": 1029.0, "to": None}])

	def test_the_same_pid_of_another_host_is_another_worker(self):
		still, timeline = sample(events.StillRunning), Timeline()
		planned = sample(events.Planned)
		process = replace(planned.plan.restart[0], pid=still.workers[0].pid, host="")
		plan = replace(planned.plan, restart=(process,), reloads=(), jobs=(), runs={})
		timeline.add(999.0, replace(sample(events.OperationStarted), host="elsewhere"))
		timeline.add(999.5, replace(planned, plan=plan))
		running = replace(still.jobs[0], worker=still.workers[0].name)
		timeline.add(1000.0, replace(still, jobs=(running,)))
		rows = {row["name"]: row for row in json.loads(timeline.as_json([]))["rows"]}
		self.assertEqual(rows[process.name]["jobs"], [])
		self.assertEqual(len(rows), 2)

	def test_a_job_that_runs_again_after_it_was_put_back_has_two_bars(self):
		still, timeline = sample(events.StillRunning), Timeline()
		first = replace(still.jobs[0], worker=still.workers[0].name)
		job = replace(first.job, started=990.0)
		again = replace(first, job=replace(job, started=1010.0))
		timeline.add(1000.0, replace(still, jobs=(replace(first, job=job),)))
		timeline.add(1005.0, replace(sample(events.JobsInterrupted), jobs=(job,), requeued=(job.id,)))
		timeline.add(1011.0, replace(still, jobs=(again,)))
		(row,) = json.loads(timeline.as_json([]))["rows"]
		self.assertEqual(
			[(bar["from"], bar["to"], bar["fate"]) for bar in row["jobs"]],
			[(990.0, 1005.0, "put back"), (1010.0, None, "running")],
		)

	def test_of_many_jobs_some_are_drawn(self):
		still, timeline = sample(events.StillRunning), Timeline()
		for number in range(MOST_BARS + 20):
			job = replace(still.jobs[0].job, id=f"job-{number}", started=None)
			running = replace(still.jobs[0], job=job, worker=still.workers[0].name)
			timeline.add(1000.0 + number, replace(still, jobs=(running,)))
		(row,) = json.loads(timeline.as_json([]))["rows"]
		self.assertEqual(len(row["jobs"]), MOST_BARS)

	def test_journals_of_earlier_versions_have_rows_with_their_replacements(self):
		for journal in RECORDED.glob("format_*/*.jsonl"):
			with self.subTest(journal.name, format=journal.parent.name):
				timeline = json.loads(project(facts_of(journal), timezone.utc)["timeline"])
				if journal.stem in ("wait-workers", "rolling", "fast"):
					rows = {row["name"]: row for row in timeline["rows"]}
					self.assertEqual(set(rows), {"web", "short", "long"})
					self.assertTrue(all(row["marks"][-1]["what"] == "new" for row in rows.values()))

	def test_a_site_that_sees_no_program_gets_no_row(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		recorded = Recorded(self.bench, Options()).go()
		view = OwnView("one.localhost", is_starter=True)
		own = project(view.facts(facts_in(recorded.lines)), timezone.utc)
		self.assertEqual(json.loads(own["timeline"])["rows"], [])


class TestChangedConfiguration(unittest.TestCase):
	"""Groups of programs whose configuration changed, at each moment."""

	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		write = self.bench.processes.configuration.write
		write("long", Change.REMOVED)
		write("other", Change.ADDED, Program("other", ProcessKind.WORKER), is_ours=False)

	def groups(self, row: dict) -> dict[str, tuple[str, str]]:
		found = json.loads(row["timeline"])["configuration"]
		return {it["group"]: (it["state"], it["reason"]) for it in found}

	def test_each_is_to_be_applied_and_then_applied_and_others_are_named_with_the_reason(self):
		other = ("left", "it is not of this bench")
		recorded = Recorded(self.bench, Options(update_config=True)).go()
		before = recorded.row_before(events.GroupUpdating)
		self.assertEqual(self.groups(before), {"long": ("to come", ""), "other": other})
		for row in (recorded.row_before(events.Ended), recorded.row()):
			self.assertEqual(self.groups(row), {"long": ("updated", ""), "other": other})

	def test_one_that_is_refused_is_told_and_without_the_option_none_is_applied(self):
		self.bench.processes.configuration.fails = 1_000
		recorded = Recorded(self.bench, Options(update_config=True))
		with self.assertRaises(ProcessFault):
			recorded.go()
		self.assertEqual(self.groups(recorded.row())["long"], ("failed", "long cannot be added"))
		self.setUp()
		recorded = Recorded(self.bench, Options()).go()
		self.assertEqual(self.groups(recorded.row())["long"], ("left", ""))


if __name__ == "__main__":
	unittest.main()
