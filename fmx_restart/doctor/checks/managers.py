"""The settings that name process managers: whether they can be used, and who can read their passwords."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.managers.setting import named_managers, readable_passwords
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.engine.errors import WrongEnvironment

CHECK = "managers-setting"
BENCH_START = "bench-start"


@check(CHECK)
def managers_setting(view: BenchView) -> Iterator[Finding]:
	"""A setting that cannot be used, and a password in a file that others can read."""
	try:
		managers = named_managers(view.config)
	except WrongEnvironment as error:
		text = str(error).removesuffix(" Nothing was changed.")
		yield Finding(CHECK, Severity.ERROR, "", text, error.hint)
		return
	for name, file in readable_passwords(view.path / "sites", managers):
		text = f"Its password stands in {file}, which every user of this machine can read."
		yield Finding(CHECK, Severity.WARNING, name, text, f"chmod o-r {file}")


@check(BENCH_START)
def bench_start(view: BenchView) -> Iterator[Finding]:
	"""What has no configuration for stops and restarts has none that could be wrong."""
	if bound := [process.name for process in view.processes if process.ends_all]:
		text = (
			f"{view.manager.start_command(bound)} runs this bench. It has no settings of how programs are stopped and restarted, so those"
			" were not checked."
		)
		yield Finding(BENCH_START, Severity.NOTE, "", text, "none")
