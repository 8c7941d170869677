"""Whether gunicorn below honcho loads its code before it starts workers: a hang-up would bring workers with the old code."""

from __future__ import annotations

import unittest

from fmx_restart.adapters.managers.honcho.gunicorn import may_be_preloaded
from fmx_restart.tests.adapters.benches import short_folder


class TestPreloads(unittest.TestCase):
	def test_each_way_to_say_it_is_heard_and_what_is_unknown_counts_as_said(self):
		folder = short_folder(self)
		(folder / "gunicorn.conf.py").write_text("workers = 2\n")
		(folder / "other.py").write_text("if True:\n\tpreload_app = bool(1)\n")
		words = ["python", "env/bin/gunicorn", "frappe.app:application"]

		def may_be(*more: str, environ: dict | None = None) -> bool:
			return may_be_preloaded([*words, *more], environ or {}, "", str(folder))

		for more in ((), ("--print-config",), ("-c", "gunicorn.conf.py"), ("-w", "2")):
			self.assertFalse(may_be(*more), more)
		self.assertFalse(may_be(environ={"GUNICORN_CMD_ARGS": "--name 'x"}))
		for more in (
			*(("--preload",), ("--prel",), ("-c", "other.py"), ("-cother.py",), ("--config=file:other.py",)),
			*(("--config", "other.py"), ("-c", "python:settings")),
		):
			self.assertTrue(may_be(*more), more)
			self.assertTrue(may_be(environ={"GUNICORN_CMD_ARGS": " ".join(more)}), more)


if __name__ == "__main__":
	unittest.main()
