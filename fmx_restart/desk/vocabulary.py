"""
What strategies, phases and options are called in Desk, and which options a strategy has: translated here, so that Desk
only shows it. Part of Desk's boot data; the strategies are in each preview as well.
"""

from __future__ import annotations

from typing import Any

import frappe
from frappe import _

from fmx_restart.adapters.realtime import are_notices_on
from fmx_restart.console.strategies import STRATEGY_TEXTS
from fmx_restart.desk.access import MANAGER, OPERATOR, for_desk
from fmx_restart.desk.consequences import at_the_deadline, if_forced
from fmx_restart.engine.format import span
from fmx_restart.engine.options import (
	CLOSABLE,
	CLOSABLE_WHILE_HELD,
	DRAIN_TIMEOUT,
	DRAINING,
	FORCE_KILL_TIMEOUT,
	ONE_BY_ONE,
	WITH_HOSTS,
	OnTimeout,
	Strategy,
)
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.report import CANCELLED
from fmx_restart.engine.requests import WAITING
from fmx_restart.engine.strategies import PHASES, PHASES_WITHOUT_WORKERS

QUEUED = "Queued"  # before the first phase

#: Options that choose hosts and their groups; a restart that leaves workers alone has them with each strategy
OF_HOSTS = ("hosts", "host_batch", "host_pause", "canary")
#: Option → the strategies that have it. Those that no row names have no such limit.
STRATEGIES_WITH = {
	"wait_workers_timeout": {Strategy.WAIT_WORKERS, Strategy.ROLLING},
	"on_timeout": DRAINING,
	"force_kill_timeout": {Strategy.FAST, Strategy.SUSPEND_RQ},
	"rolling_share": {Strategy.ROLLING},
	"migrate": {Strategy.WAIT_WORKERS},
	**dict.fromkeys(OF_HOSTS, WITH_HOSTS),
	"update_config": set(Strategy) - ONE_BY_ONE,
}
WITH_MIGRATION = ("sites", "migrate_timeout", "backup", "skip_failing", "hold_web")


def extend_boot(bootinfo: frappe._dict) -> None:
	"""For hooks.py: frappe.boot.fmx_restart, only for people who may see operations; and whether pauses are shown, for all."""
	bootinfo.fmx_restart_pause = are_notices_on(frappe.conf)
	if {MANAGER, OPERATOR} & set(frappe.get_roles()):
		bootinfo.fmx_restart = {
			"access": for_desk(),
			"strategies": offered_strategies(),
			"phases": phases(),
			"phases_without_workers": [phase.value for phase in PHASES_WITHOUT_WORKERS],
			"options_with_migration": list(WITH_MIGRATION),
			"options_of_hosts": list(OF_HOSTS),
			"option_lines": option_lines(),
			"closable_while_held": closable_while_held(),
			"at_deadline": at_deadlines(),
		}


def offered_strategies() -> list[dict[str, Any]]:
	"""In the order in which Desk offers them."""
	return [
		{
			"strategy": strategy.value,
			"label": _(text.label),
			"line": " ".join(filter(None, (_(text.line), limit_line(strategy)))),
			"kills": kills(strategy),
			"phases": [phase.value for phase in PHASES[strategy]],
			"options": [name for name, having in STRATEGIES_WITH.items() if strategy in having],
			"closable": [name for name, phase in CLOSABLE.items() if can_close(strategy, phase)],
			"patience": DRAIN_TIMEOUT if strategy is Strategy.WAIT_WORKERS else None,
		}
		for strategy, text in STRATEGY_TEXTS.items()
	]


def kills(strategy: Strategy) -> bool:
	"""Jobs that take longer than they get, unless another choice is made under Options."""
	return strategy in STRATEGIES_WITH["force_kill_timeout"]


def limit_line(strategy: Strategy) -> str:
	"""How long running jobs get by default, and what new ones do meanwhile; empty where nothing waits."""
	if kills(strategy):
		return _("The grace period is {0}.").format(span(FORCE_KILL_TIMEOUT))
	if strategy is Strategy.WAIT_WORKERS:
		text = _("No new job starts meanwhile. It gives up after {0}, and nothing is restarted then.")
		return text.format(span(DRAIN_TIMEOUT))
	return ""


