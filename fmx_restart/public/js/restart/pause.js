/**
 * On every page of Desk: web is about to stop for some seconds, and says so (adapters/realtime.py). Until it answers again,
 * reads of a closed list wait and are sent then; everything else is sent as it is, once, and never again by us.
 */

/** What may be asked later: it changes nothing. */
const READS = new Set([
	"frappe.client.get",
	"frappe.client.get_count",
	"frappe.client.get_list",
	"frappe.client.get_value",
	"frappe.desk.desktop.get_desktop_page",
	"frappe.desk.form.load.getdoc",
	"frappe.desk.form.load.getdoctype",
	"frappe.desk.listview.get_list_settings",
	"frappe.desk.reportview.get",
	"frappe.desk.reportview.get_count",
	"frappe.desk.reportview.get_list",
	"frappe.desk.search.search_link",
]);
/** Milliseconds: between two looks; and after which a server that never stopped answering is not waited for any more. */
const LOOK = 500;
const STOPS_WITHIN = 10000;

/** Reads that wait; null while web answers. */
let waiting = null;

function pause() {
	if (waiting) {
		return;
	}
	waiting = [];
	tell(__("This site pauses for a few seconds, as its server restarts. What you have typed is kept."), "orange");
	look(Date.now(), false);
}

/** @param was_away whether an answer was missing since the pause was announced: the old server answers until it stops */
async function look(since, was_away) {
	const answers = await fetch("/api/method/ping", { cache: "no-store" }).then(({ ok }) => ok, () => false);
	if (!waiting) {
		return; // it was announced meanwhile
	}
	if (answers && (was_away || Date.now() - since > STOPS_WITHIN)) {
		resume();
	} else {
		// not all pages at the same instant
		setTimeout(() => waiting && look(since, was_away || !answers), LOOK * (0.5 + Math.random()));
	}
}

function resume() {
	const reads = waiting;
	waiting = null;
	tell(__("The server is back."), "green");
	reads.forEach((send) => send());
}

function tell(message, indicator) {
	frappe.show_alert({ message, indicator }, 7);
}

function method_of({ url, args }) {
	return args?.cmd || (url || "").replace(/^\/api\/method\//, "").replace(/[?/].*$/, "");
}

/** Frappe's dialog for an answer of the proxy says that something is broken: nothing is. */
function replace_dialog() {
	const show = frappe.msgprint;
	frappe.msgprint = function (message, ...others) {
		if (waiting && message === __("Internal Server Error")) {
			tell(__("The server is restarting. What you have typed is kept: try again in a few seconds."), "orange");
			return;
		}
		return show.call(this, message, ...others);
	};
}

function let_reads_wait() {
	const call = frappe.request.call;
	frappe.request.call = function (options) {
		if (!waiting || !READS.has(method_of(options))) {
			return call.call(this, options);
		}
		const answer = $.Deferred();
		waiting.push(() => call.call(this, options).then(answer.resolve, answer.reject));
		return answer.promise();
	};
}

export function heed_pauses() {
	replace_dialog();
	let_reads_wait();
	frappe.realtime.on("fmx_restart_pause", ({ state }) => (state === "back" ? waiting && resume() : pause()));
}
