"""
Everything the development bench raises on purpose.

DevelopmentError      the base; caught in command_line.py and nowhere else
├── CommandFailed     a program ended with an error; names its log and quotes the last lines
├── PackagesMissing   Debian packages are missing and we may not install them
├── NotBuilt          there is no bench yet
└── NotReady          a condition did not come true in time
"""


class DevelopmentError(Exception):
	def __init__(self, message: str, *, hint: str = "") -> None:
		super().__init__(message)
		self.hint = hint


class CommandFailed(DevelopmentError):
	"""A program we started ended with an error."""


class PackagesMissing(DevelopmentError):
	"""Debian packages are missing and we are not root."""


class NotBuilt(DevelopmentError):
	"""There is no bench of that name."""


class NotReady(DevelopmentError):
	"""A process did not get ready before its deadline."""
