// Copyright (c) 2026, fmx_restart contributors
// For license information, please see license.txt

frappe.listview_settings["Restart Operation"] = {
	add_fields: ["status", "strategy", "phase"],

	formatters: {
		strategy(value) {
			const labels = {
				"wait-workers": __("Wait for running jobs"),
				rolling: __("One worker after the other"),
				"no-wait-workers": __("Now, busy workers later"),
				"suspend-rq": __("Suspend the queue and restart"),
				fast: __("Fast, by force"),
			};
			return labels[value] || frappe.utils.escape_html(value);
		},
	},

	onload(listview) {
		// nobody adds a record by hand, so Frappe would clear this place whenever rows are ticked and unticked
		listview.set_primary_action = () => {
			listview.page.set_primary_action(__("Restart…"), async () => {
				await frappe.require(["fmx_restart.bundle.css", "fmx_restart.bundle.js"]);
				fmx_restart.open_start_dialog();
			});
		};
		listview.set_primary_action();
		listview.page.add_inner_button(__("Bench Workers"), () => frappe.set_route("bench-workers"));
	},
};
