"""
When a restart is to start: what a person writes becomes an instant, in one place for terminal, Desk and API. A day and a
clock time are kept beside it, so that a start that is repeated keeps its clock time when clocks are set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo

from fmx_restart.engine.format import span
from fmx_restart.engine.frozen import frozen

REPEATS = {"daily": 1, "weekly": 7}  # days
GRACE = 1800.0  # seconds after its time within which it may still start, where no window was asked for
FURTHEST = 366  # days
DAY = 86400.0  # seconds
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CLOCK = r"[0-9]{1,2}:[0-9]{2}"
PATTERN = re.compile(
	rf"(?:(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[ T]|(?P<word>[a-z]+) )?(?P<clock>{CLOCK})(?:-(?P<end>{CLOCK}))?"
	r"(?: (?P<zone>[A-Z][A-Z0-9_+/-]*))?",
	re.IGNORECASE,
)
EXAMPLES = '"22:00", "tomorrow 22:00", "sun 03:00", "2026-11-28 22:00", or a window: "22:00-02:00"'
LONGEST = 100  # characters

#: The zone of a name; None for one that nobody knows
ZoneOf = Callable[[str], tzinfo | None]


class InvalidStartTime(ValueError):
	"""Its text is a sentence, and says what to write instead."""


@frozen
class StartTime:
	"""`day` and `clock` are in `zone`; `at` and `until` are seconds since the epoch."""

	at: float
	until: float  # it does not start later than this
	day: str  # 2026-11-28
	clock: str  # 22:00
	end: str  # of the window, as `clock`; empty where none was asked for
	zone: str
	repeat: str = ""  # of REPEATS; empty: once
	note: str = ""  # where clocks are set on that day: what is meant


def parse(text: str, repeat: str, now: float, zone: str, zone_of: ZoneOf, late: float = 0.0) -> StartTime:
	"""
	`zone`: where `text` names none. `late`: seconds after its time within which the scheduler looks. Raises InvalidStartTime,
	also for a time that has passed, and for a window that may be over before that.
	"""
	match = PATTERN.fullmatch(" ".join(text.split())) if len(text) <= LONGEST else None
	if match is None:
		raise InvalidStartTime(f"{text[:LONGEST]!r} is not a time. Write one of {EXAMPLES}.")
	if repeat and repeat not in REPEATS:
		raise InvalidStartTime(f"{repeat[:LONGEST]!r} is not a repetition. Write {' or '.join(REPEATS)}.")
	zone = match["zone"] or zone
	known = zone_of(zone)
	if known is None:
		raise InvalidStartTime(
			f"{zone!r} is not a time zone that this machine knows. Write e.g. 22:00 Europe/Berlin."
		)
	start = occurrence(
		first_day(match, now, known), match["clock"], match["end"] or "", (zone, known), repeat
	)
	start = checked(start, match, now, known)
	refuse_short(start, now, known, late)
	return start


def checked(start: StartTime, match: re.Match, now: float, zone: tzinfo) -> StartTime:
	"""One that lies ahead, or whose window is open. Raises InvalidStartTime."""
	is_past = (start.until if start.end else start.at) <= now
	if is_past and (start.repeat or (match["word"] or "").lower()[:3] in SHORT):
		start = following(start, now, zone, step=REPEATS.get(start.repeat, 7))
	elif is_past:
		remedy = f'Write "tomorrow {start.clock}".' if not match["date"] else "Write a later one."
		raise InvalidStartTime(f"{shown(start, zone)} has passed. {remedy}")
	if start.at > now + FURTHEST * DAY:
		raise InvalidStartTime(f"{shown(start, zone)} is more than a year ahead. Write an earlier one.")
	return start


def refuse_short(start: StartTime, now: float, zone: tzinfo, late: float) -> None:
	"""Raises InvalidStartTime for a window that may be over before the scheduler looks."""
	if start.end and start.until - max(start.at, now) < late:
		raise InvalidStartTime(
			f"{shown(start, zone)} is too short a window: the scheduler may look only {span(late)} after it begins. Write a later end."
		)


SHORT = {name[:3] for name in WEEKDAYS}


def first_day(match: re.Match, now: float, zone: tzinfo) -> date:
	"""The day that is meant. Raises InvalidStartTime for one that no calendar has."""
	today, word = datetime.fromtimestamp(now, zone).date(), (match["word"] or "today").lower()
	if match["date"]:
		return day_named(match["date"], today)
	if word in ("today", "tomorrow"):
		return today + timedelta(days=word == "tomorrow")
	number = next((n for n, name in enumerate(WEEKDAYS) if word in (name, name[:3])), None)
	if number is None:
		raise InvalidStartTime(f"{word!r} is not a day. Write one of {EXAMPLES}.")
	return today + timedelta(days=(number - today.weekday()) % 7)


def day_named(text: str, today: date) -> date:
	"""A day that is written as a date. Raises InvalidStartTime for one that no calendar has, and for one more than a year away."""
	try:
		day = date.fromisoformat(text)
	except ValueError as error:
		raise InvalidStartTime(f"There is no day {text}. Write e.g. 2026-11-28 22:00.") from error
	if (day - today).days > FURTHEST:
		raise InvalidStartTime(f"{text} is more than a year ahead. Write an earlier day.")
	if (today - day).days > FURTHEST:
		raise InvalidStartTime(f"{text} has passed, more than a year ago. Write a later day.")
	return day


def occurrence(day: date, clock: str, end: str, zone: tuple[str, tzinfo], repeat: str) -> StartTime:
	"""The start on that day. `zone`: its name, and the zone itself. Raises InvalidStartTime for what no clock shows."""
	name, known = zone
	begin = clock_time(clock)
	at, note = instant(day, begin, known)
	until = at + GRACE
	if end:
		closes = clock_time(end)
		until, _ = instant(day + timedelta(days=closes <= begin), closes, known)
		if until <= at:  # clocks are set forward in it: it is as long as on any other day
			until = at + (datetime.combine(day, closes) - datetime.combine(day, begin)).seconds
	return StartTime(
		at, until, day.isoformat(), f"{begin:%H:%M}", end and f"{clock_time(end):%H:%M}", name, repeat, note
	)


def following(start: StartTime, now: float, zone: tzinfo, step: int = 0) -> StartTime:
	"""The first one after `now`, by whole days or weeks from this one. `step`: days, where it is not repeated."""
	step = step or REPEATS[start.repeat]
	day = date.fromisoformat(start.day)
	behind = (datetime.fromtimestamp(now, zone).date() - day).days
	day += timedelta(days=max(1, behind // step) * step)
	while (found := occurrence(day, start.clock, start.end, (start.zone, zone), start.repeat)).at <= now:
		day += timedelta(days=step)
	return found


def clock_time(text: str) -> time:
	"""22:00 or 3:00. Raises InvalidStartTime."""
	hour, minute = map(int, text.split(":"))
	if hour > 23 or minute > 59:
		raise InvalidStartTime(f"No clock shows {text}. Write a time from 00:00 to 23:59.")
	return time(hour, minute)


def instant(day: date, clock: time, zone: tzinfo) -> tuple[float, str]:
	"""
	Seconds since the epoch, and a note where clocks are set then: of a time that comes twice it is the first one; one that does
	not exist is as long after midnight as on any other day.
	"""
	naive = datetime.combine(day, clock)
	utc = naive.replace(tzinfo=timezone.utc).timestamp()
	before, after = (utc - offset(utc + days * DAY, zone) for days in (-1, 1))
	found = sorted(
		{at for at in (before, after) if datetime.fromtimestamp(at, zone).replace(tzinfo=None) == naive}
	)
	if len(found) == 2:
		return found[0], f"{clock:%H:%M} comes twice on that day; it starts at the first one"
	if found:
		return found[0], ""
	moved = datetime.fromtimestamp(before, zone)
	return (
		before,
		f"there is no {clock:%H:%M} on that day, as clocks are set forward; it starts at {moved:%H:%M}",
	)


def offset(at: float, zone: tzinfo) -> float:
	"""Seconds by which the zone is ahead of UTC at that instant."""
	return datetime.fromtimestamp(at, zone).utcoffset().total_seconds()


def shown(start: StartTime, zone: tzinfo | None) -> str:
	"""For people: day, time, zone, repetition and note. `zone`: None where nobody knows it any more."""
	local = datetime.fromtimestamp(start.at, zone or timezone.utc)
	name = start.zone if zone else "UTC"
	window = f" to {start.end}" if start.end else ""
	again = f", {start.repeat}" if start.repeat else ""
	note = f" ({start.note})" if start.note else ""
	return f"{local:%a %Y-%m-%d %H:%M}{window} {name}{again}{note}"
