"""
Test nginx's configuration and reload it, by the one sudo rule that `bench setup sudoers` writes: the program itself with
any arguments. No shell is involved, and nothing is asked: without that rule sudo refuses at once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

from fmx_restart.adapters.process_table import user_name
from fmx_restart.engine.errors import NginxFault, WrongEnvironment
from fmx_restart.engine.plain_text import printable

PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")  # which a bench user's PATH may lack
TIMEOUT = 15.0  # seconds; nginx resolves the names of other servers in its configuration
MOST_LINES, LONGEST_LINE = 5, 500  # of its output
TEST, RELOAD = ("-t",), ("-s", "reload")
SPEAKS = "nginx: "  # how a line of its own begins
#: Where its configuration names an error_log, a line begins as those of the log: date, level, pid and thread.
LOGS = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: ")


class NginxHere:
	"""`options`: of the program, where it is not the system's own configuration."""

	def __init__(self, program: str | None = None, *, options: Sequence[str] = ()) -> None:
		self._program, self._options = program, tuple(options)

	def test(self) -> None:
		self._run(*TEST, failed="The configuration of nginx does not pass its test")

	def reload(self) -> None:
		self._run(*RELOAD, failed="nginx cannot be reloaded")

	def _run(self, *arguments: str, failed: str) -> None:
		program = self._program or found("nginx")
		if program is None:
			raise WrongEnvironment("nginx is not installed here.", hint="Leave --nginx out.")
		words = [*sudo(program), program, *self._options, *arguments]
		try:
			done = subprocess.run(
				words,
				stdin=subprocess.DEVNULL,
				stdout=subprocess.PIPE,
				stderr=subprocess.STDOUT,
				text=True,
				errors="replace",
				timeout=TIMEOUT,
				env={**os.environ, "LC_ALL": "C"},
			)
		except subprocess.TimeoutExpired:
			raise NginxFault(
				f"nginx has given no answer for {TIMEOUT:.0f} s.", hint=by_hand(program)
			) from None
		except OSError as error:
			raise WrongEnvironment(
				f"nginx cannot be asked: {error.strerror}.", hint="Leave --nginx out."
			) from error
		if done.returncode:
			raise fault(program, done.stdout.splitlines(), failed)


def found(program: str) -> str | None:
	"""Its path, as root would find it too."""
	return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *PLACES]))


def sudo(program: str) -> list[str]:
	"""What stands before it. Nothing for root. Raises WrongEnvironment where there is no sudo."""
	if os.geteuid() == 0:
		return []
	path = found("sudo")
	if path is None:
		raise WrongEnvironment(
			"Only root may reload nginx, and sudo is not installed.",
			hint=f"Install sudo and type: sudo bench setup sudoers {user_name(os.geteuid())}. Or leave --nginx out.",
		)
	return [path, "-n"]


def fault(program: str, lines: Sequence[str], failed: str) -> NginxFault | WrongEnvironment:
	"""By who speaks: sudo refuses in its own words, before nginx has said anything."""
	told = [printable(line.strip(), LONGEST_LINE) for line in lines if line.strip()][-MOST_LINES:]
	text = "; ".join(line.removeprefix(SPEAKS) for line in told).rstrip(".") or "it said nothing"
	if os.geteuid() == 0 or any(line.startswith(SPEAKS) or LOGS.match(line) for line in told):
		return NginxFault(f"{failed}: {text}.", hint=by_hand(program))
	user = user_name(os.geteuid())
	return WrongEnvironment(
		f"sudo does not let {user} run nginx without a password: {text}.",
		hint=f"Type: sudo bench setup sudoers {user}. It writes this line into /etc/sudoers.d/frappe:"
		f" {user} ALL = (root) NOPASSWD: {program}",
	)


def by_hand(program: str) -> str:
	"""What to type where nginx's configuration does not pass."""
	return f"Repair its configuration. To test it: sudo {program} -t. To reload it then: sudo {program} -s reload"
