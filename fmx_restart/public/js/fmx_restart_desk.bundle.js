/** On every page of Desk, so as small as can be: what the search field finds, and what is told while web restarts. */
import { heed_pauses } from "./restart/pause";

async function restart() {
	await frappe.require(["fmx_restart.bundle.css", "fmx_restart.bundle.js"]);
	fmx_restart.open_start_dialog();
}

/** Frappe finds a label by its beginning only, so each word that people type has one. */
function let_search_find_it() {
	const labels = [__("Restart the bench…"), __("Reboot: restart the bench…"), __("Update: restart the bench…")];
	labels.forEach((label) => frappe.search.utils.make_function_searchable(restart, label));
}

$(document).on("app_ready", () => {
	if (frappe.boot.fmx_restart?.access?.may_start) {
		let_search_find_it();
	}
	if (frappe.boot.fmx_restart_pause) {
		heed_pauses();
	}
});
