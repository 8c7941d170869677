"""The text of a scrape, read by the parser of the format's own authors, whatever a queue is called."""

from __future__ import annotations

import math
import unittest
from importlib.util import find_spec

from hypothesis import given
from hypothesis import strategies as some

from fmx_restart.desk.open_metrics import Gauge, exposition


class TestText(unittest.TestCase):
	def test_a_gauge_without_a_known_value_is_left_out_and_the_end_is_marked(self):
		unknown = Gauge("app_age_seconds", "Age.").add(None).add(math.nan)
		self.assertEqual(exposition([unknown]), "# EOF\n")

	def test_each_gauge_has_its_type_its_unit_and_its_help(self):
		text = exposition([Gauge("app_age_seconds", "Age.").add(1.5, queue="long").add(True, queue="short")])
		self.assertEqual(
			text.splitlines(),
			[
				"# TYPE app_age_seconds gauge",
				"# UNIT app_age_seconds seconds",
				"# HELP app_age_seconds Age.",
				'app_age_seconds{queue="long"} 1.5',
				'app_age_seconds{queue="short"} 1',
				"# EOF",
			],
		)


@unittest.skipUnless(find_spec("prometheus_client"), "needs the parser of prometheus_client")
class TestFormat(unittest.TestCase):
	def parsed(self, text: str) -> list:
		from prometheus_client.openmetrics.parser import text_string_to_metric_families

		return list(text_string_to_metric_families(text))

	@given(some.lists(some.text(max_size=20), unique=True, max_size=4), some.floats(allow_nan=False))
	def test_any_name_and_any_number_can_be_read_back(self, names: list[str], value: float):
		gauge = Gauge("app_jobs", 'What "it" is\\ and\nmore.')
		for name in names:
			gauge.add(value, queue=name)
		families = self.parsed(exposition([gauge, Gauge("app_up", "Up.").add(True)]))
		self.assertEqual(
			[family.name for family in families], ["app_jobs", "app_up"] if names else ["app_up"]
		)
		read = [sample for family in families for sample in family.samples if family.name == "app_jobs"]
		self.assertEqual(len({sample.labels["queue"] for sample in read}), len(names))
		for sample, name in zip(read, names, strict=True):
			if name.isprintable():
				self.assertEqual(sample.labels["queue"], name)
			if math.isfinite(value):
				self.assertAlmostEqual(sample.value, value, delta=1e-6)

	def test_a_name_that_is_no_text_is_shown_in_escapes(self):
		(family,) = self.parsed(exposition([Gauge("app_jobs", "Jobs.").add(1, queue="a\udcff")]))
		self.assertEqual(family.samples[0].labels["queue"], "a\\udcff")


@unittest.skipUnless(find_spec("frappe"), "the token is looked at inside Frappe")
class TestToken(unittest.TestCase):
	def test_only_a_bearer_with_exactly_that_token_has_it(self):
		from fmx_restart.desk.metrics import is_token

		for authorization, token, has_it in (
			("Bearer abc", "abc", True),
			("bearer  abc ", " abc", True),
			("Bearer abcd", "abc", False),
			("Bearer ab", "abc", False),
			("Basic abc", "abc", False),
			("abc", "abc", False),
			("", "abc", False),
			("Bearer \xe4\udcff", "\udfff\xe4", False),  # what HTTP and JSON may hold
		):
			with self.subTest(authorization=authorization):
				self.assertIs(is_token(authorization, token), has_it)
