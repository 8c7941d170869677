"""The sentences about migrations, backups and settings."""

from __future__ import annotations

from fmx_restart.console.sentences import count, following, sentence, span
from fmx_restart.engine import events
from fmx_restart.engine.migration import Gravity, Result
from fmx_restart.engine.ports import Setting


@sentence.register
def _(event: events.MigrationFinding) -> str:
	finding = event.finding
	text = f"{finding.site}: {finding.text}" if finding.site else finding.text
	return (
		f"Note: {text}" if finding.gravity is Gravity.NOTE else f"Warning: {text}. {finding.remedy}".rstrip()
	)


@sentence.register
def _(event: events.SettingChanged) -> str:
	return f"{event.new.key} of {event.new.site} is {event.new.value} now (found: {found(event.found)})"


@sentence.register
def _(event: events.SettingWasOn) -> str:
	return f"{event.key} of {event.site} is on already, and stays so"


@sentence.register
def _(event: events.SettingRestored) -> str:
	return f"{event.found.key} of {event.found.site} is as it was found ({found(event.found)})"


@sentence.register
def _(event: events.SettingLeft) -> str:
	return f"Warning: somebody changed {event.found.key} of {event.found.site} meanwhile; left as it is."


@sentence.register
def _(event: events.SettingFault) -> str:
	return f"Error: {event.key} of {event.site} could not be set{following(': ', event.reason)}"


def found(setting: Setting) -> str:
	return str(setting.value) if setting.is_present else "not set"


@sentence.register
def _(event: events.BackupStarted) -> str:
	return f"Backing up {event.site}"


@sentence.register
def _(event: events.BackupEnded) -> str:
	return f"Backed up {event.site} in {span(event.seconds)}{following(': ', event.file)}"


@sentence.register
def _(event: events.MigrationsPlanned) -> str:
	return f"{count(len(event.sites), 'site')} to migrate: {', '.join(event.sites)}"


@sentence.register
def _(event: events.MigrationStarted) -> str:
	return f"Migrating {event.site}, at most {span(event.timeout)}{following('; all output: ', event.log)}"


@sentence.register
def _(event: events.MigrationOutput) -> str:
	return f"  {event.site}  {event.line}"


@sentence.register
def _(event: events.MigrationEnded) -> str:
	migration = event.migration
	if migration.result is Result.DONE:
		return f"Migrated {migration.site} in {span(migration.seconds)}"
	at = f" at {migration.culprit}" if migration.culprit else ""
	return f"Error: {migration.site} {migration.result.value}{at} after {span(migration.seconds)}; restarting all the same"


@sentence.register
def _(event: events.MigrationsStopped) -> str:
	return f"Warning: asked to stop; not migrated: {', '.join(event.sites)}"
