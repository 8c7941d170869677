"""The checks, a file for each group. Every module in here is found by itself."""
