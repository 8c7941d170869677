"""What the engine needs of the web server in front of the bench."""

from __future__ import annotations

from typing import Protocol

from fmx_restart.engine.errors import WrongEnvironment


class Nginx(Protocol):
	"""Each call takes some seconds at most."""

	def test(self) -> None:
		"""
		Test its configuration as it is now. Changes nothing. Raises NginxFault, with its own lines, where it does not pass, and
		WrongEnvironment where this user may not ask.
		"""

	def reload(self) -> None:
		"""It reads its configuration anew, and its old workers finish what they have begun. Raises as test does."""


class NoNginx:
	"""For a bench without one."""

	def test(self) -> None:
		raise WrongEnvironment("No nginx can be reloaded here.", hint="Leave --nginx out.")

	reload = test
