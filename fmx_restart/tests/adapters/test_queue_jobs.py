"""What people are told of a job: site and method by Frappe's rule, and never more."""

from __future__ import annotations

import functools
import json
import os
import pickle
import tempfile
import zlib
from pathlib import Path

import fmx_restart
from fmx_restart import hooks
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.jobs import EXECUTES, OWN_METHODS, SCHEDULED, label
from fmx_restart.desk import announce
from fmx_restart.engine.ports import Job
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench, execute_job

FRAPPE = "frappe.utils.background_jobs"


class Opens:
	"""Whoever loads its pickle runs a command of the sender's choice."""

	def __init__(self, command: str) -> None:
		self.command = command

	def __reduce__(self):
		return os.system, (self.command,)


def pickled(function: str, kwargs: dict) -> bytes:
	"""As RQ keeps a job."""
	return zlib.compress(pickle.dumps((function, None, (), kwargs)))


class TestDescribedJobs(RedisTestCase):
	def setUp(self):
		super().setUp()
		self.bench = RqBench(self.server)
		self.addCleanup(self.bench.stop)
		self.queue = RedisQueue(self.bench.connection, self.bench.id, "operation-1")

	def described(self, **given) -> Job:
		self.bench.enqueue("job-1", "long", **given)
		return self.queue.describe(["job-1"])["job-1"]

	def with_data(self, data: bytes) -> Job:
		self.bench.enqueue("job-1", "long")
		self.admin.hset("rq:job:job-1", "data", data)
		return self.queue.describe(["job-1"])["job-1"]

	# Frappe's rule

	def test_a_scheduled_job_is_called_by_its_type(self):
		method = "frappe.core.doctype.scheduled_job_type.scheduled_job_type.run_scheduled_job"
		job = self.described(method=method, kwargs={"job_type": "app.tasks.daily"})
		self.assertEqual(job.method, "app.tasks.daily")

	def test_this_apps_own_jobs_are_known_as_such(self):
		for method in OWN_METHODS:
			for kwargs in (
				{"site": "one.localhost", "method": method, "kwargs": {"operation": "1"}},
				{"site": "one.localhost", "method": SCHEDULED, "kwargs": {"job_type": method}},
			):
				with self.subTest(kwargs):
					job = self.with_data(pickled(EXECUTES, kwargs))
					self.assertEqual((job.is_own, job.method), (True, method))

	def test_what_only_looks_like_one_of_them_is_not(self):
		own = "fmx_restart.desk.samples.tick"
		for function, kwargs in (
			(EXECUTES, {"method": f"{own}_and_mine"}),
			(EXECUTES, {"method": "fmx_restart_extra.jobs.work"}),
			(EXECUTES, {"method": "fmx_restart.tests.bench.jobs.hold"}),
			(EXECUTES, {"method": "app.tasks.work", "kwargs": {"job_type": own}}),
			(EXECUTES, {"method": SCHEDULED, "kwargs": {"job_type": "samples.tick"}}),
			(EXECUTES, {"method": SCHEDULED, "kwargs": own}),
			(EXECUTES, {"method": [own]}),
			("app.tasks.execute_job", {"method": own}),
			(own, {}),
		):
			with self.subTest(function=function, kwargs=kwargs):
				self.assertFalse(self.with_data(pickled(function, kwargs)).is_own)

	def test_every_job_that_this_app_has_run_is_one_of_them(self):
		scheduled = {method for methods in hooks.scheduler_events.values() for method in methods}
		self.assertLessEqual({*scheduled, announce.RECORD}, OWN_METHODS)
		for method in OWN_METHODS:
			module, _, name = method.rpartition(".")
			source = Path(fmx_restart.__file__).parents[1] / f"{module.replace('.', '/')}.py"
			self.assertRegex(source.read_text(), rf"def {name}\(|(?m:import {name} as {name}$)")

	def test_a_documents_method_is_called_by_doctype_and_method(self):
		kwargs = {"doctype": "Sales Invoice", "name": "SINV-1", "doc_method": "submit"}
		job = self.described(method=f"{FRAPPE}.run_doc_method", kwargs=kwargs)
		self.assertEqual(job.method, "Sales Invoice.submit")

	def test_a_function_object_is_called_by_its_path(self):
		self.assertEqual(self.described(method=execute_job).method, f"{__package__}.rq_bench.execute_job")

	def test_an_object_that_can_be_called_is_called_by_its_type(self):
		job = self.described(method=functools.partial(execute_job, "secret"))
		self.assertEqual(job.method, "functools.partial")

	def test_a_job_that_is_none_of_frappes_is_called_by_its_function(self):
		self.bench.queue("long").enqueue_call("app.plain", args=("secret",), job_id="job-1")
		job = self.queue.describe(["job-1"])["job-1"]
		self.assertEqual((job.site, job.method), ("unknown", "app.plain"))

	def test_a_job_without_a_site_says_so(self):
		self.assertEqual(self.described(site=None).site, "unknown")

	# limits

	def test_a_job_without_a_limit_has_none(self):
		self.assertIsNone(self.described(timeout=-1).timeout)

	def test_the_limit_is_rqs_own(self):
		self.assertEqual(self.described(timeout=1500).timeout, 1500.0)

	# what must never happen

	def test_no_argument_is_ever_shown(self):
		# Given a job with secrets everywhere but in site and method
		secrets = {"password": "hunter2", "token": ["hunter2"], "doctype": "hunter2"}
		job = self.described(kwargs=secrets, user="hunter2", event="hunter2", job_name="hunter2")
		self.assertNotIn("hunter2", repr(job))

	def test_reading_a_job_runs_none_of_its_code(self):
		# Given pickles that would run a command: as the job, as its method, deep in its arguments
		with tempfile.TemporaryDirectory() as folder:
			trap = Opens(f"touch {folder}/sprung")
			kwargs = {"site": "one.localhost", "method": "app.work", "kwargs": {"deep": [{"trap": trap}]}}
			for content in (trap, (trap, None, (), {}), ("f", None, (), kwargs), ("f", trap, trap, kwargs)):
				with self.subTest(content=type(content).__name__):
					self.with_data(zlib.compress(pickle.dumps(content)))
					self.assertEqual(list(Path(folder).iterdir()), [])
			# Then none of them ran, and whoever loads them as usual would have been caught
			pickle.loads(pickle.dumps(trap))
			self.assertEqual([file.name for file in Path(folder).iterdir()], ["sprung"])

	def test_a_trap_in_the_arguments_hides_neither_site_nor_method(self):
		kwargs = {"site": "one.localhost", "method": "app.work", "kwargs": {"trap": Opens("true")}}
		job = self.with_data(pickle.dumps(("f", None, (), kwargs)))
		self.assertEqual((job.site, job.method), ("one.localhost", "app.work"))

	# what cannot be read

	def test_jobs_of_old_versions_are_not_compressed_and_read_all_the_same(self):
		content = ("f", None, (), {"site": "one.localhost", "method": "app.work", "kwargs": {}})
		self.assertEqual(self.with_data(pickle.dumps(content)).method, "app.work")

	def test_what_cannot_be_read_is_unknown_but_its_queue_and_limit_are_told(self):
		for data in (
			b"",
			b"\x80",
			b"garbage",
			zlib.compress(b"{}"),
			json.dumps(["f", None, [], {}]).encode(),
		):
			with self.subTest(data=data):
				job = self.with_data(data)
				self.assertEqual((job.site, job.method), ("unknown", "unknown"))
				self.assertEqual((job.queue, job.timeout), ("long", 300.0))

	def test_a_hash_without_data_is_unknown(self):
		self.bench.enqueue("job-1", "long")
		self.admin.hdel("rq:job:job-1", "data", "timeout")
		job = self.queue.describe(["job-1"])["job-1"]
		self.assertEqual((job.site, job.method, job.timeout), ("unknown", "unknown", None))

	def test_data_that_was_cut_off_anywhere_is_unknown(self):
		kwargs = {"site": "one.localhost", "method": execute_job, "kwargs": {"a": [1, 2.5, Opens("true")]}}
		for protocol in range(2, 6):
			data = pickle.dumps(("f", None, (), kwargs), protocol=protocol)
			for end in range(len(data)):
				self.assertEqual(label(data[:end]), ("unknown", "unknown"), data[:end])

	def test_lengths_that_no_memory_could_hold_are_unknown(self):
		for data in (b"\x8e" + b"\xff" * 8, b"\x8e" + b"\xff" * 7 + b"\x7f", b"\x95" + b"\xff" * 8):
			self.assertEqual(label(data + b"."), ("unknown", "unknown"), data)
