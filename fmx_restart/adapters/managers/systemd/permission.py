"""Whether we may order units to stop and start: as root, by polkit's rules, or by sudo without a password; else the rule to add."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable

from fmx_restart.adapters.managers.systemd import sudo
from fmx_restart.adapters.managers.systemd.systemctl import Output, Systemctl, first_line, refusals_in
from fmx_restart.adapters.process_table import user_name
from fmx_restart.engine.errors import ProcessFault

QUIETLY = ("--no-block", "--no-ask-password")
DENIED = ("Access denied", "Interactive authentication required", "Permission denied")
RULES = "/etc/polkit-1/rules.d/50-bench.rules"
SUDOERS = "/etc/sudoers.d/bench-systemd"


class Permission:
	"""Of one systemd. What allows it is found out once, at the first check or order."""

	def __init__(self, systemctl: Systemctl) -> None:
		self._systemctl = systemctl
		self._uses_sudo = False
		self._lacking: list[str] = []  # orders that sudo does not allow, where it allows anything

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
		if denied and not self._take_sudo(names):
			raise not_allowed(sorted(names), first_line(output.errors), self._lacking)

	def order(self, verb: str, names: Collection[str]) -> dict[str, ProcessFault]:
		"""Why each of these did not take the order, by name. Raises ProcessFault where systemd does not answer."""
		if not names:
			return {}
		if self._uses_sudo:
			return self._by_sudo(verb, names)
		output = self._systemctl.ask(verb, *QUIETLY, "--", *names)
		if all_denied(output.errors) and self._take_sudo(names):
			return self._by_sudo(verb, names)
		reasons = refusals_in(output.errors) if output.code else {}
		if output.code and not reasons:
			reasons = dict.fromkeys(names, first_line(output.errors))
		return {
			name: self._fault_of(verb, name, why, names) for name, why in reasons.items() if name in names
		}

	def forget_failures(self, names: Collection[str]) -> None:
		"""So that systemd's limit of starts does not stand in the way. A refusal is told with the order that follows."""
		if names and not self._uses_sudo:
			self._systemctl.ask("reset-failed", "--no-ask-password", "--", *names)

	def _by_sudo(self, verb: str, names: Iterable[str]) -> dict[str, ProcessFault]:
		outputs = {name: sudo.give(verb, name) for name in names}
		return {name: fault_of(verb, name, why_of(name, it)) for name, it in outputs.items() if it.code}

	def _take_sudo(self, names: Collection[str]) -> bool:
		"""Whether it allows both orders for each of these without a password, by its own word."""
		if self._systemctl.is_users:
			return False
		lacking = sudo.refusals(names)
		self._uses_sudo = lacking == []
		# where it allows none of them, nobody has meant it to be used
		is_meant = lacking is not None and len(lacking) < len(sudo.orders_for(names))
		self._lacking = lacking if is_meant else []
		return self._uses_sudo

	def _fault_of(self, verb: str, name: str, reason: str, names: Collection[str]) -> ProcessFault:
		if is_denied(reason):
			return not_allowed(sorted(names), f"Failed to {verb} {name}: {reason}", self._lacking)
		return fault_of(verb, name, reason)


def is_denied(reason: str) -> bool:
	"""By polkit, or as there is none."""
	return any(reason.startswith(words) for words in DENIED)


def all_denied(errors: str) -> bool:
	"""Each refusal is one of permission."""
	reasons = refusals_in(errors).values()
	return bool(reasons) and all(map(is_denied, reasons))


def why_of(name: str, output: Output) -> str:
	"""One order by sudo failed: in systemctl's words, else in those of sudo."""
	return refusals_in(output.errors).get(name) or sudo.last_words(output)


def fault_of(verb: str, name: str, reason: str) -> ProcessFault:
	"""Of one unit's order, where it is not polkit that refused it."""
	return ProcessFault(f"systemd refused to {verb} {name}: {reason}")


def not_allowed(names: list[str], told: str, lacking: Iterable[str]) -> ProcessFault:
	"""With both ways to allow it, ready to be copied. `lacking`: what sudo does not allow, where it allows the rest."""
	user = user_name(os.geteuid())
	also = "".join(f"; sudo does not allow without a password: {order}" for order in list(lacking)[:1])
	return ProcessFault(
		f"user {user} may not stop and start {', '.join(names)} ({told.rstrip('.')}{also})",
		hint=f"Let its administrator allow it. With polkit, the file {RULES}:\n{polkit_rule(user, names)}"
		+ (f"\nOr with sudo, by visudo -f {SUDOERS}:\n{line}" if (line := sudo.rule(user, names)) else ""),
	)


def polkit_rule(user: str, names: Iterable[str]) -> str:
	"""For polkit 0.106 and newer, as Debian 12 and Ubuntu 24.04 have it. In JavaScript the \\x2d of a unit's name is a -."""
	units = ", ".join(map(json.dumps, names))
	return (
		"polkit.addRule(function(action, subject) {\n"
		'  if (action.id == "org.freedesktop.systemd1.manage-units" && '
		f'subject.user == "{user}" &&\n'
		f'      [{units}].indexOf(action.lookup("unit")) >= 0)\n'
		"    return polkit.Result.YES;\n"
		"});"
	)
