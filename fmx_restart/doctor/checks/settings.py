"""Settings that this app or Frappe cannot read, by file and key and never by value; and which sites command the bench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fmx_restart.adapters.bench import COMMON
from fmx_restart.adapters.control_sites import rule_of
from fmx_restart.adapters.scheduled_events import zone_named
from fmx_restart.adapters.setting_rules import odd_settings
from fmx_restart.adapters.site_config import parsed
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.doctor.sites import databases, readable
from fmx_restart.engine.errors import WrongEnvironment

CHECK = "odd-settings"
#: Without these nothing works: the queue, the workers, the site's database
NEEDED = ("redis_queue", "bench_id", "workers", "db_")
SHAPE = "bench doctor --explain odd-settings shows how each is written; then run bench doctor again"


@check(CHECK)
def settings(view: BenchView) -> Iterator[Finding]:
	"""Settings that are not what Frappe expects of them: a port that is text, a time zone that nobody knows."""
	yield from in_file(view.config, f"sites/{COMMON}", "")
	for site in readable(view):
		yield from in_file(own(view.path, site), f"sites/{site}/site_config.json", site)
	for site, database in databases(view).items():
		zone = database.schedule.time_zone if database.schedule else ""
		if zone_named(zone) is None:
			text = "This machine does not know its time zone, so it is unknown when its scheduled events are due."
			yield Finding(CHECK, Severity.WARNING, site, text, "Desk, System Settings: choose a Time Zone")


def in_file(config: Mapping, file: str, site: str) -> Iterator[Finding]:
	"""An error for a setting without which the bench does not run, else a warning."""
	for odd in odd_settings(config):
		severity = Severity.ERROR if odd.key.startswith(NEEDED) else Severity.WARNING
		yield Finding(CHECK, severity, site, f"{odd.key} in {file} {odd.reason}.", SHAPE)


def own(path: Path, site: str) -> Mapping:
	"""What stands in the site's own file; the common one is told once."""
	try:
		return parsed(path / "sites" / site / "site_config.json")[0]
	except WrongEnvironment:
		return {}


@check("control-sites")
def control_sites(view: BenchView) -> Iterator[Finding]:
	"""Which sites may command the bench: a name of no site, a value that is not known."""
	for fault in rule_of(view.config, view.path / "sites").faults:
		severity = Severity.ERROR if fault.is_error else Severity.WARNING
		yield Finding("control-sites", severity, fault.subject, fault.text, fault.remedy)
