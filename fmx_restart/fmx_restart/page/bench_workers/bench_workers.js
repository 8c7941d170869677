// Copyright (c) 2026, fmx_restart contributors
// For license information, please see license.txt

frappe.pages["bench-workers"].on_page_load = async (wrapper) => {
	const page = frappe.ui.make_app_page({ parent: wrapper, title: __("Bench Workers"), single_column: true });
	await frappe.require(["fmx_restart.bundle.css", "fmx_restart.bundle.js"]);
	fmx_restart.show_workers(wrapper, page);
};
