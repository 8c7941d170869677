"""What a unit writes: into the files that StandardOutput and StandardError name, else into the journal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from fmx_restart.adapters.log_end import BLOCK, MOST, last_lines, new_in, size_of
from fmx_restart.adapters.log_text import plain, without_jobs
from fmx_restart.adapters.managers.systemd.systemctl import Output, Systemctl, first_line
from fmx_restart.adapters.process_table import user_name
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import LogTail

FILES = ("file", "append", "truncate")
#: systemctl says that it is a file, and not which
WRITTEN = re.compile(
	r"^\s*(StandardOutput|StandardError)\s*=\s*(?:file|append|truncate):(\S.*?)\s*$", re.MULTILINE
)
SPECIFIER = re.compile(r"%(\w)")
STREAMS = ("StandardOutput", "StandardError")
JOURNAL = ("inherit", "journal", "journal+console", "syslog", "kmsg")
SYSTEMD_ITSELF = "systemd"  # a place like the others
LINES = 200  # of the journal that are looked at
LOG_TAIL = 4096  # characters that are shown
CURSOR = "-- cursor: "


@frozen
class Outputs:
	"""Where one unit writes. A path, "journal", or empty where that is kept nowhere."""

	out: str
	err: str
	#: files that are written from their beginning again at each start, over what stands there (file:)
	overwritten: frozenset[str] = frozenset()

	@classmethod
	def of(cls, answer: Mapping[str, str]) -> Outputs:
		"""From `systemctl show` and the unit's files. StandardError goes where StandardOutput goes, unless something else is said."""
		told = [answer.get(name, "inherit") for name in STREAMS]
		files = files_of(answer) if any(one in FILES for one in told) else {}
		out, err = (place_of(one, files.get(name, "")) for name, one in zip(STREAMS, told, strict=True))
		over = {place for place, one in ((out, told[0]), (err, told[1])) if one == "file"}
		return cls(out, out if told[1] == "inherit" else err, frozenset(over))

	@property
	def places(self) -> list[str]:
		"""Each once, the more telling one first."""
		return [place for place in dict.fromkeys((self.err, self.out)) if place]


def place_of(setting: str, file: str) -> str:
	"""`file`: which one it is, where it is one."""
	if setting in FILES:
		return file
	return "journal" if setting in JOURNAL else ""


def files_of(answer: Mapping[str, str]) -> dict[str, str]:
	"""StandardOutput, StandardError → path, as the unit's files say it; the last one counts. Nothing with a specifier we do not know."""
	found = {}
	for file in (answer.get("FragmentPath", ""), *answer.get("DropInPaths", "").split()):
		with suppress(OSError, ValueError):
			found |= dict(WRITTEN.findall(Path(file).read_text()))
	known = specifiers_of(answer.get("Id", ""))
	paths = {
		name: SPECIFIER.sub(lambda match: known.get(match[1], match[0]), path) for name, path in found.items()
	}
	return {name: path for name, path in paths.items() if path.startswith("/") and "%" not in path}


def specifiers_of(unit: str) -> dict[str, str]:
	"""Those of systemd.unit(5) that come from a unit's name."""
	prefix, _, instance = unit.removesuffix(".service").partition("@")
	return {"n": unit, "N": unit.removesuffix(".service"), "p": prefix, "i": instance}


@frozen
class Mark:
	"""What one place held when the old process had ended: a size in bytes, or a cursor of the journal."""

	size: int = 0
	cursor: str = ""
	head: bytes = b""  # of a file that is overwritten


