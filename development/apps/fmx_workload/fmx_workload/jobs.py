"""
Jobs that leave a trace outside the site's database.

The journal is a file of one JSON object a line: {"token", "event": "enqueued" | "start" | "end", "time", "pid",
"queue"}. A job that is killed leaves a start without an end; one that runs twice leaves two starts.
"""

import json
import os
import time


def work(token: str, journal: str, seconds: float = 0.0, on_queue: str = "") -> None:
	"""Take that many seconds, and note when it began and ended."""
	note(journal, token, "start", on_queue)
	time.sleep(seconds)
	note(journal, token, "end", on_queue)


def note(journal: str, token: str, event: str, queue: str) -> None:
	"""Append one line. One small write to an O_APPEND file does not mix with those of other processes."""
	line = {"token": token, "event": event, "time": time.time(), "pid": os.getpid(), "queue": queue}
	file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
	try:
		os.write(file, json.dumps(line).encode() + b"\n")
	finally:
		os.close(file)
