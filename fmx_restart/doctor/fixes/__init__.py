"""What --fix can do, a file for each fix. Every module in here is found by itself."""
