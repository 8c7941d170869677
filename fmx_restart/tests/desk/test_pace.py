"""How often a page of Desk asks: public/js/restart/pace.js itself, run by Node with a clock of the test's."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import unittest
from pathlib import Path

import fmx_restart

PACE = Path(fmx_restart.__file__).parent / "public" / "js" / "restart" / "pace.js"
USUAL = 2.5  # seconds, as the form of an operation has it
MOST = 30  # requests in any minute
#: Plays each story, which is what one look after the other found, and tells at which second each look was
PLAYER = """
const [source, usual, stories] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
import("data:text/javascript," + encodeURIComponent(source)).then(({ pause_after }) => {
	let now = 0;
	Date.now = () => now * 1000;
	const played = stories.map((story) => {
		const [pause, looks] = [pause_after(usual), []];
		for (const found of story) {
			looks.push(now);
			now += pause(found);
		}
		now += 3600;
		return looks.map((time) => time - looks[0]);
	});
	console.log(JSON.stringify(played));
});
"""


@unittest.skipUnless(shutil.which("node"), "there is no node here")
class TestPace(unittest.TestCase):
	def play(self, *stories: list[str | None]) -> list[list[float]]:
		sent = json.dumps([PACE.read_text(), USUAL, stories])
		done = subprocess.run(
			["node", "-e", PLAYER], input=sent, capture_output=True, text=True, timeout=60, check=True
		)
		return json.loads(done.stdout)

	def most_in_a_minute(self, looks: list[float]) -> int:
		return max(sum(begin <= look < begin + 60 for look in looks) for begin in looks)

	def test_whatever_is_found_there_are_at_most_30_requests_in_any_minute(self):
		chance = random.Random(4)
		kinds = ["away", "lively", None]
		mixed = [chance.choices(kinds, [chance.random() for _ in kinds], k=120) for _ in range(60)]
		for looks in self.play(["lively"] * 200, [None] * 200, ["away", None] * 100, *mixed):
			self.assertLessEqual(self.most_in_a_minute(looks), MOST)

	def test_what_happens_at_once_is_seen_after_a_second(self):
		(looks,) = self.play([None, "lively", "lively", None, None])
		self.assertEqual(looks, [0, 2.5, 3.5, 4.5, 7.0])

	def test_while_web_stays_away_there_are_fewer_and_fewer_until_it_is_back(self):
		(looks,) = self.play(["away"] * 6 + [None, None])
		self.assertEqual(looks, [0, 1, 3.5, 8.5, 16.5, 24.5, 32.5, 35.0])
