"""The files by which web processes find one another: what cannot be read counts for nothing, and ends nothing."""

from __future__ import annotations

import json
import os
import unittest
from dataclasses import asdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_restart.tests.adapters.benches import short_folder
from fmx_restart.tests.repetitions import repetitions
from fmx_restart.web.files import (
	Files,
	Order,
	Record,
	add_to_record,
	read_order,
	read_record,
	records_in,
	write_record,
)

VALUES = st.recursive(
	st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
	lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
often = settings(max_examples=repetitions("odd orders and records of web", 30, long=1000), deadline=None)
ORDER = Order(17, 99, ("one.localhost",), 60.0, False, ("out.log", "error.log"))


class TestFiles(unittest.TestCase):
	def setUp(self):
		self.files = Files(str(short_folder(self)), "0" * 12)

	def test_a_worker_whose_line_is_cut_off_hides_no_other(self):
		descriptor = write_record(self.files, Record(17, 99, 2))
		self.addCleanup(os.close, descriptor)
		add_to_record(descriptor, ready=18)
		os.write(descriptor, b'{"rea\n7\nnull\n[]\n{"ready": "x"}\n')
		add_to_record(descriptor, fault="one.localhost: HTTP 500")
		record = read_record(self.files.record)
		self.assertEqual((record.ready, record.faults), ({18}, ("one.localhost: HTTP 500",)))

	def test_an_order_comes_back_as_it_was_written(self):
		Path(self.files.order).write_text(json.dumps(asdict(ORDER)))
		self.assertEqual(read_order(self.files.order), ORDER)

	@often
	@given(st.sampled_from(sorted(asdict(ORDER))), VALUES)
	def test_an_order_with_any_other_value_is_one_or_is_none(self, name: str, value: object):
		Path(self.files.order).write_text(json.dumps({**asdict(ORDER), name: value}))
		order = read_order(self.files.order)
		if order is not None:
			types = [type(field) for field in vars(order).values()]
			self.assertEqual(types, [type(field) for field in vars(ORDER).values()])
			self.assertEqual({type(text) for text in (*order.sites, *order.logs)} | {str}, {str})

	def test_an_infinite_pid_and_a_deep_text_are_none(self):
		for text in (json.dumps({**asdict(ORDER), "master": float("inf")}), "[" * 100_000):
			Path(self.files.order).write_text(text)
			self.assertIsNone(read_order(self.files.order))

	@often
	@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
	def test_any_bytes_are_a_record_or_none(self, content: bytes):
		Path(self.files.record).write_bytes(content)
		self.assertIn(
			list(records_in(self.files.folder)), ([], [(self.files, read_record(self.files.record))])
		)
