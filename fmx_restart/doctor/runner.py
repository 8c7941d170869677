"""
All checks side by side, each with a time limit. One that fails or hangs is a finding of its own and hides no other; a
part of the bench that cannot be reached is told once, however many checks wanted it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fmx_restart.doctor.bench_view import BenchView, NoManager
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.registry import CHECKS, DETAILS, Check, Finding, Rows, Severity
from fmx_restart.doctor.verdict import verdict_of_bench
from fmx_restart.doctor.words import error_name
from fmx_restart.engine.errors import OperationError, WrongEnvironment

LIMIT = 2.0  # seconds for each check, on a machine that has a processor to spare
MOST_BUSY = 5.0  # times as long, at most, on one that has not
#: Findings that no check makes; they have pages, too
UNREACHABLE, FAILED, NO_MANAGER = "unreachable", "check-failed", "no-manager"
OF_MANAGERS = ("manager", "processes", "settings")  # parts that process managers answer
ORDER = list(Severity)


@dataclass
class Probe:
	"""One question about the bench, asked in a thread of its own. Answers that came before it failed count."""

	name: str
	ask: Callable[[BenchView], Iterable[Any]]
	answers: list[Any] = field(default_factory=list)
	error: BaseException | None = None
	thread: threading.Thread | None = None

	def start(self, view: BenchView) -> None:
		"""
		A daemon thread: one that hangs keeps nobody from ending. It begins without Frappe's locals: Frappe 16 shares
		them between copies of a context, so a check could close the database connection of whoever asks us.
		"""
		self.thread = threading.Thread(target=self._run, args=(view,), name=self.name, daemon=True)
		self.thread.start()

	def _run(self, view: BenchView) -> None:
		try:
			for answer in self.ask(view):
				self.answers.append(answer)
		except BaseException as error:  # noqa: BLE001 - whatever it is, an end of the process too, the other checks go on
			self.error = error

	def is_over(self, deadline: float) -> bool:
		"""Wait for it until `deadline`, in monotonic seconds; whether it is over."""
		self.thread.join(max(0.0, deadline - time.monotonic()))
		return not self.thread.is_alive()


def run_checks(
	view: BenchView, names: Collection[str] | None = None, *, limit: float | None = None
) -> Examination:
	"""`names`: only these checks, and no details. Raises WrongEnvironment for a name that there is none of."""
	details = {} if names else {name: detail.rows for name, detail in DETAILS.all().items()}
	return ask(view, chosen(names), details, limit=limit)


def ask(
	view: BenchView, checks: Mapping[str, Check], details: Mapping[str, Rows], *, limit: float | None = None
) -> Examination:
	"""Runs checks and details side by side. Takes `limit` seconds at most, whatever hangs; without one it is patience()."""
	began, at = time.monotonic(), time.time()
	deadline = began + (patience() if limit is None else limit)
	looks = [Probe(name, look) for name, look in checks.items()]
	tables = [Probe(name, rows) for name, rows in details.items()]
	verdict = Probe("verdict", lambda view: [verdict_of_bench(view)])
	for probe in [*looks, *tables, verdict]:
		probe.start(view)
	problems = [problem for probe in [*looks, *tables] for problem in trouble(probe, view, deadline)]
	findings = [finding for probe in looks for finding in tuple(probe.answers)]
	return Examination(
		bench=view.bench_id,
		time=at,
		seconds=time.monotonic() - began,
		checks=tuple(checks),
		findings=sort([*dict.fromkeys([*problems, *findings])]),
		details={probe.name: tuple(probe.answers) for probe in tables if probe.answers},
		verdict=verdict.answers[0] if verdict.is_over(deadline) and verdict.answers else None,
	)


def patience() -> float:
	"""
	Seconds for each check. On a machine that has more to do than it can everything takes longer, and that alone must not
	look like a check that hangs.
	"""
	busy = os.getloadavg()[0] / (os.cpu_count() or 1)
	return LIMIT * min(MOST_BUSY, max(1.0, busy))


def chosen(names: Collection[str] | None) -> dict[str, Check]:
	"""The checks with these names, or all. Raises WrongEnvironment for a name that is none."""
	known = CHECKS.all()
	if unknown := set(names or ()) - known.keys():
		raise WrongEnvironment(
			f"There is no check named {', '.join(sorted(unknown))}.", hint=f"There are: {', '.join(known)}."
		)
	return {name: run for name, run in known.items() if not names or name in names}


def trouble(probe: Probe, view: BenchView, deadline: float) -> list[Finding]:
	"""Findings about a probe that failed, or did not end before `deadline` (time.monotonic())."""
	if not probe.is_over(deadline):
		if part := view.parts.blamed(probe.thread.ident):
			return [silent(part, view)]
		text = f"The check {probe.name} did not end in time, so its subject was not checked."
		return [Finding(FAILED, Severity.ERROR, probe.name, text, repeat(probe.name))]
	if probe.error is None:
		return []
	if isinstance(probe.error, NoManager):
		return [no_manager(probe.error)]
	part = view.parts.fault_of(probe.error)
	if part and isinstance(probe.error, OperationError):
		return [unreachable(part, str(probe.error), probe.error.hint)]
	text = f"The check {probe.name} failed: {error_name(probe.error)}. Its subject was not checked."
	return [Finding(FAILED, Severity.ERROR, probe.name, text, repeat(probe.name))]


def silent(part: str, view: BenchView) -> Finding:
	"""A part that had not answered when time was up. Of process managers, those that are waited for are named."""
	names = view.silent_managers if part in OF_MANAGERS else ()
	if not names:
		return unreachable(part, "It does not answer.", "")
	text = f"{', '.join(names)} does not answer." if len(names) == 1 else f"{', '.join(names)} do not answer."
	return unreachable(part, text, "bench safe-restart managers")


def unreachable(part: str, text: str, hint: str) -> Finding:
	"""A part of the bench that does not answer: one finding for all checks that need it."""
	return Finding(UNREACHABLE, Severity.ERROR, part, text, hint or "run bench doctor again")


def no_manager(error: NoManager) -> Finding:
	"""A bench that is not started, or in a container, is not ill for that."""
	text = (
		f"No process manager of this bench answers ({str(error).rstrip('.')}). Its programs, their settings and orphans below a manager"
		" were not checked."
	)
	remedy = (
		"None if a container runs this bench; on a developer's machine: bench start. If a process manager should run it: "
		+ error.hint
	)
	return Finding(NO_MANAGER, Severity.NOTE, "", text, remedy)


def repeat(name: str) -> str:
	"""The command that runs it again."""
	return f"bench doctor --check {name}" if name in CHECKS.all() else "run bench doctor again"


def sort(findings: list[Finding]) -> tuple[Finding, ...]:
	"""Errors first, notes last; what cannot be reached before all, as it explains much else."""
	return tuple(
		sorted(
			findings,
			key=lambda finding: (
				ORDER.index(finding.severity),
				finding.check != UNREACHABLE,
				finding.check,
				finding.subject,
			),
		)
	)
