// Copyright (c) 2026, fmx_restart contributors
// For license information, please see license.txt

frappe.listview_settings["Restart Operation"] = {
	add_fields: ["status", "strategy", "phase"],

	formatters: {
		strategy(value) {
			const known = (frappe.boot.fmx_restart?.strategies || []).find(({ strategy }) => strategy === value);
			return frappe.utils.escape_html(known?.label || value);
		},
	},

	onload(listview) {
		// nobody adds a record by hand, so Frappe would clear this place whenever rows are ticked and unticked
		listview.set_primary_action = () => {
			if (!frappe.boot.fmx_restart?.access?.may_start) {
				listview.page.clear_primary_action();
				return;
			}
			listview.page.set_primary_action(__("Restart…"), async () => {
				await frappe.require(["fmx_restart.bundle.css", "fmx_restart.bundle.js"]);
				fmx_restart.open_start_dialog();
			});
		};
		listview.set_primary_action();
		listview.page.add_inner_button(__("Bench Workers"), () => frappe.set_route("bench-workers"));
	},
};
