"""Which machine an operation ran on. Recovery looks at processes, so it must run on the same one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
	"""A machine or a container. All but `name` are empty where they are not known, or an older version wrote them."""

	name: str  # host name
	id: str = ""  # stays the same over a restart of the machine
	boot: str = ""  # another one after each restart; equal for no two machines
	up_since: float = 0.0  # seconds since the epoch; 0 where it is not known


def is_same_machine(noted: Machine, at: float, this: Machine) -> bool:
	"""
	Whether `this` is the machine that was noted at that instant (seconds since the epoch). Equal host names prove nothing:
	two containers, or two clones of one machine, may have the same. One that ran already when the other one wrote is not
	that other one after a restart. A host name alone, from a version that noted no more, is all there is to compare then.
	"""
	if noted.boot and noted.boot == this.boot:
		return True  # also one that was renamed since
	if noted.name != this.name:
		return False
	if not noted.boot:
		return True
	return noted.id == this.id and this.up_since > at
