"""What the API answers when it refuses: a code, a sentence, what to do, and a status; tried with Frappe itself, without a site."""

from __future__ import annotations

import inspect
import json
import unittest
from importlib.util import find_spec

from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.tests.desk.untranslated import UntranslatedCase

FUNCTIONS = (
	*("preview", "start", "status", "feed", "watch", "history", "cancel", "extend", "force"),
	*("verdict", "workers", "findings", "charts"),
)


def some_function(operation: str, seconds: float = 1.0) -> None:
	"""With an argument that is needed, and one that is not."""


class TestRefusals(UntranslatedCase):
	def setUp(self) -> None:
		super().setUp()
		global frappe, refusals  # other tests in this process must find none where they look for none
		import frappe

		from fmx_restart.desk import refusals

		for name in ("response", "flags"):
			setattr(frappe.local, name, frappe._dict())
		frappe.local.message_log = []

	def refused(self, *sent: str) -> dict[str, str]:
		with self.assertRaises(frappe.ValidationError) as caught:
			refusals.check_arguments(some_function, sent)
		self.assertEqual(caught.exception.http_status_code, 417)
		self.assertTrue(frappe.local.flags.disable_traceback)
		return frappe.local.response["error"]

	def test_a_misspelt_argument_is_refused_with_the_name_that_was_meant(self):
		error = self.refused("operation", "second", "cmd")
		self.assertEqual(error["code"], "UnknownArgument")
		self.assertEqual(error["message"], "There is no argument second.")
		self.assertEqual(error["remedy"], "Did you mean seconds? Nothing was done.")

	def test_an_argument_like_no_other_is_refused_with_all_names(self):
		self.assertIn("Arguments: operation, seconds.", self.refused("operation", "xyzzy")["remedy"])

	def test_an_argument_that_is_missing_is_named(self):
		error = self.refused("seconds")
		self.assertEqual(
			(error["code"], error["message"]), ("MissingArgument", "The argument operation is missing.")
		)

	def test_what_frappe_takes_from_a_request_for_itself_is_no_argument(self):
		refusals.check_arguments(some_function, ["operation", "cmd", "csrf_token", "sid", "_lang", "_"])

	def test_markup_is_escaped_for_people_in_a_browser_and_left_in_the_plain_error(self):
		self.refused("operation", "<b>")
		self.assertIn("<b>", frappe.local.response["error"]["message"])
		shown = json.dumps([message for message in frappe.local.message_log])
		self.assertNotIn("<b>", shown)
		self.assertIn("&lt;b&gt;", shown)

	def test_an_error_of_the_engine_keeps_its_name_and_its_remedy(self):
		with self.assertRaises(frappe.ValidationError):
			refusals.refuse_failed(QueueUnreachable("Redis does not answer.", hint="Start it."))
		self.assertEqual(
			frappe.local.response["error"],
			{"code": "QueueUnreachable", "message": "Redis does not answer.", "remedy": "Start it."},
		)

	def test_each_kind_of_error_for_the_client_has_its_code(self):
		for kind, code in (
			(frappe.PermissionError, "NotPermitted"),
			(frappe.DoesNotExistError, "NotFound"),
			(frappe.exceptions.FrappeTypeError, "InvalidArgument"),
			(frappe.ValidationError, "NotPossible"),
			(frappe.TooManyRequestsError, "TooManyRequests"),
		):
			with self.subTest(code=code):
				frappe.local.response = frappe._dict()
				refusals.answer_with_error(kind("why"))
				self.assertEqual(
					frappe.local.response["error"], {"code": code, "message": "why", "remedy": ""}
				)

	def test_what_nobody_foresaw_says_nothing_of_itself(self):
		refusals.answer_with_error(KeyError("password"))
		error = frappe.local.response["error"]
		self.assertEqual(error["code"], "InternalError")
		self.assertNotIn("password", json.dumps(error))

	def test_the_first_problem_stays(self):
		self.refused("operation", "second")
		refusals.answer_with_error(KeyError("later"))
		self.assertEqual(frappe.local.response["error"]["code"], "UnknownArgument")


@unittest.skipUnless(find_spec("frappe"), "it answers through Frappe")
class TestApi(unittest.TestCase):
	def test_frappe_hands_over_every_argument_so_that_none_is_dropped_in_silence(self):
		import frappe

		from fmx_restart import api

		for name in FUNCTIONS:
			function = getattr(api, name)
			handed = frappe.get_newargs(function, {"cmd": name, "wait_worker_timeout": 900})
			self.assertIn("wait_worker_timeout", handed, name)
			kinds = {it.kind for it in inspect.signature(function).parameters.values()}
			self.assertEqual(kinds, {inspect.Parameter.VAR_KEYWORD}, name)
