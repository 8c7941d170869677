"""What may be started from Desk or the API: typed options, one closed list, and words that are never other options."""

from __future__ import annotations

import json
import math
import unittest
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as some

from fmx_restart.commands import safe_restart
from fmx_restart.desk.start_request import PHASES, InvalidRequest, StartRequest, is_site_name

seconds = some.none() | some.integers(1, 10**9) | some.floats(1, 1e9, allow_nan=False)
site_names = some.text(min_size=1, max_size=40).filter(is_site_name)
requests = some.builds(
	StartRequest,
	strategy=some.sampled_from(["fast", "wait-workers", "no-wait-workers", "suspend-rq", "rolling"]),
	wait_workers_timeout=seconds,
	on_timeout=some.sampled_from([None, "abort", "requeue", "kill"]),
	force_kill_timeout=seconds,
	rolling_share=some.none() | some.floats(0, 100),
	rolling_max_failures=some.none() | some.integers(1, 99),
	web=some.booleans(),
	workers=some.booleans(),
	migrate=some.booleans(),
	migrate_timeout=seconds,
	backup=some.booleans(),
	skip_failing=some.booleans(),
	force=some.booleans(),
	sites=some.lists(site_names, max_size=3).map(tuple),
	maintenance_mode=some.lists(some.sampled_from(PHASES), max_size=3).map(tuple),
)


class TestStartRequest(unittest.TestCase):
	impossible: ClassVar = (
		{"strategy": "explode"},
		{"strategy": "--status"},
		{"strategy": None},
		{"wait_workers_timeout": "300"},
		{"wait_workers_timeout": -1},
		{"wait_workers_timeout": math.nan},
		{"wait_workers_timeout": math.inf},
		{"wait_workers_timeout": True},
		{"migrate_timeout": 0},
		{"on_timeout": "never"},
		{"on_timeout": ["abort"]},
		{"rolling_share": 101},
		{"rolling_max_failures": 0},
		{"rolling_max_failures": 1.5},
		{"web": 1},
		{"migrate": "yes"},
		{"sites": "a.example.com"},
		{"sites": ("../../etc",)},
		{"sites": ("..",)},
		{"sites": ("",)},
		{"sites": ("a\nb",)},
		{"sites": (1,)},
		{"maintenance_mode": ("lunch",)},
		{"maintenance_mode": ({},)},
	)

	def test_a_value_that_no_option_has_is_refused_from_code_and_from_json(self):
		for options in self.impossible:
			with self.subTest(options=options):
				with self.assertRaises(InvalidRequest):
					StartRequest(**options)
				with self.assertRaises(InvalidRequest):
					StartRequest.from_json(json.loads(json.dumps(options)))

	def test_an_unknown_key_is_refused_also_that_of_an_option_of_the_terminal(self):
		for key in ("migrate_command", "operation", "origin", "requested_by", "detach", "no_such_option"):
			with self.subTest(key=key), self.assertRaisesRegex(InvalidRequest, key):
				StartRequest.from_json({key: "sh -c 'id > /tmp/x'"})
		for found in (None, [], "x", 1):
			with self.subTest(found=found), self.assertRaises(InvalidRequest):
				StartRequest.from_json(found)

	@given(requests)
	def test_a_request_survives_its_way_through_json(self, request: StartRequest):
		self.assertEqual(StartRequest.from_json(json.loads(json.dumps(request.to_json()))), request)

	@given(requests)
	def test_the_command_reads_every_value_back_as_it_was(self, request: StartRequest):
		given = safe_restart.make_context("safe-restart", request.argv()).params
		wanted = request.to_json()
		self.assertEqual(given["strategy"] or "fast", wanted.pop("strategy"))
		self.assertEqual(float(given["rolling_share"].removesuffix("%")), wanted.pop("rolling_share") or 0.0)
		for name in ("force_kill_timeout", "rolling_max_failures", "migrate_timeout"):
			wanted[name] = wanted[name] or given[name]  # the command's own default
		for old, new in (("sites", "site"), ("maintenance_mode", "maintenance_mode")):
			wanted[new] = wanted.pop(old)
		self.assertEqual({name: given[name] for name in wanted}, wanted)

	@given(requests)
	def test_nothing_else_than_these_options_is_ever_given(self, request: StartRequest):
		given = safe_restart.make_context("safe-restart", request.argv()).params
		for name in (
			"migrate_command",
			"operation",
			"requested_by",
			"resume",
			"detach",
			"recover",
			"dry_run",
		):
			self.assertFalse(given[name], name)
		self.assertEqual(given["origin"], "terminal")

	def test_a_site_whose_name_looks_like_an_option_is_a_site(self):
		request = StartRequest(migrate=True, sites=("--migrate-command=id", "-x", "--help"))
		given = safe_restart.make_context("safe-restart", request.argv()).params
		self.assertEqual(given["site"], request.sites)
		self.assertIsNone(given["migrate_command"])


if __name__ == "__main__":
	unittest.main()
