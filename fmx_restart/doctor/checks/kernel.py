"""What the kernel had to kill for want of memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fmx_restart.adapters.kernel_log import OomKill, oom_kills
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.host_parts import size
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import listed, span

DAY = 86400.0  # seconds
REMEDY = "journalctl -k | grep -i 'out of memory', then fewer workers, smaller jobs or more memory"


@check("kernel-oom")
def kernel_oom(patient: Patient) -> Iterator[Finding]:
	"""Of the last day. Whose they were cannot be told any more; on a machine that runs short, nobody is safe."""
	now = time.time()
	kills = oom_kills(now - DAY) or []
	if kills:
		newest_first = sorted(kills, key=lambda kill: -kill.time)
		text = f"In the last day the kernel killed for want of memory: {listed([told(kill, now) for kill in newest_first])}."
		yield Finding("kernel-oom", Severity.WARNING, "", text, REMEDY)


def told(kill: OomKill, now: float) -> str:
	memory = f", {size(kill.memory)}" if kill.memory else ""
	limit = ", at its group's limit" if kill.is_group_limit else ""
	return f"{kill.name} (pid {kill.pid}{memory}{limit}, {span(max(0.0, now - kill.time))} ago)"