def can_close(strategy: Strategy, phase: Phase) -> bool:
	"""With a migration, where the phase is one of it."""
	if phase is Phase.DRAIN:
		return strategy in DRAINING
	return phase is Phase.RESTART or strategy in STRATEGIES_WITH["migrate"]


def closable_while_held() -> list[str]:
	"""The phases in which sites can be closed although web is held during the migration."""
	return [name for name, phase in CLOSABLE.items() if phase in CLOSABLE_WHILE_HELD]


def option_lines() -> dict[str, str]:
	"""What an option does, where its label is not enough. What keeps it from working is among the findings of a preview."""
	return {
		"hold_web": _(
			"Web stops before the first site is migrated. Requests to all sites wait until new web answers, or until the"
			" browser or a proxy gives up."
		),
		"update_config": _(
			"Programs of this bench whose configuration changed start by the new one, when no job of theirs runs any more."
		),
	}


def at_deadlines() -> dict[str, dict[str, str]]:
	"""What becomes of jobs that are still running at the deadline: as a choice, as a sentence, and if it comes now."""
	choices = {
		OnTimeout.ABORT: _("keep running: nothing is restarted"),
		OnTimeout.REQUEUE: _("are killed and put back into their queue"),
		OnTimeout.KILL: _("are killed"),
	}
	return {
		action.value: {"label": label, "line": at_the_deadline(action), "if_forced": if_forced(action)}
		for action, label in choices.items()
	}


def phases() -> dict[str, dict[str, Any]]:
	"""`waits_for_jobs`: more time can be given there, or none."""
	waiting = {phase.value for phase in WAITING}
	labels = phase_labels()
	return {
		name: {"label": labels[name], "text": text, "waits_for_jobs": name in waiting}
		for name, text in phase_texts().items()
	}


def phase_labels() -> dict[str, str]:
	"""The names of phases, translated. Each is written out, as the collection of translations reads no variables."""
	return {
		QUEUED: _("Queued"),
		Phase.PREFLIGHT.value: _("Preflight"),
		Phase.FENCE.value: _("Fence"),
		Phase.PARK.value: _("Park"),
		Phase.DRAIN.value: _("Drain"),
		Phase.BACKUP.value: _("Backup"),
		Phase.MIGRATE.value: _("Migrate"),
		Phase.RESTART.value: _("Restart"),
		Phase.LIFT.value: _("Lift"),
		Phase.VERIFY.value: _("Verify"),
		Phase.HANDOVER.value: _("Handover"),
		Phase.AUDIT.value: _("Audit"),
		Phase.DONE.value: _("Done"),
		CANCELLED: _("Cancelled"),
		Phase.ABORTED.value: _("Aborted"),
		Phase.FAILED.value: _("Failed"),
		Phase.RECOVERED.value: _("Recovered"),
	}


def phase_texts() -> dict[str, str]:
	"""What Desk shows of each phase, translated."""
	return {
		QUEUED: _("Waiting for a worker to launch it"),
		Phase.PREFLIGHT.value: _("Running pre-flight checks"),
		Phase.FENCE.value: _("From now on no worker starts a job"),
		Phase.PARK.value: _("Idle workers leave their queues"),
		Phase.DRAIN.value: _("Waiting for running jobs to end"),
		Phase.BACKUP.value: _("Backing up each database"),
		Phase.MIGRATE.value: _("Migrating one site after the other"),
		Phase.RESTART.value: _("Stopping and starting the processes"),
		Phase.LIFT.value: _("The queue runs again"),
		Phase.VERIFY.value: _("Waiting until every process is up and web answers"),
		Phase.HANDOVER.value: _("Each busy worker is replaced when its own job ends"),
		Phase.AUDIT.value: _("Comparing the jobs before and after"),
		Phase.DONE.value: _("Done"),
		CANCELLED: _("Cancelled: someone stopped it before anything was restarted"),
		Phase.ABORTED.value: _("Aborted: it ended before the restart, and undid its changes"),
		Phase.FAILED.value: _("Failed: it needs attention"),
		Phase.RECOVERED.value: _("Its process died; what it left was cleaned up"),
	}
