"""One systemd, the machine's or the user's own, through systemctl and journalctl: no shell, no password, no waiting."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fmx_restart.adapters.managers.systemd.bus import is_silent
from fmx_restart.adapters.process_table import user_name
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen

#: Seconds; systemd answers in some 10 ms unless it or its machine hangs. The fence is renewed between two answers
TIMEOUT = 5.0
#: Seconds that one gets which let us wait before: it must not delay what other managers run
HUNG = 1.0
PAUSE = 1.0  # seconds until it is asked again
BOOTED = Path("/run/systemd/system")  # sd_booted(3)
#: systemctl's own words, whatever the language of whoever types
ENVIRONMENT = {"LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
FAILED = re.compile(r"^Failed to \S+ (?P<unit>\S+?): (?P<reason>.*)$", re.MULTILINE)


class TimeoutFault(ProcessFault):
	"""A program was given up, as it did not answer in time."""


@frozen
class Output:
	"""Of one command. `code`: its exit code."""

	code: int
	text: str
	errors: str


class Patience:
	"""
	How long a systemd gets for an answer: less once it has let us wait, and for a moment nobody asks it again, as one look at a
	bench may ask once for each process.
	"""

	def __init__(self) -> None:
		self._hung_at: float | None = None
		self._told = TimeoutFault("")

	@contextmanager
	def asking(self, wanted: float) -> Iterator[float]:
		"""`wanted`: seconds, for one that has answered so far. Raises TimeoutFault in that moment."""
		if self._hung_at is not None:
			if time.monotonic() - self._hung_at < PAUSE:
				raise TimeoutFault(str(self._told), hint=self._told.hint)
			wanted = min(wanted, HUNG)
		try:
			yield wanted
		except TimeoutFault as fault:
			self._hung_at, self._told = time.monotonic(), fault
			raise
		self._hung_at = None


#: Of the machine's, and of the user's: all of this process ask the same two
PATIENCE = {False: Patience(), True: Patience()}


@frozen
class Systemctl:
	"""`is_users`: the systemd of the user that we run as, and not the machine's."""

	is_users: bool = False

	@property
	def scope(self) -> str:
		"""As fmx_restart_managers writes it."""
		return "user" if self.is_users else "system"

	@property
	def is_there(self) -> bool:
		"""Whether this systemd runs, as far as a file tells. Costs nothing."""
		if self.is_users:
			return Path(runtime_folder(), "systemd/private").exists()
		return BOOTED.is_dir() and shutil.which("systemctl") is not None

	def typed(self, *words: str) -> list[str]:
		"""What a person types."""
		sudo = ["sudo"] if not self.is_users and os.geteuid() != 0 else []
		return [*sudo, "systemctl", *self._of_scope(), *words]

	def ask(self, *words: str, timeout: float = TIMEOUT) -> Output:
		"""Anything that systemctl can be asked; its exit code is for the caller. Raises ProcessFault where it does not answer."""
		return self._run([program("systemctl"), *self._of_scope(), "--no-pager", *words], timeout)

	def journal(self, *words: str, timeout: float = TIMEOUT) -> Output:
		"""As ask, of journalctl."""
		user = ["--user"] if self.is_users else []
		return run([program("journalctl"), *user, "--no-pager", "--quiet", *words], timeout)

	def show(
		self, units: Sequence[str], properties: Iterable[str], *, timeout: float = TIMEOUT
	) -> list[dict[str, str]]:
		"""
		One mapping for each unit, by systemd's own property names; for a name that nothing is known of, too. `units` may hold
		patterns, which match what is loaded. Raises ProcessFault.
		"""
		# --all: a pattern leaves out units that are down
		output = self.ask(
			"show", "--all", f"--property={','.join(properties)}", "--", *units, timeout=timeout
		)
		if output.code:
			raise ProcessFault(f"systemd does not answer: {first_line(output.errors)}", hint=self.look_hint)
		return parse(output.text)

	@property
	def look_hint(self) -> str:
		"""What to type where it does not answer."""
		return f"See whether it answers: {' '.join(['systemctl', *self._of_scope(), 'status'])}."

	def _run(self, words: Sequence[str], timeout: float) -> Output:
		with PATIENCE[self.is_users].asking(timeout) as seconds:
			try:
				return run(words, seconds)
			except TimeoutFault as fault:
				raise self._silence(str(fault), seconds) from fault

	def _silence(self, told: str, seconds: float) -> TimeoutFault:
		"""The fault that names what hangs: systemd, or D-Bus before it, which root does without."""
		if self.is_users or os.geteuid() == 0 or not is_silent():
			return TimeoutFault(told, hint=self.look_hint)
		user = user_name(os.geteuid())
		return TimeoutFault(
			f"D-Bus (dbus.service) did not answer within {seconds:g} s, and user {user} reaches systemd through it",
			hint="systemd itself may be well: root reaches it without D-Bus. Type: sudo systemctl status dbus.service",
		)

	def _of_scope(self) -> list[str]:
		return ["--user"] if self.is_users else []


def runtime_folder() -> str:
	"""Of the user that we run as."""
	return os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"


def program(name: str) -> str:
	"""Its path. Raises ProcessFault."""
	if path := shutil.which(name):
		return path
	raise ProcessFault(f"{name} is not installed", hint=f"Install systemd's {name}.")


def run(words: Sequence[str], timeout: float, who: str = "systemd") -> Output:
	"""`who`: is asked. Raises ProcessFault where the program cannot be run, or does not answer in time."""
	environ = {"XDG_RUNTIME_DIR": runtime_folder(), **os.environ, **ENVIRONMENT}
	try:
		done = subprocess.run(
			list(words),
			capture_output=True,
			text=True,
			errors="replace",
			timeout=timeout,
			stdin=subprocess.DEVNULL,
			env=environ,
		)
	except subprocess.TimeoutExpired as error:
		raise TimeoutFault(f"{who} did not answer within {timeout:g} s") from error
	except OSError as error:
		raise ProcessFault(f"{words[0]} cannot be run: {error.strerror}") from error
	return Output(done.returncode, done.stdout, done.stderr)


def parse(text: str) -> list[dict[str, str]]:
	"""Blocks of Name=value lines, an empty line between two units. A name that comes twice keeps both, by lines."""
	units = []
	for block in re.split(r"\n\s*\n", text.strip()):
		unit: dict[str, str] = {}
		for line in block.splitlines():
			name, is_property, value = line.partition("=")
			if is_property:
				unit[name] = f"{unit[name]}\n{value}" if name in unit else value
		if unit:
			units.append(unit)
	return units


def refusals_in(errors: str) -> dict[str, str]:
	"""Unit → why its order was refused, from what systemctl wrote."""
	return {match["unit"]: match["reason"].rstrip(".") for match in FAILED.finditer(errors)}


def first_line(text: str) -> str:
	"""Of what a program wrote; a few words where it wrote nothing."""
	return next((line.strip() for line in text.splitlines() if line.strip()), "it gave no reason")
