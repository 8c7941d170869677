"""The end of an operation, for people: what was done, to whom, and whether every job is accounted for."""

from __future__ import annotations

from fmx_restart.console.headline import headline
from fmx_restart.console.plan import DOWN_ALREADY
from fmx_restart.console.program_names import short_programs
from fmx_restart.console.sentences import unreadable
from fmx_restart.console.web_answers import web_sentence
from fmx_restart.engine.format import count, span
from fmx_restart.engine.ledger import Account
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.engine.report import (
	GroupResult,
	GroupUpdate,
	ProcessChange,
	ReplacedBy,
	Report,
	UpdateResult,
	outcome_name,
	put_back,
	waited_to_their_end,
)

WHO = {ReplacedBy.MANAGER: "process manager", ReplacedBy.RELOADER: "own reloader"}
NOT_REPLACED = "not replaced, in service with the old code"


def report_lines(report: Report) -> list[str]:
	"""The end of an operation; its last line is the outcome."""
	lines = ["", f"Operation {report.operation}: {outcome_name(report)} after {span(report.seconds)}"]
	lines += [f"  {sentence}" for sentence in map(web_sentence, report.web)]
	lines += ["", "  Phases", *(f"    {p.phase.value:<10} {span(p.seconds):>9}" for p in report.phases)]
	lines += hosts(report)
	lines += waits(report) + interruptions(report) + left_running(report) + processes(report)
	lines += unreached(report)
	lines += migrations(report) + old_workers(report) + settings(report) + lapses(report)
	if report.account:
		lines += account_lines(report.account)
	if report.unreadable:
		lines += ["", f"  {unreadable(report.unreadable)}"]
	return lines + ending(report)


HOST_RESULTS = {
	GroupResult.REPLACED: "new",
	GroupResult.FAILED: "not all is well",
	GroupResult.UNTOUCHED: NOT_REPLACED,
}


def hosts(report: Report) -> list[str]:
	"""What became of each group of hosts."""
	lines = [
		f"    {', '.join(group.hosts)}: {HOST_RESULTS[group.result]}"
		+ (f", after {span(group.seconds)}" if group.seconds else "")
		for group in report.hosts
	]
	return ["", "  Hosts", *lines] if lines else []


def waits(report: Report) -> list[str]:
	"""Jobs that a drain waited for until they ended, and for how long."""
	waited = waited_to_their_end(report)
	lines = [f"    {span(w.seconds):>9}  {w.job.site} / {w.job.method} ({w.job.queue})" for w in waited]
	return ["", "  Jobs it waited for", *lines] if lines else []


def left_running(report: Report) -> list[str]:
	"""Jobs that ran on as if nothing had been, as the operation was cancelled or gave up."""
	lines = [f"    {job.site} / {job.method} ({job.queue})" for job in report.still_running]
	return ["", "  Jobs left running", *lines] if lines else []


def interruptions(report: Report) -> list[str]:
	"""Jobs that were killed, and which of them are back in their queue."""
	if not report.interrupted:
		return []
	back = put_back(report.interrupted, report.requeued)
	lines = [
		f"    {job.site} / {job.method} ({job.id}){', put back' if job in back else ''}"
		for job in report.interrupted
	]
	return ["", "  Jobs it killed", *lines]


def processes(report: Report) -> list[str]:
	"""Old and new pid of each program, how long it was down, and what was left alone."""
	names = [*(change.name for change in report.processes), *report.not_replaced, *report.left_alone]
	names += [*report.stays, *(update.group for update in report.configuration)]
	short = short_programs(names)
	width = max(map(len, short.values()), default=0)
	lines = []
	has_reloads = any(change.by is ReplacedBy.RELOAD for change in report.processes)
	for change in report.processes:
		how = how_replaced(change) if has_reloads else ""
		down = f"  down {span(change.seconds_down)}" if is_down_time_told(change) else ""
		was = "  was down already" if change.old_state in DOWN_ALREADY else ""
		was = "  removed" if change.is_removed else was
		was = f"  {NOT_REPLACED}" if change.name in report.not_replaced else was
		lines.append(
			f"    {short[change.name]:<{width}}  {change.old_pid or '-':>8} → {change.new_pid or '-':<8}{how}{down}{was}".rstrip()
		)
	lines += [f"    {it.group:<{width}}  {update_line(it)}" for it in report.configuration]
	begun = {change.name for change in report.processes}
	untouched = [name for name in report.not_replaced if name not in begun]
	lines += [f"    {short[name]:<{width}}  {NOT_REPLACED}" for name in untouched]
	lines += [f"    {short[name]:<{width}}  already stopped, left alone" for name in report.left_alone]
	lines += [f"    {short[name]:<{width}}  not restarted: {reason}" for name, reason in report.stays.items()]
	return ["", "  Processes (old pid → new pid)", *lines] if lines else []


