"""
Journals of operations on the in-memory bench, as this version writes them:

	python -m fmx_restart.tests.recorded.recording FOLDER

The folders beside this file hold those of each format; tests/desk/test_recorded.py reads them. Record a new
folder with each new format, and leave the older ones as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fmx_restart.engine import events
from fmx_restart.engine.emitter import FORMAT, json_line
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.console.samples import event_types, sample

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITES = ("one.localhost", "two.localhost")
Story = Callable[[InMemoryBench], Options]
Lines = list[tuple[str, events.Event]]


def wait_workers(bench: InMemoryBench) -> Options:
	bench.queue.enqueue("job-1", queue="short", seconds=20)
	return Options(requested_by="ada@example.com", origin="desk")


def fast(bench: InMemoryBench) -> Options:
	bench.queue.enqueue("job-1", queue="long", seconds=500)
	return Options(strategy=Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE)


def rolling(bench: InMemoryBench) -> Options:
	bench.queue.enqueue("job-1", queue="long", seconds=30)
	return Options(strategy=Strategy.ROLLING)


def migrate(bench: InMemoryBench) -> Options:
	for site in SITES:
		bench.settings.files[site] = {"maintenance_mode": 0}
	closed = frozenset({Phase.DRAIN, Phase.MIGRATE, Phase.RESTART})
	return Options(sites=SITES, migration=MigrationOptions(backup=True), maintenance=closed)


def record(story: Story) -> Lines:
	bench, lines = InMemoryBench(WORKERS), []
	options = story(bench)
	for process in bench.processes.list():
		bench.processes[process.name].stop_takes = 1.0
	operation = operation_for(bench.port(), options, lambda event: None, "20261101-120000-0001")
	operation.listen(lambda event: lines.append((json_line(event, bench.clock.time()), event)))
	with suppress(OperationError):
		operation.run()
	return [(line, event) for line, event in lines if not isinstance(event, events.MigrationOutput)]


def until(lines: Lines, is_last: Callable[[events.Event], bool]) -> Lines:
	"""As kill -9 leaves it right after that fact."""
	return lines[: next(n for n, (_, event) in enumerate(lines, start=1) if is_last(event))]


def journals() -> Iterator[tuple[str, Lines]]:
	migration = record(migrate)
	yield "wait-workers", record(wait_workers)
	yield "fast", record(fast)
	yield "rolling", record(rolling)
	yield "migrate", migration
	second = lambda event: isinstance(event, events.MigrationStarted) and event.site == SITES[1]  # noqa: E731
	yield "migrate-died-in-second-site", until(migration, second)
	yield (
		"migrate-died-in-restart",
		until(migration, lambda event: isinstance(event, events.ProcessDown)),
	)
	facts = [sample(kind) for kind in event_types() if kind is not events.NotUnderstood]
	started = [
		replace(fact, format=FORMAT) if isinstance(fact, events.OperationStarted) else fact for fact in facts
	]
	yield "every-fact", [(json_line(fact, 12.5), fact) for fact in started]


def write(folder: Path) -> None:
	folder.mkdir(parents=True, exist_ok=True)
	for name, lines in journals():
		(folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line, _ in lines))


if __name__ == "__main__":
	write(Path(sys.argv[1]))
