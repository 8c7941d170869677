"""
Run by Frappe's interpreter in the sites folder: two daily checks of one site, one after the other. Prints the subjects of
the notifications that each made, as JSON. Nothing stays in the database.
"""

from __future__ import annotations

import json
import sys

import click
import frappe

from fmx_restart.desk import daily


def main(site: str, switched_on: bool) -> None:
	frappe.init(site=site)
	frappe.connect()
	frappe.local.conf[daily.SWITCH] = int(switched_on)
	told = []
	for _ in range(2):
		before = frappe.db.count("Notification Log")
		daily.run()
		added = frappe.db.count("Notification Log") - before
		newest = frappe.get_all(
			"Notification Log", fields=["subject", "for_user"], order_by="creation desc", limit=added or 1
		)
		told.append([row.subject for row in newest if row.for_user == "Administrator"] if added else [])
	frappe.db.rollback()
	frappe.destroy()
	click.echo(json.dumps(told))


if __name__ == "__main__":
	main(sys.argv[1], sys.argv[2] == "on")
