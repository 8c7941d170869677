"""supervisor's programs as its answers show them."""

from __future__ import annotations

from collections.abc import Mapping

from fmx_restart.adapters.managers.programs import Program

NOT_SET = {"none", "auto"}  # supervisor's words for a setting that is absent


def program_of(info: Mapping, config: Mapping) -> Program:
	"""From one entry of getAllProcessInfo and of getAllConfigInfo; the latter may be empty."""
	logfiles = (config.get("stdout_logfile") or info.get("stdout_logfile"), config.get("stderr_logfile"))
	return Program(
		name=full_name(info),
		group=info["group"],
		command=_setting(config.get("command")),
		directory=_setting(config.get("directory")),
		logfiles=tuple(path for path in map(_setting, logfiles) if path),
		exitcodes=tuple(config.get("exitcodes") or (0,)),
		pid=info["pid"],
	)


def full_name(report: Mapping) -> str:
	"""As supervisorctl writes it: a program alone in its group goes by its own name."""
	return report["name"] if report["group"] == report["name"] else f"{report['group']}:{report['name']}"


def is_one_program(name: str) -> bool:
	"""supervisorctl takes some names for all programs, or all of a group."""
	return name != "all" and not name.endswith((":*", ":")) and not name.startswith("-")


def _setting(value: object) -> str:
	return "" if value in NOT_SET else str(value or "")