class UnitLogs:
	"""`field`: what the journal calls the unit of an entry."""

	def __init__(self, systemctl: Systemctl) -> None:
		self._systemctl = systemctl
		self._field = "_SYSTEMD_USER_UNIT" if systemctl.is_users else "_SYSTEMD_UNIT"
		self._about = "USER_UNIT" if systemctl.is_users else "UNIT"  # of what systemd itself says of a unit
		self._marks: dict[str, dict[str, Mark]] = {}  # unit → place → mark

	def mark(self, unit: str, outputs: Outputs) -> None:
		"""What comes from now on is the successor's."""
		places = [*outputs.places, SYSTEMD_ITSELF]
		self._marks[unit] = {place: self._mark_of(unit, place, outputs) for place in places}

	def tail(self, unit: str, outputs: Outputs, shared: set[str]) -> str:
		"""The end of what is new, nothing about jobs among it. `shared`: files that other units write into, too."""
		for place in outputs.places:
			mark = self._marks.get(unit, {}).get(place)
			if mark and (text := self._new_at(unit, place, mark, outputs)):
				shown = without_jobs(plain(text), is_shared=place in shared).rstrip()
				if shown:
					return shown[-LOG_TAIL:]
		return ""

	def words_of_systemd(self, unit: str) -> str:
		"""What systemd itself has said of it since it was marked: how its process ended, why it is not started again."""
		mark = self._marks.get(unit, {}).get(SYSTEMD_ITSELF)
		if mark is None:
			return ""
		since = [f"--after-cursor={mark.cursor}"] if mark.cursor else []
		return plain(self._entries(f"{self._about}={unit}", LINES, *since).text).rstrip()[-LOG_TAIL:]

	def tails(self, unit: str, outputs: Outputs, count: int) -> Iterator[LogTail]:
		"""The last lines of each place."""
		for place in outputs.places:
			yield file_tail(place, count) if place.startswith("/") else self._journal_tail(unit, count)

	def _mark_of(self, unit: str, place: str, outputs: Outputs) -> Mark:
		if place in outputs.overwritten:
			return Mark(head=head_of(place))
		if place.startswith("/"):
			return Mark(size=size_of(place) or 0)
		# of an entry of this unit: journalctl would take the first one after any other for the marked one
		match = f"{self._about if place == SYSTEMD_ITSELF else self._field}={unit}"
		told = self._entries(match, 0, "--show-cursor").text
		return Mark(cursor=told.partition(CURSOR)[2].strip())

	def _new_at(self, unit: str, place: str, mark: Mark, outputs: Outputs) -> str:
		if place in outputs.overwritten:
			return written_over(mark.head, head_of(place)).decode(errors="replace")
		if place.startswith("/"):
			return new_in(place, mark.size) or ""
		since = [f"--after-cursor={mark.cursor}"] if mark.cursor else []
		return self._entries(f"{self._field}={unit}", LINES, *since).text

	def _entries(self, match: str, count: int, *words: str) -> Output:
		return self._systemctl.journal("--output=cat", f"--lines={count}", *words, match)

	def _journal_tail(self, unit: str, count: int) -> LogTail:
		source = f"journalctl {'--user ' if self._systemctl.is_users else ''}-u {unit}"
		try:
			entries = self._entries(f"{self._field}={unit}", count + 1)
		except ProcessFault as fault:
			return LogTail(source, (), str(fault))
		if entries.code:
			return LogTail(source, (), f"{first_line(entries.errors)} {to_read_the_journal()}")
		lines = plain(entries.text).splitlines()
		return LogTail(source, tuple(lines[-count:]), is_cut=len(lines) > count)


def to_read_the_journal() -> str:
	"""What somebody does who may not."""
	user = user_name(os.geteuid())
	return f"Let {user} read it: sudo usermod -aG systemd-journal {user}, then log in again."


def head_of(path: str) -> bytes:
	"""Its beginning; empty where it is not ours to read."""
	with suppress(OSError), Path(path).open("rb") as file:
		return file.read(BLOCK)
	return b""


def written_over(before: bytes, now: bytes) -> bytes:
	"""Whole lines from the beginning up to the last byte that is another one than before. Empty where all is the same."""
	same = min(len(before), len(now))
	changed = (
		len(now)
		if len(now) > same
		else next((at for at in range(same, 0, -1) if before[at - 1] != now[at - 1]), 0)
	)
	end = now.find(b"\n", max(0, changed - 1))
	return now[: end + 1 if end >= 0 else len(now)] if changed else b""


def file_tail(path: str, count: int) -> LogTail:
	"""The last lines of a file."""
	try:
		lines = last_lines(path, count + 1)
	except OSError as error:
		return LogTail(path, (), error.strerror)
	is_cut = len(lines) > count or (size_of(path) or 0) > MOST
	return LogTail(path, tuple(map(plain, lines[-count:])), is_cut=is_cut)
