"""Whether we may order units to stop and start: as root, by polkit's rules, or by sudo without a password; else the rule to add."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace

from fmx_restart.adapters.managers.systemd.systemctl import Systemctl, first_line, program, refusals_in, run
from fmx_restart.adapters.process_table import user_name
from fmx_restart.engine.errors import ProcessFault

VERBS = ("stop", "start")
QUIETLY = ("--no-block", "--no-ask-password")
DENIED = ("Access denied", "Interactive authentication required", "Permission denied")
SUDO_TAKES = 5.0  # seconds
RULES = "/etc/polkit-1/rules.d/50-bench.rules"
SUDOERS = "/etc/sudoers.d/bench-systemd"


class Permission:
	"""Of one systemd. What allows it is found out once, at the first check or order."""

	def __init__(self, systemctl: Systemctl) -> None:
		self._systemctl = systemctl
		self._sudo: Systemctl | None = None  # where sudo is what allows it

	def check(self, names: Collection[str], running: Collection[str]) -> None:
		"""
		Raises ProcessFault with the rule to add, where these units may not be ordered. Tried with a start of those that run,
		which changes nothing and needs the same permission; where none runs, nothing can be said.
		"""
		if self._systemctl.is_users or os.geteuid() == 0 or not running:
			return
		# without the units that they require: one of these may be stopped on purpose
		words = ["start", *QUIETLY, "--job-mode=ignore-requirements", "--", *running]
		output = self._systemctl.ask(*words)
		denied = [name for name, reason in refusals_in(output.errors).items() if is_denied(reason)]
		if not denied:
			return
		if not self._take_sudo(names):
			raise not_allowed(sorted(names), first_line(output.errors))

	def order(self, verb: str, names: Collection[str]) -> dict[str, ProcessFault]:
		"""Why each of these did not take the order, by name. Raises ProcessFault where systemd does not answer."""
		if not names:
			return {}
		if self._sudo:
			outputs = [self._sudo.ask(*sudo_words(verb, name)) for name in names]
		else:
			outputs = [self._systemctl.ask(verb, *QUIETLY, "--", *names)]
			if all_denied(outputs[0].errors) and self._take_sudo(names):
				return self.order(verb, names)
		reasons = {
			name: why for output in outputs if output.code for name, why in refusals_in(output.errors).items()
		}
		failed = next((output for output in outputs if output.code), None)
		if failed and not reasons:
			reasons = dict.fromkeys(names, first_line(failed.errors))
		return {name: fault_of(verb, name, why, names) for name, why in reasons.items() if name in names}

	def forget_failures(self, names: Collection[str]) -> None:
		"""So that systemd's limit of starts does not stand in the way. A refusal is told with the order that follows."""
		if names and not self._sudo:
			self._systemctl.ask("reset-failed", "--no-ask-password", "--", *names)

	def _take_sudo(self, names: Iterable[str]) -> bool:
		"""Whether sudo allows both orders for each of these without a password, by its own word (sudo -n -l)."""
		if self._systemctl.is_users or not shutil.which("sudo"):
			return False
		sudo = program("sudo")
		for name in names:
			for verb in VERBS:
				words = [sudo, "-n", "-l", program("systemctl"), *sudo_words(verb, name)]
				if run(words, SUDO_TAKES).code:
					return False
		self._sudo = replace(self._systemctl, sudo=(sudo, "-n"))
		return True


def sudo_words(verb: str, name: str) -> list[str]:
	"""One unit in each, so that a line in sudoers can name it."""
	return ["--no-block", verb, name]


def is_denied(reason: str) -> bool:
	"""By polkit, or as there is none."""
	return any(reason.startswith(words) for words in DENIED)


def all_denied(errors: str) -> bool:
	"""Each refusal is one of permission."""
	reasons = refusals_in(errors).values()
	return bool(reasons) and all(map(is_denied, reasons))


def fault_of(verb: str, name: str, reason: str, names: Collection[str]) -> ProcessFault:
	"""Of one unit's order."""
	if is_denied(reason):
		return not_allowed(sorted(names), f"Failed to {verb} {name}: {reason}")
	return ProcessFault(f"systemd refused to {verb} {name}: {reason}")


def not_allowed(names: list[str], told: str) -> ProcessFault:
	"""With both ways to allow it, ready to be copied."""
	user = user_name(os.geteuid())
	return ProcessFault(
		f"user {user} may not stop and start {', '.join(names)} ({told.rstrip('.')})",
		hint=f"Let its administrator allow it. With polkit, the file {RULES}:\n{polkit_rule(user, names)}\n"
		f"Or with sudo, by visudo -f {SUDOERS}:\n{sudo_rule(user, names)}",
	)


def polkit_rule(user: str, names: Iterable[str]) -> str:
	"""For polkit 0.106 and newer, as Debian 12 and Ubuntu 24.04 have it."""
	units = ", ".join(f'"{name}"' for name in names)
	return (
		"polkit.addRule(function(action, subject) {\n"
		'  if (action.id == "org.freedesktop.systemd1.manage-units" && '
		f'subject.user == "{user}" &&\n'
		f'      [{units}].indexOf(action.lookup("unit")) >= 0)\n'
		"    return polkit.Result.YES;\n"
		"});"
	)


def sudo_rule(user: str, names: Iterable[str]) -> str:
	"""One line: each unit with both orders, and nothing else."""
	systemctl = shutil.which("systemctl") or "/usr/bin/systemctl"
	commands = (f"{systemctl} {' '.join(sudo_words(verb, name))}" for name in names for verb in VERBS)
	return f"{user} ALL=(root) NOPASSWD: {', '.join(commands)}"
