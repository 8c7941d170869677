"""What an operation had changed when its process died, read from its own facts: what must be undone or finished."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fmx_restart.engine import events
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import GroupChange, HostProcess, Process, Reloadable, Setting
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
	#: when they were asked, seconds since the epoch
	stopped_at: dict[str, float] = field(default_factory=dict)
	#: programs that are new already, name → new pid
	replaced: dict[str, int | None] = field(default_factory=dict)
	#: asked to reload, and not seen to answer: by program
	asked: dict[str, Reloadable] = field(default_factory=dict)
	#: groups that their manager was asked to take over, and was not seen to
	updating: dict[str, GroupChange] = field(default_factory=dict)
	migrating: events.MigrationStarted | None = None
	migration_begun: bool = False
	#: jobs that were to be killed, and are not noted as ended
	jobs_to_kill: events.JobsCondemned | None = None
	is_recovered: bool = False

	@property
	def is_closed(self) -> bool:
		"""Nothing is left to do: it ended by itself, or was recovered."""
		return self.report is not None or self.is_recovered

	@property
	def has_changed_anything(self) -> bool:
		"""Past the preflight, or a setting or a program was touched."""
		return self.phase is not Phase.PREFLIGHT or bool(self.settings or self.stopping)

	@property
	def needs_new_workers(self) -> bool:
		"""Workers that were born before a migration must not meet the new schema."""
		return self.migration_begun and self.phase in MIGRATED

	@property
	def may_be_fenced(self) -> bool:
		"""Its fence, or a wake-up of it, may still stand in Redis."""
		return self.phase in FENCED and self.strategy != Strategy.ROLLING.value

	def unfinished(self) -> list[Process]:
		"""Programs of the plan that are not new yet."""
		planned = self.plan.restart if self.plan else ()
		return [process for process in planned if process.name not in self.replaced]

	def without_programs(self) -> CrashedOperation:
		"""What another machine can clean up: all but programs and migrations, which only their own machine can see."""
		names = ("operation", "strategy", "host", "process", "machine", "options", "started", "last")
		names = (*names, "phase", "phase_began", "phases", "settings", "jobs_to_kill", "asked")
		return CrashedOperation(**{name: getattr(self, name) for name in names})

	def left(self) -> list[str]:
		"""What stays until someone cleans it up, in words."""
		parts = [f"stopped: {', '.join(self.stopping)}"] if self.stopping else []
		parts += [f"asked to reload: {', '.join(self.asked)}"] if self.asked else []
		parts += [f"{key} of {site} changed" for site, key in self.settings]
		parts += [f"the migration of {self.migrating.site} was not seen to its end"] if self.migrating else []
		return parts

	def add(self, event: events.Event, time: float) -> None:
		"""`time`: seconds since the epoch. Facts come in the order in which they were emitted."""
		self.last = time
		if note := NOTES.get(type(event)):
			note(self, event, time)


def crashed_operation_of(facts: Iterable[tuple[float, events.Event]]) -> CrashedOperation:
	"""`facts`: instants in seconds since the epoch, and what was told then, in that order."""
	crashed = CrashedOperation()
	for time, event in facts:
		crashed.add(event, time)
	return crashed


def _started(crashed: CrashedOperation, event: events.OperationStarted, time: float) -> None:
	crashed.operation, crashed.strategy, crashed.started = event.operation, event.strategy, time
	crashed.host, crashed.process = event.host, event.process
	crashed.machine = event.machine or Machine(event.host)
	crashed.options = event.options or Options()
	crashed.phase_began = time


def _entered(crashed: CrashedOperation, event: events.PhaseEntered, time: float) -> None:
	crashed.phases.append(PhaseTime(crashed.phase, time - crashed.phase_began))
	crashed.phase, crashed.phase_began = event.phase, time


def _planned(crashed: CrashedOperation, event: events.Planned, time: float) -> None:
	crashed.plan = event.plan


def _went_into_background(crashed: CrashedOperation, event: events.WentIntoBackground, time: float) -> None:
	crashed.process = event.process


def _setting_changed(crashed: CrashedOperation, event: events.SettingChanged, time: float) -> None:
	crashed.settings[event.found.site, event.found.key] = event.found


def _setting_done(
	crashed: CrashedOperation, event: events.SettingRestored | events.SettingLeft, time: float
) -> None:
	crashed.settings.pop((event.found.site, event.found.key), None)


def _process_stopping(crashed: CrashedOperation, event: events.ProcessStopping, time: float) -> None:
	crashed.asked.pop(event.name, None)
	crashed.stopping[event.name] = event.pid
	crashed.incarnations[event.name] = event.incarnation
	crashed.stopped_at[event.name] = time


def _process_up(crashed: CrashedOperation, event: events.ProcessUp, time: float) -> None:
	crashed.stopping.pop(event.name, None)
	crashed.replaced[event.name] = event.new_pid


def _group_updating(crashed: CrashedOperation, event: events.GroupUpdating, time: float) -> None:
	crashed.updating[event.change.group] = event.change


def _group_updated(crashed: CrashedOperation, event: events.GroupUpdated, time: float) -> None:
	crashed.updating.pop(event.change.group, None)
	for name in event.gone:
		crashed.stopping.pop(name, None)
		crashed.replaced[name] = None


def _group_not_updated(crashed: CrashedOperation, event: events.GroupNotUpdated, time: float) -> None:
	crashed.updating.pop(event.change.group, None)


def _reload_asked(crashed: CrashedOperation, event: events.ReloadAsked, time: float) -> None:
	crashed.asked[event.name] = event.worker


def _worker_reloaded(crashed: CrashedOperation, event: events.WorkerReloaded, time: float) -> None:
	crashed.asked.pop(event.name, None)
	crashed.replaced[event.name] = event.pid


def _process_failed(crashed: CrashedOperation, event: events.ProcessFailed, time: float) -> None:
	crashed.asked.pop(event.name, None)


def _jobs_condemned(crashed: CrashedOperation, event: events.JobsCondemned, time: float) -> None:
	crashed.jobs_to_kill = event


def _jobs_interrupted(crashed: CrashedOperation, event: events.JobsInterrupted, time: float) -> None:
	crashed.jobs_to_kill = None


def _migrations_planned(crashed: CrashedOperation, event: events.MigrationsPlanned, time: float) -> None:
	crashed.migration_begun = True


def _migration_started(crashed: CrashedOperation, event: events.MigrationStarted, time: float) -> None:
	crashed.migrating = event


def _migration_ended(crashed: CrashedOperation, event: events.MigrationEnded, time: float) -> None:
	crashed.migrating = None


def _ended(crashed: CrashedOperation, event: events.Ended, time: float) -> None:
	if event.report.is_left_open:
		return
	crashed.report, crashed.phase = event.report, event.report.outcome
	crashed.is_recovered = event.report.outcome is Phase.RECOVERED


def _not_understood(crashed: CrashedOperation, event: events.NotUnderstood, time: float) -> None:
	crashed.not_understood += 1


NOTES = {
	events.NotUnderstood: _not_understood,
	events.OperationStarted: _started,
	events.PhaseEntered: _entered,
	events.Planned: _planned,
	events.WentIntoBackground: _went_into_background,
	events.SettingChanged: _setting_changed,
	events.SettingRestored: _setting_done,
	events.SettingLeft: _setting_done,
	events.ProcessStopping: _process_stopping,
	events.ProcessUp: _process_up,
	events.GroupUpdating: _group_updating,
	events.GroupUpdated: _group_updated,
	events.GroupNotUpdated: _group_not_updated,
	events.ReloadAsked: _reload_asked,
	events.WorkerReloaded: _worker_reloaded,
	events.ProcessFailed: _process_failed,
	events.JobsCondemned: _jobs_condemned,
	events.JobsInterrupted: _jobs_interrupted,
	events.MigrationsPlanned: _migrations_planned,
	events.MigrationStarted: _migration_started,
	events.MigrationEnded: _migration_ended,
	events.Ended: _ended,
}
