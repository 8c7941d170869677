"""Numbers in the text format of OpenMetrics 1.0. Nothing of Frappe here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UNITS = ("seconds", "bytes")


@dataclass
class Gauge:
	"""`name`: ends with its unit, where it has one. A value of None is not known, and is left out."""

	name: str
	help: str
	samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

	def add(self, value: float | None, **labels: str) -> Gauge:
		"""One sample; the same labels must not come twice."""
		if value is not None and not math.isnan(value):
			self.samples.append((labels, value))
		return self

	def lines(self) -> list[str]:
		"""The gauge with its samples; nothing without any."""
		if not self.samples:
			return []
		unit = self.name.rpartition("_")[2]
		head = [f"# TYPE {self.name} gauge"]
		head += [f"# UNIT {self.name} {unit}"] if unit in UNITS else []
		head += [f"# HELP {self.name} {escaped(self.help)}"]
		return head + [f"{self.name}{in_braces(labels)} {number(value)}" for labels, value in self.samples]


def exposition(gauges: Iterable[Gauge]) -> str:
	"""The whole answer to a scrape."""
	return "\n".join([*(line for gauge in gauges for line in gauge.lines()), "# EOF", ""])


def in_braces(labels: Mapping[str, str]) -> str:
	"""Labels of a sample; nothing for none."""
	if not labels:
		return ""
	return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def escaped(text: str) -> str:
	"""Names of queues are others': a line break or a quote in one must not begin another sample. Lone surrogates are no UTF-8."""
	text = text.encode(errors="backslashreplace").decode()
	return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\\\r").replace('"', '\\"')


def number(value: float) -> str:
	"""A whole number without a point; an infinite one as the format has it."""
	if math.isinf(value):
		return "+Inf" if value > 0 else "-Inf"
	return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))