def update_line(update: GroupUpdate) -> str:
	"""What became of a group whose configuration changed."""
	what = f"configuration {update.change.value}"
	if update.result is UpdateResult.UPDATED:
		return f"{what}, in force now"
	return f"{what}, not applied{f': {update.reason}' if update.reason else ''}"


def unreached(report: Report) -> list[str]:
	"""Workers that nobody has restarted."""
	lines = [f"    {worker}" for worker in report.unreached]
	return ["", "  Workers with the old code, which no process manager runs", *lines] if lines else []


def how_replaced(change: ProcessChange) -> str:
	"""Told where some processes went on with new code, and others are new."""
	if change.by is not ReplacedBy.RELOAD:
		return f"  restarted by its {WHO[change.by]}" if change.new_pid else ""
	if change.new_pid and change.workers:
		return f"  reloaded in place{workers_of_pool(change)}"
	return f"  reloaded in place in {span(change.seconds_down or 0)}" if change.new_pid else ""


def workers_of_pool(change: ProcessChange) -> str:
	"""Whether all have new code."""
	number, former = change.workers, change.former_workers
	if former:
		verb = (
			"keeps the old code until its job has"
			if former == 1
			else "keep the old code until their jobs have"
		)
		return f"; {former} of {count(number, 'worker')} {verb} ended"
	return ", with its worker" if number == 1 else f", with its {number} workers"


def is_down_time_told(change: ProcessChange) -> bool:
	"""Not of web: its users wait longer than its process is down, and that is told instead."""
	is_down = change.seconds_down is not None and change.by is ReplacedBy.MANAGER
	return is_down and change.kind is not ProcessKind.WEB


def migrations(report: Report) -> list[str]:
	"""Each site's result, with the paths of its backup and log."""
	lines = []
	for migration in report.migrations:
		time = f" in {span(migration.seconds)}" if migration.seconds else ""
		at = f", at {migration.culprit}" if migration.culprit else ""
		lines.append(f"    {migration.site}: {migration.result.value}{time}{at}")
		lines += [f"      backup: {migration.backup}"] if migration.backup else []
		lines += [f"      log: {migration.log}"] if migration.log else []
	return ["", "  Migrations", *lines] if lines else []


def old_workers(report: Report) -> list[str]:
	"""Workers that met the new schema with old code."""
	lines = [f"    {worker}" for worker in report.old_workers]
	return ["", "  Workers with old code that were not stopped for the migration", *lines] if lines else []


def lapses(report: Report) -> list[str]:
	"""When the fence did not stand: jobs may have started then."""
	lines = [
		f"    during {lapse.phase.time}: {span(lapse.seconds)} after its last renewal"
		for lapse in report.lapses
	]
	return ["", "  Lapses of the fence, in which jobs may have started", *lines] if lines else []


def settings(report: Report) -> list[str]:
	"""Only those that are not as they were found; the rest was told when it happened."""
	not_restored = [kept for kept in report.settings if kept.reason]
	lines = [f"    {kept.found.key} of {kept.found.site}: {kept.reason}" for kept in not_restored]
	return ["", "  Settings that could not be put back", *lines] if lines else []


def account_lines(account: Account) -> list[str]:
	"""The ledger's sum. Lost jobs are named with their number even if it is 0."""
	parts = {
		"finished": account.finished,
		"failed": account.failed,
		"waiting": account.waiting,
		"running": account.running,
		"put back": account.requeued,
		"interrupted": len(account.interrupted),
		"removed": account.removed,
		"gone": len(account.gone),
		"lost": len(account.lost),
	}
	sums = ", ".join(f"{number} {name}" for name, number in parts.items() if number or name == "lost")
	total = f"{account.before} before + {account.arrived} arrived = {sums}"
	lines = ["", "  Jobs", f"    {total if account.total else 'none before, none arrived, 0 lost'}"]
	return lines + [f"    {count(number, 'job')} {what}" for number, what in asides(account) if number]


def asides(account: Account) -> list[tuple[int, str]]:
	"""How many jobs, and what is said of them, that belong to no sum."""
	return [
		(len(account.gone), "gone: Redis lost its data meanwhile; no operation can bring them back"),
		(account.older_ghosts, "had been lost before this operation (not touched)"),
		(len(account.older_interrupted), "had been interrupted before this operation (not touched)"),
	]


def ending(report: Report) -> list[str]:
	"""Why it failed and what to type, or that it is done."""
	if report.failure:
		hint = [f"  {report.failure.hint}"] if report.failure.hint else []
		where = f" during {report.failed_in.time}" if report.failed_in else ""
		return ["", f"{outcome_name(report)}{where}: {report.failure.message}", *hint]
	return ["", headline(report).text] if report.outcome is Phase.DONE else []
