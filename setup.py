"""Everything is in pyproject.toml; bench versions without pyproject support read the name from here."""

from setuptools import setup

name = "fmx_restart"

setup()
