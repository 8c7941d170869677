"""Whose journal it is: what two machines may have in common, and what only one has."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.engine.identity import Machine, is_same_machine

NOTED_AT = 1000.0  # seconds since the epoch
NOTED = Machine("bench-1", "id-1", "boot-1/pid:[1]", up_since=500.0)


class TestMachine(unittest.TestCase):
	def assert_same(self, **this):
		self.assertTrue(is_same_machine(NOTED, NOTED_AT, replace(NOTED, **this)), this)

	def assert_other(self, **this):
		self.assertFalse(is_same_machine(NOTED, NOTED_AT, replace(NOTED, **this)), this)

	def test_within_one_boot_it_is_itself_whatever_it_is_called_now_and_whatever_its_clock_says(self):
		self.assert_same()
		self.assert_same(name="renamed", id="another", up_since=9999.0)

	def test_after_a_restart_it_is_itself_by_name_and_id(self):
		self.assert_same(boot="boot-2", up_since=1500.0)

	def test_one_with_another_name_or_id_is_another(self):
		self.assert_other(name="bench-2", boot="boot-2", up_since=1500.0)
		self.assert_other(id="id-2", boot="boot-2", up_since=1500.0)

	def test_a_clone_or_a_container_of_the_same_name_that_ran_at_that_time_is_another(self):
		self.assert_other(boot="boot-2", up_since=400.0)
		self.assert_other(boot="boot-1/pid:[2]", up_since=999.0)
		self.assert_other(boot="boot-2", up_since=0.0)

	def test_of_an_older_version_only_the_name_is_known(self):
		noted = Machine("bench-1")
		self.assertTrue(is_same_machine(noted, NOTED_AT, replace(NOTED, up_since=400.0)))
		self.assertFalse(is_same_machine(noted, NOTED_AT, replace(NOTED, name="bench-2")))
