"""The former path of desk/sync.py."""

from fmx_restart.desk.sync import catch_up as catch_up
