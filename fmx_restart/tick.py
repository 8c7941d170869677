"""The former path of recover.recover_unfinished, for the Scheduled Job Type of that name."""

from fmx_restart.recover import recover_unfinished as recover_unfinished
