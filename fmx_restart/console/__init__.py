"""The only rooms that write to a terminal. Each listener takes facts of the engine and nothing else."""

from fmx_restart.console import migration_sentences as migration_sentences  # they register themselves
