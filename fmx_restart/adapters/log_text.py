"""What of a program's log may be shown to somebody who has no shell on the bench: nothing of what jobs are about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fmx_restart.engine.migration import masked
from fmx_restart.engine.ports import LogTail

TRACEBACK = "Traceback (most recent call last):"
#: A traceback with one of these frames is that of a job
JOB_FRAME = re.compile(r"\b(execute_job|perform_job|perform|main_work_horse)\b|rq/(job|worker)\.py")
#: RQ's lines about a job: what it starts with its arguments, how it ended
JOB_LINE = re.compile(
	r"execute_job\(|\bkwargs=|\bJob OK\b|\[Job |exception raised while executing|Result is kept"
)
#: Where a logger or another traceback begins anew
NEW_ENTRY = re.compile(r"\d{4}-\d\d-\d\d[ T]|\d\d:\d\d:\d\d |" + re.escape(TRACEBACK))
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
#: redis://name:password@host
LOGIN = re.compile(r"(?<=://)[^\s/@]+(?=@)")
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


def plain(text: str) -> str:
	"""As a terminal can show it: line breaks and tabs stay."""
	return CONTROL.sub("", COLOUR.sub("", text))


def without_jobs(text: str, *, is_shared: bool, is_cut: bool = False) -> str:
	"""
	`is_shared`: other programs write into the same file. Only whole tracebacks outside of jobs are certain then. `is_cut`:
	it begins somewhere, perhaps in the middle of what a job wrote.
	"""
	whole = list(entries(text.splitlines()))[1 if is_cut else 0 :]
	return "\n".join(line for entry in whole for line in shown(entry, is_shared=is_shared))


def entries(lines: Iterable[str]) -> Iterator[list[str]]:
	"""A logger's line with all that follows it until the next one; a traceback with those that it is chained to."""
	entry: list[str] = []
	is_chained = False
	for line in lines:
		if NEW_ENTRY.match(line) and entry and not (is_chained and line.startswith(TRACEBACK)):
			yield entry
			entry = []
		if line.strip():
			is_chained = line.startswith(CHAINED)
		entry.append(line)
	if entry:
		yield entry


def shown(entry: list[str], *, is_shared: bool) -> list[str]:
	"""What a log entry of a worker may show: nothing of a job, and of a shared log a traceback only."""
	text = "\n".join(entry)
	if JOB_LINE.search(text) or JOB_FRAME.search(text):
		return []
	if not is_shared:
		return entry
	return list(traceback_in(entry)) if entry[0].startswith(TRACEBACK) else []


def traceback_in(entry: list[str]) -> Iterator[str]:
	"""The frames and the line of each exception: what someone else wrote behind it is left out."""
	is_inside = False
	for line in entry:
		if line.startswith(TRACEBACK):
			is_inside = True
		elif line.startswith(CHAINED):
			yield line
			continue
		if is_inside:
			yield line
			is_inside = line.startswith((" ", "\t", TRACEBACK))


def lines_to_show(tail: LogTail, count: int, *, is_shared: bool) -> list[str]:
	"""The last `count` lines of what may be shown of a log's end; values of what is named like a secret, and logins, are hidden."""
	text = without_jobs("\n".join(tail.lines), is_shared=is_shared, is_cut=tail.is_cut)
	return [LOGIN.sub("***", masked(line)) for line in text.splitlines()[-count:]]
