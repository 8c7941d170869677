"""What tests of Desk share: one browser, the list with its dialog, an operation's form."""

from __future__ import annotations

from typing import ClassVar

from fmx_restart.tests.bench.accessibility import violations
from fmx_restart.tests.bench.browser import Browser, Desk
from fmx_restart.tests.bench.support import BenchTestCase

LIST, PRIMARY = ".page-actions .primary-action:visible", ".modal.show .btn-modal-primary"
RESTART = 180.0  # seconds
METHOD = "fmx_restart.tests.bench.jobs.hold"


class DeskTestCase(BenchTestCase):
	"""Nothing that Desk shows may end in an error of the console, or in a dialog of Frappe's about one."""

	browser: ClassVar[Browser]
	desk: ClassVar[Desk]

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.browser = Browser(cls.bench)
		cls.addClassCleanup(cls.browser.close)
		cls.desk = cls.browser.desk()

	def setUp(self) -> None:
		super().setUp()
		self.desk.errors.clear()

	def tearDown(self) -> None:
		self.assert_no_errors(self.desk)
		super().tearDown()

	def assert_no_errors(self, desk: Desk) -> None:
		self.assertEqual(desk.errors, [])
		self.assertEqual(desk.page.locator(".modal.show .modal-title:has-text('Error')").count(), 0)
		self.assertEqual(desk.page.locator("#alert-container .red").count(), 0)

	def assert_accessible(self, where: str = ".restart-root") -> None:
		self.assertEqual(list(violations(self.desk, where)), [])

	def start_over_the_api(self, **options) -> str:
		"""An operation's name; its form is open."""
		self.desk.open("restart-operation", LIST)
		operation = self.desk.act("start", **options)["operation"]
		self.desk.go_to_operation(operation)
		return operation

	def see_status(self, status: str) -> None:
		"""Web may be away for most of a minute on a busy machine."""
		self.desk.see(f'.restart-view[data-status="{status}"]', seconds=RESTART)

	def see_phase(self, phase: str) -> None:
		self.desk.see(f'.restart-timeline .is-current[data-phase="{phase}"]')
