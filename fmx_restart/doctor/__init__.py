"""
Whether a bench is healthy, why not, and what to type. For everybody who wants to know: bench doctor, the Desk page, an
operation's preflight, the daily check. Importing it imports neither Frappe nor click.
"""

from __future__ import annotations

from collections.abc import Collection

from fmx_restart.doctor.examination import Examination

#: Cheap checks whose findings a restart tells beside its own. None looks at every job; what an operation looks at itself
#: (the suspension, full queues, unfinished operations, whether there are workers) is not asked twice.
PREFLIGHT = ("control-sites", "endless-jobs", "silent-workers", "unserved-queues")


def examine(names: Collection[str] | None = None) -> Examination:
	"""
	This bench, in two seconds or a little more. `names`: only these checks. Raises WrongEnvironment where there is no
	bench at all; whatever else is broken is a finding.
	"""
	from fmx_restart.doctor.examining import examine_patient
	from fmx_restart.doctor.here import patient_here

	return examine_patient(patient_here(), names)
