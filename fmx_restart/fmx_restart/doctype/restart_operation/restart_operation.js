// Copyright (c) 2026, fmx_restart contributors
// For license information, please see license.txt

frappe.ui.form.on("Restart Operation", {
	async refresh(frm) {
		if (frm.is_new()) {
			// only an operation makes a record of itself
			frappe.set_route("List", "Restart Operation");
			return;
		}
		frm.disable_save();
		const name = frm.docname;
		await frappe.require(["fmx_restart.bundle.css", "fmx_restart.bundle.js"]);
		if (frm.docname === name) {
			fmx_restart.show_operation(frm);
		}
	},
});
