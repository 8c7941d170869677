"""A real Chromium that looks at the development bench's Desk."""

from __future__ import annotations

import json
import re
import shutil
import time
import unittest
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fmx_restart.tests.adapters.waiting import eventually

if TYPE_CHECKING:
	from playwright.sync_api import ConsoleMessage, Locator, Page, Request

	from development.description import Bench

#: Seconds for Desk to show something; the machine may be busy.
PATIENCE = 40.0
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
WIDE, PHONE = (1280, 900), (375, 812)  # width and height in pixels
#: What Chromium itself notes about answers that did not come: web and realtime are being restarted.
OF_THE_NETWORK = re.compile(
	r"Failed to load resource|WebSocket connection to|net::ERR_|Error connecting to socket\.io"
)

#: Bootstrap ignores hide() while a dialog fades in, so a click in that moment would leave it open
NO_DIALOG_MOVES = """() => [...document.querySelectorAll(".modal.show")]
	.every((modal) => !window.jQuery(modal).data("bs.modal")?._isTransitioning)"""


class Browser:
	"""One Chromium for several people, each in a window that knows nothing of the others."""

	def __init__(self, bench: Bench) -> None:
		from playwright.sync_api import sync_playwright

		if not shutil.which("chromium"):
			raise unittest.SkipTest("no Chromium here; Debian has it as: chromium")
		self.bench = bench
		self.playwright = sync_playwright().start()
		self.chromium = self.playwright.chromium.launch(
			executable_path=shutil.which("chromium"), args=list(CHROMIUM)
		)

	def close(self) -> None:
		self.chromium.close()
		self.playwright.stop()

	def desk(self, user: str = "Administrator", password: str = "", size: tuple[int, int] = WIDE) -> Desk:
		"""Logged in. It is closed with the browser."""
		window = self.chromium.new_context(viewport={"width": size[0], "height": size[1]})
		window.set_default_timeout(PATIENCE * 1000)
		desk = Desk(window.new_page(), self.bench)
		desk.log_in(user, password or self.bench.admin_password)
		return desk


def session_of(bench: Bench, user: str, password: str) -> str | None:
	"""The id of a new session; None while web is not up. Raises AssertionError for a wrong password."""
	connection = HTTPConnection("127.0.0.1", bench.ports.front, timeout=PATIENCE)
	with closing(connection):
		headers = {"Host": bench.site, "Content-Type": "application/json"}
		connection.request("POST", "/api/method/login", json.dumps({"usr": user, "pwd": password}), headers)
		answer = connection.getresponse()
		assert answer.status != 401, f"{user} cannot log in"
		cookies = SimpleCookie(", ".join(answer.headers.get_all("Set-Cookie", [])))
		return cookies["sid"].value if answer.status == 200 else None


