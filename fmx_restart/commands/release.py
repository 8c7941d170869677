"""What bench safe-restart release does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from fmx_restart.commands.hold import owner_of, shown, tell
from fmx_restart.commands.parameters import Parameters
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.holds import queue_now, release_refusal, released_line
from fmx_restart.current_bench import requester
from fmx_restart.wiring import queue_holds, read_held_queue


def run(context: click.Context, parameters: Parameters) -> None:
	"""`parameters`: as click has read them."""
	owner, lifts_all, as_json = owner_of(context, parameters), parameters["lifts_all"], parameters["as_json"]
	if lifts_all and parameters["owner"]:
		raise click.UsageError("Use --owner or --all, not both. Nothing was changed.", context)
	with exit_on_error(as_json=as_json):
		owners, holds = all_owners() if lifts_all else [owner], queue_holds()
		done = {name: holds.release(name, requester()) for name in owners}
		queue = read_held_queue()
		for name, one in done.items():
			if refusal := release_refusal(name, one, queue, holds.serves_since):
				raise refusal
		lines = [released_line(name, one) for name, one in done.items()]
		lines = [*(lines or ["No hold of this bench stands."]), queue_now(queue)]
		released = {name: asdict(one) for name, one in done.items()}
		tell(lines, {"released": released, **shown(queue)}, as_json=as_json)


def all_owners() -> Sequence[str]:
	"""Of the holds that commands of this bench made. Raises WrongEnvironment, QueueUnreachable."""
	queue = read_held_queue()
	ours = [hold for hold in queue.holds if hold.bench == queue.bench and not hold.is_beginning]
	return [hold.owner for hold in ours]
