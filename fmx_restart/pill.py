"""The former path of leave.py, for pills that wait in Redis."""

from fmx_restart.leave import leave as leave
