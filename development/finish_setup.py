"""Run by Frappe's interpreter in the sites folder: marks a new site as set up, so that Desk opens its workspace."""

import sys

import frappe


def finish_setup(site: str) -> None:
	frappe.init(site=site)
	frappe.connect()
	frappe.db.set_single_value("System Settings", "setup_complete", 1)
	# newer Frappes keep it per app as well
	if frappe.db.exists("DocType", "Installed Application"):
		meta = frappe.get_meta("Installed Application")
		if meta.has_field("is_setup_complete"):
			frappe.db.set_value(
				"Installed Application", {"parent": "Installed Applications"}, "is_setup_complete", 1
			)
	frappe.db.set_default("desktop:home_page", "workspace")
	frappe.db.commit()
	frappe.destroy()


if __name__ == "__main__":
	finish_setup(sys.argv[1])
