"""Which hosts a restart is of, and in which groups they come one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from fmx_restart.engine.frozen import frozen


@frozen
class HostOptions:
	"""As they were asked for. Durations are seconds."""

	names: tuple[str, ...] = ()  # only these, in this order; empty: all
	batch: int = 0  # so many at once; 0: as `share` says
	share: float = 0.0  # so large a part of them at once, 0 to 1, at least one; 0: all at once
	pause: float = 0.0  # between two groups
	canary: float | None = None  # one host comes first, and is watched for so long; None: none does

	@property
	def has_groups(self) -> bool:
		"""Whether one may come after another."""
		return bool(self.batch or self.share) or self.canary is not None

	def groups(self, hosts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
		"""`hosts`: those of the bench, in the order in which they come unless it was asked for another one."""
		names = self.names or tuple(hosts)
		first = names[:1] if self.canary is not None else ()
		rest = names[len(first) :]
		size = self.batch or max(1, int(self.share * len(names))) if self.batch or self.share else len(names)
		later = (rest[begin : begin + size] for begin in range(0, len(rest), size))
		return (*((first,) if first else ()), *later)
