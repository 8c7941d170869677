"""Each site's database: there, quick, and held up by nobody."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.site_settings import database_address
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.sites import UNKNOWN, databases, readable
from fmx_restart.doctor.words import listed

SLOW = 0.2  # seconds for an answer that takes a thousandth of that


@check("database")
def database(patient: Patient) -> Iterator[Finding]:
	found = databases(patient)
	for site, one in found.items():
		if not one.is_asked:
			text = f"Its database could not be asked: {one.fault}."
			remedy = f"Correct the settings that begin with db_ in sites/{site}/site_config.json or common_site_config.json"
			yield Finding("database", Severity.ERROR, site, text, remedy)
		elif one.fault and one.is_reached and one is not UNKNOWN:
			text = f"Its database refuses it: {one.fault}."
			remedy = f"db_name, db_password and db_host in sites/{site}/site_config.json"
			yield Finding("database", Severity.ERROR, site, text, remedy)
	yield from away(patient, [site for site, one in found.items() if not one.is_reached])
	if unknown := [site for site, one in found.items() if one is UNKNOWN]:
		text = f"Nothing is known about the database of {listed(unknown)}: there was no time to ask."
		remedy = "bench doctor, once more, when the machine is less busy"
		yield Finding("database", Severity.WARNING, "", text, remedy)


def away(patient: Patient, sites: list[str]) -> Iterator[Finding]:
	"""A server that does not answer is told once, however many sites it has."""
	by_address: dict[str, list[str]] = {}
	for site in sites:
		by_address.setdefault(database_address(readable(patient)[site]), []).append(site)
	for address, its_sites in by_address.items():
		why = databases(patient)[its_sites[0]].fault
		text = (
			f"The database server at {address} does not answer: {why}. Nothing works on {listed(its_sites)}."
		)
		remedy = "systemctl status mariadb, and db_host and db_port in the sites' site_config.json"
		yield Finding("database", Severity.ERROR, address, text, remedy)


@check("database-latency")
def database_latency(patient: Patient) -> Iterator[Finding]:
	for site, found in databases(patient).items():
		if (found.latency or 0.0) > SLOW:
			text = (
				f"Its database takes {found.latency:.2f} s for the shortest answer: it is busy, or far away."
			)
			yield Finding(
				"database-latency", Severity.WARNING, site, text, "SHOW FULL PROCESSLIST, in MariaDB"
			)


@check("long-transactions")
def long_transactions(patient: Patient) -> Iterator[Finding]:
	"""They hold up every change of a table, and so a migration. Only told where the site's user may see them."""
	for site, found in databases(patient).items():
		for one in found.transactions:
			text = f"In its database, {one.text}."
			yield Finding("long-transactions", Severity.WARNING, site, text, one.remedy)


@check("table-locks")
def table_locks(patient: Patient) -> Iterator[Finding]:
	"""Whoever waits for a table's metadata lock holds up all who come after."""
	for site, found in databases(patient).items():
		for one in found.waiters:
			text = f"In its database, {one.text}; others wait behind it."
			yield Finding("table-locks", Severity.WARNING, site, text, one.remedy)
