"""The web server: there, and answering for each site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.web.ping import UNSENDABLE
from fmx_restart.doctor.at_work import unless_operation_works
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.host_parts import bench_processes
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.sites import databases
from fmx_restart.doctor.web_answers import REFUSED, WebAnswer, web_answers
from fmx_restart.doctor.words import listed
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.ports import ProcessKind, ProcessState

RESTART = "bench safe-restart --no-workers, or look at logs/web.error.log"


@check("web")
def web(patient: Patient) -> Iterator[Finding]:
	"""Where no web server belongs to this machine, as in a container of workers, nothing is said."""
	answers = web_answers(patient)
	refused = [site for site, answer in answers.items() if answer.fault == REFUSED]
	if refused and should_run_here(patient):
		text = f"No web server listens at {answers[refused[0]].address}: {listed(refused)} cannot be opened."
		found = Finding("web", Severity.ERROR, "", text, start_command(patient) or RESTART)
		yield unless_operation_works(patient, found)
	silent = [site for site, answer in answers.items() if answer.is_silent]
	if silent:
		text = (
			f"The web server does not answer in time for {listed(silent)}: all its workers are busy, or hang."
		)
		yield Finding("web", Severity.WARNING, "", text, RESTART)
	yield from not_asked(answers)
	for site, answer in answers.items():
		# without its database a site can only fail, and that is told
		if (
			answer.fault
			and answer.is_asked
			and answer.fault != REFUSED
			and not answer.is_silent
			and not databases(patient)[site].fault
		):
			text = f"It does not answer ping as it should: {answer.fault}."
			yield Finding(
				"web",
				Severity.ERROR,
				site,
				text,
				f"logs/web.error.log; curl -H 'Host: {site}' …/api/method/ping",
			)


def start_command(patient: Patient) -> str:
	"""Where somebody stopped web on purpose: a restart leaves it alone. Empty elsewhere."""
	with suppress(OperationError):
		web = [process for process in patient.processes if process.kind is ProcessKind.WEB]
		if web and all(process.state is ProcessState.STOPPED for process in web):
			names = [process.name for process in web]
			return f"{listed(names)} was stopped. Start it: {patient.manager.start_command(names)}"
	return ""


def not_asked(answers: Mapping[str, WebAnswer]) -> Iterator[Finding]:
	"""One for each reason: a setting of the bench is the same for all its sites. A name is a matter of its site alone."""
	by_reason: dict[str, list[str]] = {}
	for site, answer in answers.items():
		if not answer.is_asked:
			by_reason.setdefault(answer.fault, []).append(site)
	for reason, sites in by_reason.items():
		text = f"Whether web answers for {listed(sites)} could not be asked: {reason}."
		if reason == UNSENDABLE:
			remedy = "Rename the site's folder to the IDNA name of its domain (xn--…): browsers send no other"
			yield Finding("web", Severity.WARNING, sites[0] if len(sites) == 1 else "", text, remedy)
		else:
			remedy = "Correct the setting in sites/common_site_config.json, then bench doctor, once more"
			yield Finding("web", Severity.ERROR, "", text, remedy)


def should_run_here(patient: Patient) -> bool:
	with suppress(OperationError):
		if any(process.kind is ProcessKind.WEB for process in patient.processes):
			return True
	return Role.WEB in bench_processes(patient).values()
