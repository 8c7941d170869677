"""What an operation had changed when its process died, read from its own facts: what must be undone or finished."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fmx_restart.engine import events
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import HostProcess, Process, Setting
from fmx_restart.engine.report import PhaseTime, Report

FENCED = {Phase.FENCE, Phase.PARK, Phase.DRAIN, Phase.BACKUP, Phase.MIGRATE, Phase.RESTART, Phase.LIFT}
MIGRATED = {Phase.MIGRATE, Phase.RESTART, Phase.LIFT, Phase.VERIFY}


@dataclass
class CrashedOperation:
	"""`started`: seconds since the epoch. `stopping`: programs asked to leave and not seen up again, by name → pid."""

	operation: str = ""
	strategy: str = ""
	host: str = ""
	process: HostProcess | None = None
	machine: Machine | None = None  # None where nothing was told
	not_understood: int = 0  # facts
	options: Options = field(default_factory=Options)
	started: float = 0.0
	last: float = 0.0  # when its last fact was told, seconds since the epoch
	phase: Phase = Phase.PREFLIGHT
	phase_began: float = 0.0
	phases: list[PhaseTime] = field(default_factory=list)
	report: Report | None = None  # of one that ended by itself
	plan: Plan | None = None
	settings: dict[tuple[str, str], Setting] = field(default_factory=dict)  # changed, as they were found
	stopping: dict[str, int | None] = field(default_factory=dict)
	incarnations: dict[str, str] = field(default_factory=dict)  # of those, as they were
	replaced: dict[str, int | None] = field(
		default_factory=dict
	)  # programs that are new already, name → new pid
	migrating: events.MigrationStarted | None = None
	migration_begun: bool = False
	condemned: events.JobsCondemned | None = None  # jobs that were to be killed, and are not noted as ended
	is_recovered: bool = False

	@property
	def is_closed(self) -> bool:
		"""Nothing is left to do: it ended by itself, or someone put things right."""
		return self.report is not None or self.is_recovered

	@property
	def has_changed_anything(self) -> bool:
		return self.phase is not Phase.PREFLIGHT or bool(self.settings or self.stopping)

	@property
	def needs_new_workers(self) -> bool:
		"""Workers that were born before a migration must not meet the new schema."""
		return self.migration_begun and self.phase in MIGRATED

	@property
	def may_be_fenced(self) -> bool:
		return self.phase in FENCED and self.strategy != Strategy.ROLLING.value

	def unfinished(self) -> list[Process]:
		"""Programs of the plan that are not new yet."""
		planned = self.plan.restart if self.plan else ()
		return [process for process in planned if process.name not in self.replaced]

	def without_programs(self) -> CrashedOperation:
		"""What another machine can see to: all but programs, and what only the machine knows that they run on."""
		names = ("operation", "strategy", "host", "process", "machine", "options", "started", "last")
		names = (*names, "phase", "phase_began", "phases", "settings", "condemned")
		return CrashedOperation(**{name: getattr(self, name) for name in names})

	def left(self) -> list[str]:
		"""What stays until someone sees to it, in words."""
		found = [f"stopped: {', '.join(self.stopping)}"] if self.stopping else []
		found += [f"{key} of {site} changed" for site, key in self.settings]
		found += [f"the migration of {self.migrating.site} was not seen to its end"] if self.migrating else []
		return found

	def add(self, event: events.Event, time: float) -> None:
		self.last = time
		if note := NOTES.get(type(event)):
			note(self, event, time)


def crashed_operation_of(facts: Iterable[tuple[float, events.Event]]) -> CrashedOperation:
	"""`facts`: instants in seconds since the epoch, and what was told then, in that order."""
	remains = CrashedOperation()
	for time, event in facts:
		remains.add(event, time)
	return remains


def _started(remains: CrashedOperation, event: events.OperationStarted, time: float) -> None:
	remains.operation, remains.strategy, remains.started = event.operation, event.strategy, time
	remains.host, remains.process = event.host, event.process
	remains.machine = event.machine or Machine(event.host)
	remains.options = event.options or Options()
	remains.phase_began = time


def _entered(remains: CrashedOperation, event: events.PhaseEntered, time: float) -> None:
	remains.phases.append(PhaseTime(remains.phase, time - remains.phase_began))
	remains.phase, remains.phase_began = event.phase, time


def _planned(remains: CrashedOperation, event: events.Planned, time: float) -> None:
	remains.plan = event.plan


def _went(remains: CrashedOperation, event: events.WentIntoBackground, time: float) -> None:
	remains.process = event.process


def _changed(remains: CrashedOperation, event: events.SettingChanged, time: float) -> None:
	remains.settings[event.found.site, event.found.key] = event.found


def _settled(
	remains: CrashedOperation, event: events.SettingRestored | events.SettingLeft, time: float
) -> None:
	remains.settings.pop((event.found.site, event.found.key), None)


def _stopping(remains: CrashedOperation, event: events.ProcessStopping, time: float) -> None:
	remains.stopping[event.name] = event.pid
	remains.incarnations[event.name] = event.incarnation


def _up(remains: CrashedOperation, event: events.ProcessUp, time: float) -> None:
	remains.stopping.pop(event.name, None)
	remains.replaced[event.name] = event.new_pid


def _condemned(remains: CrashedOperation, event: events.JobsCondemned, time: float) -> None:
	remains.condemned = event


def _interrupted(remains: CrashedOperation, event: events.JobsInterrupted, time: float) -> None:
	remains.condemned = None


def _migrations(remains: CrashedOperation, event: events.MigrationsPlanned, time: float) -> None:
	remains.migration_begun = True


def _migrating(remains: CrashedOperation, event: events.MigrationStarted, time: float) -> None:
	remains.migrating = event


def _migrated(remains: CrashedOperation, event: events.MigrationEnded, time: float) -> None:
	remains.migrating = None


def _ended(remains: CrashedOperation, event: events.Ended, time: float) -> None:
	if event.report.is_left_open:
		return
	remains.report, remains.phase = event.report, event.report.outcome
	remains.is_recovered = event.report.outcome is Phase.RECOVERED


def _not_understood(remains: CrashedOperation, event: events.NotUnderstood, time: float) -> None:
	remains.not_understood += 1


NOTES = {
	events.NotUnderstood: _not_understood,
	events.OperationStarted: _started,
	events.PhaseEntered: _entered,
	events.Planned: _planned,
	events.WentIntoBackground: _went,
	events.SettingChanged: _changed,
	events.SettingRestored: _settled,
	events.SettingLeft: _settled,
	events.ProcessStopping: _stopping,
	events.ProcessUp: _up,
	events.JobsCondemned: _condemned,
	events.JobsInterrupted: _interrupted,
	events.MigrationsPlanned: _migrations,
	events.MigrationStarted: _migrating,
	events.MigrationEnded: _migrated,
	events.Ended: _ended,
}
