"""
frappe.enqueue for tests, in a process of its own: Frappe keeps one site and one configuration per process.

Run by Frappe's interpreter in the sites folder. Each line of stdin is {"site", "method", …}, the rest as
frappe.enqueue takes it; each line of stdout is the job's id.
"""

from __future__ import annotations

import json
import sys

import click
import frappe


def main() -> None:
	for line in sys.stdin:
		given = json.loads(line)
		frappe.init(site=given.pop("site"))
		frappe.connect()
		job = frappe.enqueue(given.pop("method"), **given)
		frappe.destroy()
		click.echo(json.dumps(job.id))


if __name__ == "__main__":
	main()