class Desk:
	"""One window, all that went wrong in it, and when it asked the server what."""

	def __init__(self, page: Page, bench: Bench) -> None:
		self.page, self.bench = page, bench
		self.errors: list[str] = []
		#: Seconds of the monotonic clock, and the path of the request
		self.asked: list[tuple[float, str]] = []
		page.on("console", self._note)
		page.on("request", self._note_request)
		page.on("pageerror", lambda error: self.errors.append(str(error)))

	def _note(self, message: ConsoleMessage) -> None:
		if message.type == "error" and not OF_THE_NETWORK.search(message.text):
			self.errors.append(message.text)

	def _note_request(self, request: Request) -> None:
		path = urlsplit(request.url).path
		if path.startswith("/api/"):
			self.asked.append((time.monotonic(), path))

	def log_in(self, user: str, password: str) -> None:
		"""
		As soon as web is up. Not in the browser: the answer to its question for an icon, asked before and by nobody, may
		come afterwards and would log it out again.
		"""
		sid = eventually(
			lambda: session_of(self.bench, user, password), f"{user} is logged in", deadline=PATIENCE
		)
		cookie = {"name": "sid", "value": sid, "domain": self.bench.site, "path": "/"}
		self.page.context.add_cookies([cookie])

	def request(self, verb: str, method: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
		"""/api/method/METHOD, as the page itself would ask: {"status": 200, "body": {…}}"""
		return self.page.evaluate(
			"""async ({ verb, method, args }) => {
				const token = window.frappe?.csrf_token;
				const is_post = verb === "POST";
				const answer = await fetch(`/api/method/${method}` + (is_post ? "" : `?${new URLSearchParams(args)}`), {
					method: verb,
					headers: { "Content-Type": "application/json", ...(token && { "X-Frappe-CSRF-Token": token }) },
					body: is_post ? JSON.stringify(args) : undefined,
				});
				return { status: answer.status, body: await answer.json().catch(() => ({})) };
			}""",
			{"verb": verb, "method": method, "args": args or {}},
		)

	def ask(self, function: str, **args: Any) -> dict[str, Any]:
		"""What fmx_restart.api's function answers."""
		answer = self.request("GET", f"fmx_restart.api.{function}", args)
		assert answer["status"] == 200, answer
		return answer["body"]["message"]

	def act(self, function: str, **args: Any) -> dict[str, Any]:
		answer = self.request("POST", f"fmx_restart.api.{function}", args)
		assert answer["status"] == 200, answer
		return answer["body"]["message"]

	def open(self, route: str, wait_for: str) -> None:
		"""A page of Desk, until the selector shows something."""
		self.page.goto(f"{self.bench.desk_url}/app/{route}")
		self.see(wait_for)

	def go(self, route: str, wait_for: str) -> None:
		"""As `open`, in the Desk that is open already: to load it anew takes a core for seconds."""
		self.page.evaluate("(route) => { frappe.set_route(route); }", route)
		self.see(wait_for)

	def open_operation(self, operation: str) -> None:
		self.open(f"restart-operation/{operation}", ".restart-view")

	def go_to_operation(self, operation: str) -> None:
		self.go(f"restart-operation/{operation}", ".restart-view")

	def see(
		self, selector: str, text: str | re.Pattern[str] | None = None, seconds: float = PATIENCE
	) -> Locator:
		"""Wait until it is visible. Desk keeps pages that were left, and hides them."""
		found = self.page.locator(f"{selector} >> visible=true")
		found = (found.filter(has_text=text) if text else found).first
		try:
			found.wait_for(state="visible", timeout=seconds * 1000)
		except Exception as error:
			picture = self.bench.log_path / "desk-failure.png"
			self.picture(picture)
			raise AssertionError(f"{selector} {text or ''} was never seen; what was: {picture}") from error
		return found

	def see_no(self, selector: str) -> None:
		self.page.locator(selector).first.wait_for(state="hidden")

	def click(self, selector: str, text: str | None = None) -> None:
		found = self.see(selector, text)
		self.page.wait_for_function(NO_DIALOG_MOVES)
		found.click()

	def text(self, selector: str) -> str:
		return self.see(selector).inner_text()

	def asks(self, method: str, *, within: float) -> bool:
		"""Whether the page sends such a request during these seconds."""
		from playwright.sync_api import TimeoutError

		try:
			self.page.wait_for_event("request", lambda request: method in request.url, timeout=within * 1000)
		except TimeoutError:
			return False
		return True

	def switch_to_dark(self) -> None:
		self._switch_to("dark")

	def switch_to_light(self) -> None:
		self._switch_to("light")

	def _switch_to(self, theme: str) -> None:
		self.page.evaluate("theme => document.documentElement.setAttribute('data-theme', theme)", theme)

	@contextmanager
	def on_a_phone(self) -> Iterator[None]:
		"""Inside the block the window is as narrow as a phone."""
		before = self.page.viewport_size
		self.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
		try:
			yield
		finally:
			self.page.set_viewport_size(before)

	def excess(self) -> int:
		"""Pixels by which the page is wider than the window: people would have to scroll sideways."""
		return self.page.evaluate(
			"Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - window.innerWidth"
		)

	def picture(self, path: Path, *, whole: bool = False) -> None:
		self.page.screenshot(path=path, full_page=whole)
