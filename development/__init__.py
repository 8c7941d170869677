"""
A real Frappe bench for people who work on this app. The script beside this file builds and starts it:

	development/bench up

Demo, tests and benchmarks ask for it with `current_bench()`.
"""

from development.description import Bench, current_bench

__all__ = ["Bench", "current_bench"]
