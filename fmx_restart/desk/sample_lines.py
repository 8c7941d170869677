"""What samples.py wrote into the queue's Redis, read again. Anybody may write there. Needs no Frappe."""

from __future__ import annotations

import json

from fmx_restart.adapters.setting_rules import number


def sample_in(text: bytes) -> dict | None:
	"""None for what is no sample: anybody on the same Redis may write there."""
	sample = read_json(text)
	if not isinstance(sample, dict) or not isinstance(sample.get("depths"), dict):
		return None
	time, depths = number_in(sample.get("time")), sample["depths"]
	return (
		{"time": time, "depths": depths}
		if time and all(isinstance(depth, int) for depth in depths.values())
		else None
	)


def counts_in(text: bytes) -> list[int] | None:
	"""Finished and failed jobs; None for what cannot be read."""
	counts = read_json(text)
	is_pair = (
		isinstance(counts, list) and len(counts) == 2 and all(isinstance(count, int) for count in counts)
	)
	return counts if is_pair else None


def number_in(value: object) -> float | None:
	"""A finite number; None for what is none."""
	return number(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def read_json(text: bytes) -> object:
	"""None for what is no JSON."""
	try:
		return json.loads(text)
	except (ValueError, RecursionError):
		return None
