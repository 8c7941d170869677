"""Desk's pages for people who use a keyboard or a screen reader: axe looks for what is known to keep them out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from fmx_restart.tests.bench.browser import Desk

#: What Frappe draws inside of our dialogs, in its own colours
OF_FRAPPE = ".btn-primary"
#: Colours change over this many seconds
FADING = 0.4
#: All that is different in the other theme
IN_THE_DARK = {"runOnly": ["color-contrast"]}
RUN = "([context, options]) => axe.run(context, options)"
#: Where the focus is, whether that is inside, and whether people see it
FOCUS = """(inside) => {
	const place = document.activeElement;
	const { outlineStyle, outlineWidth } = getComputedStyle(place);
	return {
		text: (place.innerText || place.name || place.className || "").trim().slice(0, 60),
		is_inside: Boolean(place.closest(inside)),
		is_seen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
	};
}"""


def violations(desk: Desk, where: str) -> Iterator[str]:
	"""What axe finds inside of these elements, in both themes; a line each. The theme is light afterwards."""
	if not desk.page.evaluate("Boolean(window.axe)"):
		desk.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
	yield from found(desk, where, {})
	desk.switch_to_dark()
	time.sleep(FADING)
	yield from found(desk, where, IN_THE_DARK)
	desk.switch_to_light()


def found(desk: Desk, where: str, options: dict[str, Any]) -> Iterator[str]:
	"""As `violations`, in the theme as it is."""
	context = {"include": [[where]], "exclude": [[OF_FRAPPE]]}
	asked = [context, {"resultTypes": ["violations"], **options}]
	for violation in desk.page.evaluate(RUN, asked)["violations"]:
		for node in violation["nodes"]:
			yield f"{violation['id']}: {node['failureSummary']} {node['html'][:200]}"


def focus(desk: Desk, inside: str) -> dict[str, Any]:
	"""`text`, `is_inside`, `is_seen`."""
	return desk.page.evaluate(FOCUS, inside)
