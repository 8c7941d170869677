"""The files by which web processes find one another: what cannot be read counts for nothing, and ends nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from dataclasses import asdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_restart.tests.adapters.benches import short_folder
from fmx_restart.tests.adapters.test_namespaces import CHECKOUT, NAMESPACE, can_unshare
from fmx_restart.tests.repetitions import repetitions
from fmx_restart.web.files import (
	RECORD,
	Files,
	Order,
	Record,
	add_to_record,
	all_files_in,
	key_of,
	older_key_of,
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

	@unittest.skipUnless(can_unshare(), "this user may not make a pid namespace")
	def test_those_of_another_machine_in_the_same_folder_have_other_names_and_are_not_seen(self):
		addresses = [("127.0.0.1", 8000)]
		ours = Files(self.files.folder, key_of(addresses))
		code = (
			"import os, sys\nfrom fmx_restart.web.files import *\n"
			f"files = Files({self.files.folder!r}, key_of({addresses!r}))\n"
			"os.close(write_record(files, Record(os.getpid(), start_time(os.getpid()), 2)))\nprint(files.key)"
		)
		words = [*NAMESPACE, sys.executable, "-c", code]
		theirs = subprocess.run(
			words, capture_output=True, text=True, check=True, cwd=CHECKOUT
		).stdout.strip()
		self.assertNotEqual(theirs, ours.key)
		self.assertEqual(theirs.partition("-")[0], older_key_of(addresses))
		self.assertEqual(list(records_in(ours.folder)), [])
		os.close(write_record(ours, Record(17, 99, 2)))
		self.assertEqual([files for files, _ in records_in(ours.folder)], [ours])
		self.assertEqual(len(list(all_files_in(ours.folder, RECORD))), 2)

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
