"""Where Desk draws the bars: public/js/restart/timeline.js and time_axis.js themselves, run by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import fmx_restart
from fmx_restart.console.program_names import short_programs

SCRIPTS = Path(fmx_restart.__file__).parent / "public" / "js" / "restart"
FILES = ("timeline.js", "time_axis.js", "programs.js")
PLAYER = """
const [calls] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
Promise.all(FILES.map((name) => import(`${process.argv[1]}/${name}`))).then((modules) => {
	const known = Object.assign({}, ...modules);
	console.log(JSON.stringify(calls.map(([name, ...args]) => known[name](...args))));
});
"""
WIDTH = 1000


def bar(begin: float, end: float | None, fate: str = "ended", method: str = "app.tasks.work") -> dict:
	return {"method": method, "site": "one.localhost", "from": begin, "to": end, "fate": fate}


def timeline(jobs: list[dict], marks: list[dict] | None = None, end: float | None = 1100.0) -> dict:
	phases = [
		{"phase": "Drain", "from": 1000.0, "to": 1090.0},
		{"phase": "Restart", "from": 1090.0, "to": end},
	]
	row = {"name": "short", "kind": "worker", "marks": marks or [], "jobs": jobs}
	return {"from": 1000.0, "to": end, "phases": phases, "rows": [row]}


@unittest.skipUnless(shutil.which("node"), "there is no node here")
class TestLayout(unittest.TestCase):
	def call(self, *calls: list) -> list:
		with tempfile.TemporaryDirectory() as folder:
			for name in FILES:
				shutil.copy(SCRIPTS / name, folder)
			Path(folder, "package.json").write_text('{"type": "module"}')
			done = subprocess.run(
				["node", "-e", PLAYER.replace("FILES", json.dumps(FILES)), folder],
				input=json.dumps([calls]),
				capture_output=True,
				text=True,
				timeout=60,
				check=True,
			)
		return json.loads(done.stdout)

	def layout(self, told: dict, now: float = 0.0, width: int = WIDTH) -> dict:
		(answer,) = self.call(["layout", told, now, width])
		return answer

	def test_length_is_time_and_the_axis_begins_shortly_before_the_operation(self):
		drawn = self.layout(timeline([bar(1010.0, 1040.0), bar(1040.0, 1090.0)]))
		self.assertTrue(990 <= drawn["from"] < 1000)
		first, second = drawn["rows"][0]["bars"]
		self.assertAlmostEqual(second["width"] / first["width"], 50 / 30, places=3)
		self.assertAlmostEqual(first["x"] + first["width"], second["x"], places=3)
		self.assertEqual((first["lane"], second["lane"]), (0, 0))
		bands = drawn["phases"]
		self.assertAlmostEqual(bands[0]["x"] + bands[0]["width"], bands[1]["x"], places=3)

	def test_jobs_that_ran_at_the_same_time_do_not_cover_each_other(self):
		drawn = self.layout(timeline([bar(1000.0, 1050.0), bar(1010.0, 1020.0), bar(1055.0, 1060.0)]))
		self.assertEqual([one["lane"] for one in drawn["rows"][0]["bars"]], [0, 1, 0])
		self.assertLess(self.layout(timeline([]))["height"], drawn["height"])

	def test_what_began_long_before_and_what_goes_on_end_at_the_edges(self):
		told = timeline([bar(1.0, None, "running")], end=None)
		drawn = self.layout(told, now=1050.0)
		(one,) = drawn["rows"][0]["bars"]
		self.assertEqual(one["x"], 0)
		self.assertAlmostEqual(one["x"] + one["width"], WIDTH, delta=12)

	def test_a_name_is_within_its_bar_or_beside_it_or_nowhere(self):
		jobs = [bar(1000.0, 1001.0), bar(1001.5, 1002.0), bar(1030.0, 1080.0)]
		first, second, third = self.layout(timeline(jobs))["rows"][0]["bars"]
		self.assertEqual(first["text"], "")
		self.assertEqual((second["text"], second["is_inside"]), ("✓ tasks.work", False))
		self.assertEqual((third["text"], third["is_inside"]), ("✓ tasks.work", True))

	def test_nobody_is_there_from_a_stop_to_the_next_process(self):
		marks = [{"what": "stopped", "at": 1090.0}, {"what": "new", "at": 1095.0}]
		row = self.layout(timeline([], marks))["rows"][0]
		(down,) = row["downs"]
		self.assertAlmostEqual(down["x"] + down["width"], row["marks"][1]["x"], places=3)

	def test_an_outage_is_as_long_as_users_had_it_and_one_that_goes_on_ends_now(self):
		told = timeline([bar(1000.0, 1050.0)], end=None)
		told["rows"][0]["outages"] = [{"from": 1010.0, "to": 1035.0}, {"from": 1050.0, "to": None}]
		row = self.layout(told, now=1100.0)["rows"][0]
		past, present = row["outages"]
		self.assertAlmostEqual(past["width"] / row["bars"][0]["width"], 25 / 50, places=3)
		self.assertAlmostEqual(present["x"] + present["width"], WIDTH, delta=12)
		self.assertEqual(present["to"], 1100.0)

	def test_programs_of_bench_have_short_names_and_two_that_would_be_the_same_keep_their_own(self):
		web, worker = "fmx-bench-web:fmx-bench-frappe-web", "fmx-bench-workers:fmx-bench-frappe-long-worker-0"
		names = [web, worker, "fmx-bench-web:fmx-bench-node-socketio", "my-unit.service", "backend"]
		names += ["x:y", "app2/b-web:b-frappe-web"]
		twice = ["a:a-frappe-web", "b:b-frappe-web"]
		short, both = self.call(["short_programs", names], ["short_programs", twice])
		self.assertEqual(
			list(short.values()),
			["web", "long-worker-0", "socketio", "my-unit", "backend", "x:y", "app2/web"],
		)
		self.assertEqual(both, {name: name for name in twice})
		# And a terminal calls them the same
		self.assertEqual((short, both), (short_programs(names), short_programs(twice)))

	def test_an_operation_of_no_length_can_be_drawn(self):
		told = {"from": 1000.0, "to": 1000.0, "phases": [], "rows": timeline([])["rows"]}
		self.assertGreater(self.layout(told)["to"], 1000.0)

	def test_ticks_are_at_full_times_of_the_sites_clock(self):
		day, india = 86400, 19800
		short, long, zoned = self.call(
			["ticks", 1000.2, 1009.9, 10], ["ticks", 0, 30 * day, 8], ["ticks", 0, 3 * day, 4, india]
		)
		self.assertEqual((short["step"], short["times"][:2]), (1, [1001, 1002]))
		self.assertEqual(long["step"], 7 * day)
		self.assertEqual({(time + india) % day for time in zoned["times"]}, {0})

	def test_there_are_never_more_ticks_than_there_is_room_for(self):
		spans = [0.5, 7, 61, 3599, 3601, 86399, 40 * 86400, 400 * 86400]
		for span, answer in zip(
			spans, self.call(*(["ticks", 5.5, 5.5 + span, 6] for span in spans)), strict=True
		):
			self.assertLessEqual(len(answer["times"]), 7, span)


if __name__ == "__main__":
	unittest.main()
