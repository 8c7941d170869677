"""Web and socketio alone, whatever the strategy: no job is concerned, so nothing is fenced and nothing counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.steps.audit import audit
from fmx_restart.engine.steps.last_look import last_look
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart
from fmx_restart.engine.steps.verify import verify

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def without_workers(operation: Operation) -> None:
	preflight(operation)
	last_look(operation)
	relays = restart(operation)
	verify(operation, relays)
	audit(operation, relays)
