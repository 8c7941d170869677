"""The tables below the problems, a file for each group. Every module in here is found by itself."""
