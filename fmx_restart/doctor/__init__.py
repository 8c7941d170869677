"""
Whether a bench is healthy, why not, and what to type. For everybody who wants to know: bench doctor, the Desk page, an
operation's preflight, the daily check. Importing it imports neither Frappe nor click.
"""

from __future__ import annotations

#: Cheap checks whose findings a restart tells beside its own. None looks at every job; what an operation looks at itself
#: (the suspension, full queues, unfinished operations, whether there are workers) is not asked twice.
PREFLIGHT = ("control-sites", "endless-jobs", "silent-workers", "unserved-queues")
