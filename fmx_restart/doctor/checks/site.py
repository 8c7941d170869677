"""Each site's own configuration: readable, and open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fmx_restart.doctor.at_work import is_held
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.sites import closed_by, readable, settings_of
from fmx_restart.doctor.words import span


@check("site-config")
def site_config(patient: Patient) -> Iterator[Finding]:
	for site, settings in settings_of(patient).items():
		if settings.fault:
			remedy = f"python3 -m json.tool sites/{site}/site_config.json"
			yield Finding("site-config", Severity.ERROR, site, settings.fault, remedy)


@check("bench-folder")
def bench_folder(patient: Patient) -> Iterator[Finding]:
	"""frappe.utils.get_bench_path counts three folders up from where the package really is."""
	frappes = patient.ways.frappes_folder()
	if Path(frappes).resolve() == patient.path.resolve():
		return
	link = patient.path / "apps" / "frappe"
	why = f", because apps/frappe is a link to {link.readlink()}" if link.is_symlink() else ""
	text = (
		f"Frappe takes {frappes} for the folder of this bench{why}. This app takes {patient.path}, where the sites are; the names"
		f" of the queues go by Frappe: they begin with {patient.bench_id}."
	)
	remedy = (
		f"bench set-config -g bench_id {patient.bench_id}, which keeps the names of the queues; then FRAPPE_BENCH_ROOT={patient.path}"
		" in the environment of every program of the bench"
	)
	yield Finding("bench-folder", Severity.WARNING, "", text, remedy)


@check("maintenance-mode")
def maintenance_mode(patient: Patient) -> Iterator[Finding]:
	"""It may be meant so, but it is easily forgotten. An operation at work, or one that died, is told elsewhere."""
	sites = [site for site, config in readable(patient).items() if config.get("maintenance_mode")]
	if not sites or is_held(patient):
		return
	changed = closed_by(patient)
	if patient.config.get("maintenance_mode"):
		yield closed(
			"",
			f"Every site is closed (maintenance_mode in common_site_config.json, {age(patient, '')}).",
			"all",
		)
		return
	for site in sites:
		if (site, "maintenance_mode") not in changed:
			text = f"It is closed: maintenance_mode is on in its site_config.json, {age(patient, site)}."
			yield closed(site, text, site)


def closed(subject: str, text: str, site: str) -> Finding:
	remedy = f"bench --site {site} set-maintenance-mode off, if nobody needs it any more"
	if site == "all":
		remedy = "bench set-config -g maintenance_mode 0, if nobody needs it any more"
	return Finding("maintenance-mode", Severity.WARNING, subject, text, remedy)


def age(patient: Patient, site: str) -> str:
	file = Path(patient.path, "sites", site, "site_config.json" if site else "common_site_config.json")
	with suppress(OSError):
		return f"a file that was last changed {span(max(0.0, time.time() - file.stat().st_mtime))} ago"
	return "a file that was just removed"
