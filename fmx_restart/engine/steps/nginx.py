"""With --nginx: its configuration is tested before anything is touched, and again before it is reloaded behind new web."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import NginxFault, OperationError, WrongEnvironment
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Bench, ProcessKind
from fmx_restart.engine.replacement import Replacement, Stage

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

WEB_FAILED = "new web does not answer"


def test_nginx(bench: Bench, options: Options) -> None:
	"""In the preflight. Raises NginxFault and WrongEnvironment."""
	if not options.nginx:
		return
	try:
		bench.nginx.test()
	except NginxFault as fault:
		raise NginxFault(f"{fault} Nothing was changed.", hint=fault.hint) from fault
	except WrongEnvironment as error:
		raise WrongEnvironment(f"{error} Nothing was changed.", hint=error.hint) from error


def reload_nginx(operation: Operation, replacements: Iterable[Replacement]) -> None:
	"""Once new web answers. What goes wrong is emitted, and the audit raises it."""
	if not operation.options.nginx:
		return
	web = [replacement for replacement in replacements if replacement.old.kind is ProcessKind.WEB]
	if operation.hosts is not None and all(replacement.old.host for replacement in web):
		return  # nginx of this machine has nothing to do with them
	if any(replacement.stage is Stage.FAILED for replacement in web):
		operation.emit(events.NginxNotReloaded(WEB_FAILED))
		return
	operation.renew()
	try:
		operation.bench.nginx.test()
		operation.bench.nginx.reload()
	except OperationError as fault:
		operation.emit(events.NginxNotReloaded(str(fault)))
		operation.nginx_fault = NginxFault(
			f"nginx was not reloaded: {fault} Everything else was restarted.", hint=fault.hint
		)
	else:
		operation.emit(events.NginxReloaded())
