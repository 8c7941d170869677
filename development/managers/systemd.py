"""A systemd as the first process of a nested machine, with the units that it is given and hardly any others."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from development.managers.debian import put_into
from development.managers.nested import NestedMachine
from development.running import wait_until

PROGRAM = "/lib/systemd/systemd"
DISTRIBUTION = Path("/lib/systemd/system")
TARGET = "nested.target"
#: Of the distribution's. Its sysinit.target would empty /tmp, write sysctls and mount what fstab says
UNITS = (
	"multi-user.target",
	"shutdown.target",
	"umount.target",
	"final.target",
	"exit.target",
	"systemd-exit.service",
	"timers.target",
	"paths.target",
	"sockets.target",
	"slices.target",
	"network.target",
	"systemd-journald.service",
	"systemd-journald.socket",
	"systemd-journald-dev-log.socket",
	"dbus.service",
	"dbus.socket",
	"polkit.service",
)
OWN_UNITS = {
	"sysinit.target": "[Unit]\nDefaultDependencies=no\nConflicts=shutdown.target\n",
	"basic.target": "[Unit]\nRequires=sysinit.target\nWants=sockets.target\nAfter=sysinit.target sockets.target\n",
	TARGET: (
		"[Unit]\nRequires=basic.target dbus.socket systemd-journald.socket systemd-journald.service\n"
		"Wants=multi-user.target\nAfter=basic.target multi-user.target\n"
	),
}
JOURNAL = "[Journal]\nStorage=volatile\nReadKMsg=no\nRuntimeMaxUse=16M\n"
ENVIRONMENT = {
	"container": "nested",
	"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"SYSTEMD_UNIT_PATH": "/etc/systemd/system:/run/systemd/system:/etc/systemd/nested",
	"SYSTEMD_GENERATOR_PATH": "/etc/systemd/no-generators",
}


class Systemd:
	"""`packages`: of Debian, whose files it has although this machine has not."""

	def __init__(self, folder: Path, shared: Sequence[Path] = (), packages: Sequence[str] = ()) -> None:
		self.machine, self._packages = NestedMachine(folder, shared), packages

	def up(self, units: Mapping[str, str]) -> None:
		"""`units`: name → text. Returns when it answers."""
		self._write(units)
		variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
		options = ["--system", f"--unit={TARGET}", "--show-status=false", "--log-target=console"]
		self.machine.up("env", "-i", *variables, PROGRAM, *options)
		wait_until(self._answers, "systemd answers", timeout=30, poll=0.05, log=self.machine.log)

	def _write(self, units: Mapping[str, str]) -> None:
		"""Into the layer of its machine, where they hide the outer machine's."""
		put_into(self.machine.layer, self._packages)
		etc = self.machine.layer / "files/etc"
		nested, own, journald = (etc / "systemd" / name for name in ("nested", "system", "journald.conf.d"))
		for folder in (nested, own, journald):
			folder.mkdir(parents=True)
		for name in UNITS:
			if (DISTRIBUTION / name).exists():
				(nested / name).write_text((DISTRIBUTION / name).read_text())
		for folder, texts in ((nested, OWN_UNITS), (own, units)):
			for name, text in texts.items():
				(folder / name).write_text(text)
		(nested / "default.target").symlink_to(TARGET)
		(journald / "nested.conf").write_text(JOURNAL)
		(etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")  # an empty one means a first boot
		(etc / "hostname").write_text("nested\n")

	def _answers(self) -> bool:
		state = self.systemctl("is-system-running", check=False)
		return state in ("running", "degraded")

	def systemctl(self, *words: str, check: bool = True) -> str:
		"""What it says. Raises CommandFailed unless that does not matter."""
		return self.machine.run("systemctl", "--no-pager", *words, check=check).strip()

	def down(self) -> None:
		self.machine.down()
