"""A page of Desk stays open while the bench is restarted: it hears what Frappe publishes, once, without being loaded anew."""

from __future__ import annotations

from collections import Counter

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.desk_case import LIST, DeskTestCase
from fmx_restart.tests.bench.site_process import SiteProcess

EVENT, USER = "fmx_restart_test", "Administrator"
LISTEN = """(event) => {
	const socket = frappe.realtime.socket;
	Object.assign(window, { heard: [], connectedAt: null });
	socket.on("connect", () => (window.connectedAt = Date.now() / 1000));
	frappe.realtime.on(event, (message) => window.heard.push(message.number));
}"""
#: Someone looks and acts while web is away: a read of the closed list, once, and again and again what is no read of it
CLICK = """() => {
	Object.assign(window, { alerts: [], counts: [], states: [], clicked: 0 });
	const show = frappe.show_alert;
	frappe.show_alert = (alert, ...others) => {
		window.alerts.push(alert.message || alert);
		return show(alert, ...others);
	};
	frappe.realtime.on("fmx_restart_pause", ({ state }) => {
		window.states.push(state);
		if (state !== "pause") {
			clearInterval(window.clicks);
			return;
		}
		frappe.call("frappe.client.get_count", { doctype: "User" }).then(({ message }) => window.counts.push(message));
		window.clicks = setInterval(() => {
			window.clicked++;
			frappe.call({ method: "frappe.ping", error: () => {} });
		}, 250);
	});
}"""
CONNECTED = "() => frappe.realtime.socket.connected"
RECONNECTS = 30.0  # seconds; Frappe's page tries three times, and then no more
#: Seconds after socketio has gone, and before the browser is back, in which what is published may be lost: the operation looks
#: several times a second, a browser takes a moment to join its rooms, and what may have been heard is not sent again.
BORDER = 1.0


class TestLiveMessages(DeskTestCase):
	def test_the_browser_connects_again_and_hears_once_what_was_published_while_socketio_was_away(self):
		page = self.desk.page
		# Given a page that listens, and a site that publishes all the time
		self.desk.open("restart-operation", LIST)
		eventually(lambda: page.evaluate(CONNECTED), "it is connected", deadline=RECONNECTS)
		page.evaluate(LISTEN, EVENT)
		page.evaluate(CLICK)
		site, end = SiteProcess(self.bench), self.folder / "end"
		self.addCleanup(site.close)
		self.addCleanup(end.touch)
		site.ask("publish_until", end=str(end), event=EVENT, user=USER)
		eventually(self.heard, "the page hears it", deadline=RECONNECTS)
		# When the bench is restarted
		done = self.run_command("--wait-workers", "--json")
		self.assertEqual(done.code, 0, done.text)
		# Then the page is connected anew, by itself, and hears what is published now
		back = eventually(lambda: page.evaluate("window.connectedAt"), "it is back", deadline=RECONNECTS)
		self.look_at_the_pause()
		known = max(self.heard())
		eventually(lambda: max(self.heard()) > known, "the page hears it again", deadline=RECONNECTS)
		end.touch()
		# And what nobody heard meanwhile has come, but for that of a moment; nothing has come twice
		heard, unheard = Counter(self.heard()), away(site.answer(), back)
		self.assertTrue(heard.keys() & unheard, "nothing was kept")
		first, last = min(unheard.values()) + BORDER, back - BORDER
		lost = [number for number, at in unheard.items() if first < at < last and not heard[number]]
		self.assertEqual((lost, [number for number, times in heard.items() if times > 1]), ([], []))

	def look_at_the_pause(self) -> None:
		"""It was told, what was asked meanwhile has come, and Frappe's dialog has not."""
		page = self.desk.page
		self.assertEqual(page.evaluate("window.states"), ["pause", "back"])
		eventually(
			lambda: page.evaluate("window.counts.length") == 1, "the read was answered", deadline=RECONNECTS
		)
		alerts = page.evaluate("window.alerts")
		for text in ("pauses for a few seconds", "server is restarting", "server is back"):
			self.assertTrue(any(text in alert for alert in alerts), (text, alerts))
		# Whatever is no read of the list was sent once, and what is, once in all
		paths = Counter(path.rpartition("/")[2] for _, path in self.desk.asked)
		self.assertEqual(paths["frappe.ping"], page.evaluate("window.clicked"), paths)
		counts = [path for _, path in self.desk.asked if path.endswith("frappe.client.get_count")]
		self.assertEqual(len(counts), 1)
		self.assertEqual(page.locator(".modal.show").filter(has_text="Internal Server Error").count(), 0)

	def heard(self) -> list[int]:
		return self.desk.page.evaluate("window.heard")


def away(published: list[tuple[float, bool]], back: float) -> dict[int, float]:
	"""
	Number → instant of what was published from the moment when the operation alone was subscribed until the browser was
	back. Beside socketio that makes two; before there is one.
	"""
	together = next(number for number, (_, is_one) in enumerate(published) if not is_one)
	alone = next(at for at, is_one in published[together:] if is_one)
	return {number: at for number, (at, _) in enumerate(published) if alone <= at < back}
