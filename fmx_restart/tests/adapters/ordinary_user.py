"""Code of tests that runs as an ordinary user, also where root runs the tests."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

USER = 54321  # no machine knows a user of that number


def as_ordinary_user(work: Callable[[], Any]) -> Any:
	"""What `work` returns, from a child that is nobody's user; without a child where this process is no root's."""
	return work() if os.geteuid() else in_child(work, before=become_ordinary)


def become_ordinary() -> None:
	os.setgroups([])
	os.setgid(USER)
	os.setuid(USER)


def in_child(work: Callable[[], Any], before: Callable[[], None] = lambda: None) -> Any:
	"""What it returns, or raises. All that it needs must be imported: a checkout of root's may be closed to others."""
	reading, writing = os.pipe()
	pid = os.fork()
	if pid == 0:
		answer: tuple[str, Any] = ("raised", None)
		try:
			before()
			answer = ("returned", work())
		except BaseException as error:  # noqa: BLE001 - the parent raises it
			answer = ("raised", error)
		finally:
			os.write(writing, pickle.dumps(answer))
			os._exit(0)
	os.close(writing)
	with os.fdopen(reading, "rb") as pipe:
		kind, answer = pickle.loads(pipe.read())
	os.waitpid(pid, 0)
	if kind == "raised":
		raise answer
	return answer


def give(folder: Path, user: int = USER) -> None:
	"""The folder and all in it; root alone may."""
	for path in (folder, *folder.rglob("*")):
		os.chown(path, user, user)
