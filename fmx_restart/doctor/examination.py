"""What an examination tells: findings, details, and how long it took. All of it plain values, fit for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from fmx_restart.doctor.registry import Finding, Severity
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.plain_text import printable_lines
from fmx_restart.engine.verdict import Verdict


@frozen
class Examination:
	bench: str  # its id
	time: float  # when it began, seconds since the epoch
	seconds: float  # how long it took
	checks: tuple[str, ...]  # those that were made, whether they found anything or not
	findings: tuple[Finding, ...]  # errors first, notes last
	details: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # name → rows, each a dataclass
	#: whether a restart can begin now; None where that was not found out in time
	verdict: Verdict | None = None

	@property
	def errors(self) -> tuple[Finding, ...]:
		"""What stops work: `bench doctor` ends with exit code 5."""
		return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

	@property
	def warnings(self) -> tuple[Finding, ...]:
		"""What may stop work, or does harm in a restart."""
		return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)

	@property
	def notes(self) -> tuple[Finding, ...]:
		"""What is worth knowing; nothing is wrong."""
		return tuple(finding for finding in self.findings if finding.severity is Severity.NOTE)

	@property
	def problems(self) -> tuple[Finding, ...]:
		"""Errors and warnings."""
		return tuple(finding for finding in self.findings if finding.severity is not Severity.NOTE)

	@property
	def is_healthy(self) -> bool:
		"""Warnings do not make a bench ill."""
		return not self.errors

	def as_dict(self) -> dict:
		"""Enums as their values, instants in seconds since the epoch: what --json writes. See docs/doctor.md."""
		return {
			"bench": self.bench,
			"verdict": self.verdict.as_dict() if self.verdict else None,
			"time": round(self.time, 3),
			"seconds": round(self.seconds, 3),
			"healthy": self.is_healthy,
			"errors": len(self.errors),
			"warnings": len(self.warnings),
			"notes": len(self.notes),
			"checks": list(self.checks),
			"findings": [
				{**asdict(finding), "severity": finding.severity.value} for finding in self.findings
			],
			"details": {name: [shown(row) for row in rows] for name, rows in self.details.items()},
		}


def shown(row: Any) -> dict[str, Any]:
	"""JSON has no place for bytes that are no text: names that other programs chose have escapes for them."""
	return {
		name: printable_lines(value) if isinstance(value, str) else value
		for name, value in asdict(row).items()
	}
