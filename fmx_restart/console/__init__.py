"""The only rooms that write to a terminal. Each listener takes facts of the engine and nothing else."""
