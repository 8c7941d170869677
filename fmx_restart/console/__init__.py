"""The only rooms that write to a terminal. Each listener takes events of the engine and nothing else."""
