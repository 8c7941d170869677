"""What web_restarts measured, as Markdown and as a picture."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from development.benchmarks.line_chart import Series as Line
from development.benchmarks.line_chart import line_chart
from development.description import CHECKOUT, Bench
from development.nginx import LINK as NGINX_PROGRAM

if TYPE_CHECKING:
	from development.benchmarks.web_restarts import Series

PICTURE = CHECKOUT / "docs" / "pictures" / "requests.svg"
VERSIONS = """
import sys, frappe, gunicorn, rq
print(f"Frappe {frappe.__version__}, gunicorn {gunicorn.__version__}, rq {rq.VERSION}, Python {sys.version.split()[0]}")
"""


def report(bench: Bench, web: Sequence[str], counted: list[Series], measured: list[Series]) -> str:
	parts = [machine(bench, web)]
	if counted:
		parts += [table(COUNTED, map(counted_cells, counted)), kinds(counted), failures(counted)]
	if measured:
		parts += [table(TIMED, map(timed_cells, measured)), ratios(measured)]
	return "\n\n".join(filter(None, parts))


def machine(bench: Bench, web: Sequence[str]) -> str:
	day = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
	load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
	python = subprocess.run(
		[bench.python, "-c", VERSIONS], cwd=bench.sites_path, capture_output=True, text=True
	)
	nginx = subprocess.run([NGINX_PROGRAM, "-v"], capture_output=True, text=True).stderr
	versions = f"{python.stdout.strip()}, nginx {''.join(re.findall(r'[0-9.]+', nginx)[:1])}"
	return (
		f"{day}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load average at the end {load};"
		f" {versions}; gunicorn's options: {' '.join(web)}."
	)


COUNTED = (
	"command",
	"restarts",
	"requests",
	"failed",
	"502",
	"slowest GET before",
	"slowest GET",
	"live connections renewed",
	"longest away",
	"jobs lost, twice, interrupted",
)
TIMED = (
	"command",
	"restarts",
	"returns",
	"works again",
	"outage",
	"failed",
	"slowest GET",
	"longest gap between job starts",
)


def counted_cells(series: Series) -> list[str]:
	return [
		f"`{series.name}`",
		str(len(series.restarts)),
		f"{series.requests:,}",
		f"{sum(series.failed.values()):,}",
		str(series.bad_gateways),
		f"{series.slowest_before:.2f} s",
		f"{series.slowest:.2f} s",
		str(series.reconnections),
		f"{series.longest_absence:.1f} s",
		f"{series.lost}, {series.run_twice}, {series.interrupted}",
	]


def timed_cells(series: Series) -> list[str]:
	return [
		f"`{series.name}`",
		str(len(series.restarts)),
		f"{middle(series, 'wall'):.1f} s",
		f"{middle(series, 'works_again'):.1f} s",
		f"{middle(series, 'outage'):.2f} s",
		f"{sum(series.failed.values()):,} of {series.requests:,}",
		f"{series.slowest:.2f} s",
		f"{middle(series, 'gap'):.2f} s",
	]


def middle(series: Series, name: str) -> float:
	return statistics.median(getattr(restart, name) for restart in series.restarts)


def table(head: Sequence[str], rows: Iterable[list[str]]) -> str:
	lines = [head, ["---"] * len(head), *rows]
	return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def kinds(counted: list[Series]) -> str:
	"""How many requests there were of each kind, over all series."""
	total: dict[str, int] = {}
	for series in counted:
		for kind, times in series.kinds.items():
			total[kind] = total.get(kind, 0) + times
	return "Requests: " + "; ".join(f"{kind}: {times:,}" for kind, times in sorted(total.items())) + "."


def failures(counted: list[Series]) -> str:
	lines = [
		f"- `{series.name}`: " + "; ".join(f"{what}: {times}" for what, times in series.failed.items())
		for series in counted
		if series.failed
	]
	return "\n".join(lines)


def ratios(measured: list[Series]) -> str:
	"""Each beside the first of them."""
	first, *others = measured
	lines = []
	for series in others:
		parts = [
			f"{label} {middle(series, name) / middle(first, name):.2f} ×"
			for label, name in (("outage", "outage"), ("works again", "works_again"), ("gap", "gap"))
			if middle(first, name)
		]
		lines.append(f"- `{series.name}` beside `{first.name}`: {', '.join(parts)}")
	return "\n".join(lines)


def draw(measured: list[Series]) -> None:
	"""Pages answered per second, the mean of all restarts of each command."""
	from development.benchmarks.web_restarts import BIN, bins

	lines = []
	for series in (measured[0], *(it for it in measured if "not set up" not in it.name)):
		means = [
			statistics.mean(counts) / BIN
			for counts in zip(*(it.answered for it in series.restarts), strict=True)
		]
		lines.append(Line(series.name.removesuffix(", not set up"), list(zip(bins(), means, strict=True))))
	title = "Pages answered per second around a restart"
	PICTURE.write_text(line_chart(lines, title=title, x_label="seconds since the command was typed"))
