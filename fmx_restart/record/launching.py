"""The former path of desk/launch.py."""

from fmx_restart.desk.launch import launch as launch
