"""What samples.py wrote into the queue's Redis, read again. Anybody may write there. Needs no Frappe."""

from __future__ import annotations

import json
from collections.abc import Sequence

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


def at_even_times(samples: Sequence[dict], most: int, finest: float) -> list[dict]:
	"""
	`most` samples at equal distances, of at least `finest` seconds, from the first to the last: a chart draws points at equal
	distances, and samples are taken more often while someone watches. Each has the depths of the last sample before it.
	"""
	if not samples:
		return []
	samples = sorted(samples, key=lambda sample: sample["time"])
	begin, end = samples[0]["time"], samples[-1]["time"]
	step = max(finest, (end - begin) / max(1, most - 1))
	points, current = [], 0
	for place in range(int((end - begin) / step + 1e-6) + 1):
		time = begin + place * step
		while current + 1 < len(samples) and samples[current + 1]["time"] <= time + 1e-6:
			current += 1
		points.append({"time": time, "depths": samples[current]["depths"]})
	return points


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
