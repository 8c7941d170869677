"""The end of an operation in one sentence, which everybody shows: the terminal, --json, the API, Desk, a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.console.program_names import short_list
from fmx_restart.engine.events import Level
from fmx_restart.engine.format import count, span
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.engine.queue_hold import by_whom
from fmx_restart.engine.report import Report, is_cancelled, outcome_name
from fmx_restart.engine.web_answers import outage

ENDINGS = {
	Phase.FAILED: "Failed",
	Phase.RECOVERED: "Recovered: its process died, and another one cleaned up,",
}
LEVELS = {Phase.DONE: Level.INFO, Phase.FAILED: Level.ERROR}


@frozen
class Headline:
	"""`level`: a note where jobs were killed, a warning where nothing was restarted though someone wanted it."""

	level: Level
	text: str


def headline(report: Report) -> Headline:
	"""How it ended and how long it took, what became of the jobs, and what users got from web."""
	parts = [beginning(report), *jobs(report), *web(report), *held(report)]
	return Headline(level(report), " ".join(f"{part}." for part in parts))


def level(report: Report) -> Level:
	"""Of the whole sentence. A job that did not run to its end is worth a look, whoever killed it."""
	if is_cancelled(report):
		return Level.NOTE
	if report.outcome is Phase.DONE and (report.interrupted or abandoned(report) or report.is_suspended):
		return Level.NOTE
	return LEVELS.get(report.outcome, Level.WARNING)


def beginning(report: Report) -> str:
	"""The outcome and the time. A failure names the phase in which it happened."""
	time = span(report.seconds)
	if report.outcome is Phase.DONE:
		return f"Done in {time}"
	if report.outcome in ENDINGS:
		where = f" during {report.failed_in.time}," if report.failed_in else ""
		return f"{ENDINGS[report.outcome]}{where} after {time}"
	return f"{outcome_name(report)} after {time}: {what_was_restarted(report)}"


def what_was_restarted(report: Report) -> str:
	"""By one that gave up before its restart: programs may have ended with their killed job, or been restarted by others."""
	if not report.restarted:
		return "nothing was restarted"
	names = short_list(report.restarted)
	return f"nothing but {names} was restarted"


def jobs(report: Report) -> Iterator[str]:
	"""Killed, interrupted by others, lost, left running; the rest is accounted for. Nothing where there was no job."""
	if report.still_running:
		yield f"{count(len(report.still_running), 'job')} left running"
	if report.account is None:
		yield from killed(report)
		return
	account, others = report.account, abandoned(report)
	told = [
		*killed(report),
		*([f"{count(len(others), 'job')} interrupted by someone else"] if others else []),
		*([f"{count(len(account.gone), 'job')} gone with the data of Redis"] if account.gone else []),
		*([f"{count(len(account.lost), 'job')} lost"] if account.lost else []),
	]
	rest = account.total - len(report.interrupted) - len(others) - len(account.gone) - len(account.lost)
	if told:
		yield ", ".join([*told, f"{max(0, rest)} accounted for"])
	elif account.total:
		yield (
			"The only job is accounted for"
			if account.total == 1
			else f"All {account.total:,} jobs accounted for"
		)


def killed(report: Report) -> list[str]:
	"""Those that this operation killed; one that waits in its queue again runs once more from its beginning."""
	requeued = set(report.requeued)
	back = sum(job.id in requeued for job in report.interrupted)
	gone = len(report.interrupted) - back
	return [
		*([f"{count(gone, 'job')} killed on your order"] if gone else []),
		*(
			[f"{count(back, 'job')} killed and put back into {'its' if back == 1 else 'their'} queue"]
			if back
			else []
		),
	]


def abandoned(report: Report) -> list[str]:
	"""Ids of jobs that ran and were ended by somebody else while the operation was at work."""
	ours = {job.id for job in report.interrupted}
	return [id for id in report.account.interrupted if id not in ours] if report.account else []


def held(report: Report) -> Iterator[str]:
	"""That the queue does not run now: people hold it, or someone else has suspended it."""
	if report.is_suspended:
		yield "The queue is still suspended by someone else: no job starts"
	if report.held:
		yield f"The queue stays held {by_whom(report.held)}"


def web(report: Report) -> Iterator[str]:
	"""The outage that users had, at the address that had the longest; nothing where it was not measured, or not touched."""
	seconds = outage(report.web)
	if seconds is None or not any(change.kind is ProcessKind.WEB for change in report.processes):
		return
	closed = max((answers.closed for answers in report.web), default=0.0)
	if closed:
		yield f"Sites were closed for {span(closed)}"
	yield f"Web gave no answer for {span(seconds)}" if seconds else "Web answered throughout"
