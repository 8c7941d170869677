"""
The pictures of Desk in docs/, taken in a real browser on the development bench while it works.
Run with the bench's interpreter: .development/benches/fmx-bench/env/bin/python development/pictures_desk.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from development.description import CHECKOUT, Bench, current_bench
from development.workload import Mix, Workload
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.browser import PHONE, Browser, Desk
from fmx_restart.tests.bench.desk_case import LIST, METHOD, PRIMARY
from fmx_restart.tests.bench.real_jobs import Jobs

PICTURES = CHECKOUT / "docs" / "pictures"
#: A chart grows into its place.
DRAWN = (
	"[...document.querySelectorAll('.restart-chart rect.bar')].some((bar) => bar.getAttribute('height') > 40)"
)
#: Seconds for a whole restart on a busy machine.
RESTART = 240.0


def main(bench: Bench) -> None:
	with tempfile.TemporaryDirectory() as folder, closing(Browser(bench)) as browser:
		desk, jobs = browser.desk(), Jobs(bench, Path(folder))
		with closing(jobs), Workload(bench, Path(folder) / "load.jsonl", Mix(rate=1, long_share=0)) as load:
			restart(browser, desk, jobs)
			abort(desk, jobs)
			with lingering_web(bench):
				report(desk, jobs)
			workers(desk, jobs)
		load.settle()  # their journal goes with the folder
		desk.open("restart-operation", ".list-row .indicator-pill")
		save(desk, "list")


def restart(browser: Browser, desk: Desk, jobs: Jobs) -> None:
	held = jobs.hold("long")
	desk.open("restart-operation", LIST)
	desk.click(LIST)
	desk.see(".restart-preview .restart-table", METHOD)
	desk.click(".restart-strategies label", "Wait for running jobs")
	desk.see(".restart-preview .restart-order", "first")
	desk.see_no(".restart-dialog .is-stale")
	save(desk, "dialog")
	desk.click(PRIMARY, "Continue…")
	desk.see(".restart-consequences")
	desk.click(PRIMARY, "Restart Now")
	desk.see(".restart-left")
	desk.see(".restart-table tr", METHOD)
	save(desk, "running")
	desk.switch_to_dark()
	save(desk, "dark")
	desk.switch_to_light()
	on_a_phone(browser, desk)
	held.let_go()
	desk.see(".restart-banner", "The web server is restarting")
	save(desk, "web-restart")
	see_done(desk)


def see_done(desk: Desk) -> None:
	eventually(lambda: desk.page.locator('[data-status="Done"]').count(), "done", deadline=RESTART)


@contextmanager
def lingering_web(bench: Bench) -> Iterator[None]:
	"""Inside the block no restart of web fails a request, as docs/web.md recommends; afterwards one does again."""
	bench.run_bench_command("safe-restart", "setup", "web", "--yes")
	bench.run_bench_command("safe-restart", "--no-workers", "--yes")
	try:
		yield
	finally:
		bench.run_bench_command("safe-restart", "setup", "web", "--remove", "--yes")
		bench.run_bench_command("safe-restart", "--no-workers", "--yes")


def report(desk: Desk, jobs: Jobs) -> None:
	"""The end of a restart that waited for a job."""
	held = jobs.hold("long")
	desk.open_operation(desk.act("start", strategy="wait-workers")["operation"])
	desk.see(".restart-left")
	held.let_go()
	see_done(desk)
	save(desk, "done")


def on_a_phone(browser: Browser, desk: Desk) -> None:
	"""The same operation, in a window that was narrow from the beginning."""
	phone = browser.desk(size=PHONE)
	phone.open_operation(desk.page.url.rpartition("/")[2])
	phone.see(".restart-left")
	phone.see(".restart-table tr", METHOD)
	save(phone, "phone")


def abort(desk: Desk, jobs: Jobs) -> None:
	"""A job that takes longer than it gets."""
	held = jobs.hold("long")
	operation = desk.act("start", strategy="wait-workers", wait_workers_timeout=2)["operation"]
	desk.open_operation(operation)
	desk.see(".restart-wrong")
	save(desk, "aborted")
	held.let_go()


def workers(desk: Desk, jobs: Jobs) -> None:
	held = jobs.hold("long")
	desk.open("bench-workers", ".restart-findings, .restart-empty .indicator-pill")
	desk.see(".restart-table tr", METHOD)
	desk.page.wait_for_function(DRAWN)
	save(desk, "workers", whole=True)
	held.let_go()


def save(desk: Desk, name: str, *, whole: bool = False) -> None:
	desk.picture(PICTURES / f"desk-{name}.png", whole=whole)


if __name__ == "__main__":
	main(current_bench(os.environ.get("FMX_DEVELOPMENT_BENCH")))
