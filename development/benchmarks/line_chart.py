"""A line chart as SVG: enough for our pictures, readable on light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 900, 360
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 70, 50
X_STEPS, Y_STEPS = (1, 2, 5, 10, 20), (2, 5, 10, 20, 50)
MOST_MARKS = 15
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b9770e")


@dataclass(frozen=True)
class Series:
	name: str
	points: list[tuple[float, float]]


def line_chart(series: list[Series], *, title: str, x_label: str) -> str:
	xs = [x for one in series for x, _ in one.points]
	top = max(y for one in series for _, y in one.points) * 1.1 or 1.0
	scale = Scale(min(xs), max(xs), top)
	parts = [
		f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
		f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
		f'<text x="{LEFT}" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
		*axes(scale, x_label),
		*(part for number, one in enumerate(series) for part in drawn(one, number, scale)),
		"</svg>",
	]
	return "\n".join(parts) + "\n"


@dataclass(frozen=True)
class Scale:
	first: float
	last: float
	top: float

	def x(self, value: float) -> float:
		return LEFT + (value - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

	def y(self, value: float) -> float:
		return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)


def step_for(length: float, steps: tuple[int, ...]) -> int:
	"""The smallest one that gives so few marks that their numbers do not touch."""
	return next((step for step in steps if length / step <= MOST_MARKS), steps[-1])


def axes(scale: Scale, x_label: str) -> list[str]:
	base, parts = scale.y(0), []
	step = step_for(scale.last - scale.first, X_STEPS)
	for tick in range(int(scale.first // step) * step, int(scale.last) + 1, step):
		if tick >= scale.first:
			x = scale.x(tick)
			parts.append(f'<line x1="{x:.1f}" y1="{base}" x2="{x:.1f}" y2="{base + 5}" stroke="black"/>')
			parts.append(f'<text x="{x:.1f}" y="{base + 20}" text-anchor="middle">{tick}</text>')
	for tick in range(0, int(scale.top) + 1, step_for(scale.top, Y_STEPS)):
		y = scale.y(tick)
		parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
		parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
	zero = scale.x(0)
	parts.append(
		f'<line x1="{zero:.1f}" y1="{TOP}" x2="{zero:.1f}" y2="{base}" stroke="#888888" stroke-dasharray="4 4"/>'
	)
	parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>')
	return parts


def drawn(series: Series, number: int, scale: Scale) -> list[str]:
	colour = COLOURS[number % len(COLOURS)]
	points = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in series.points)
	x = LEFT + number * 280
	return [
		f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
		f'<line x1="{x}" y1="46" x2="{x + 24}" y2="46" stroke="{colour}" stroke-width="3"/>',
		f'<text x="{x + 30}" y="50">{escape(series.name)}</text>',
	]
