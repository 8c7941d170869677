"""The former path of desk/samples.py."""

from fmx_restart.desk.samples import tick as tick
