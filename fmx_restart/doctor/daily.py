"""The former path of desk/daily.py, for the Scheduled Job Type of that name."""

from fmx_restart.desk.daily import run as run
